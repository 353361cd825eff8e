package controlplane

import (
	"fmt"
	"path/filepath"
	"strconv"

	"eks-gpu-slicing/rehearsal/controlplane/process"
)

const (
	// ServiceCIDR is the range of service addresses: the one EKS takes when the
	// VPC's own range lies outside 10.0.0.0/8, as a default VPC's does (EKS user
	// guide, "View Amazon EKS networking requirements").
	ServiceCIDR = "10.100.0.0/16"
	// kubernetesServiceIP is the service kubernetes.default: always the range's first.
	kubernetesServiceIP = "10.100.0.1"
	// advertiseAddress is what that service points to. Nothing in a rehearsal
	// dials it (pods have no network), but the API server wants an address off
	// loopback and fails on a machine that has none, so it gets one of the
	// addresses reserved for documentation (RFC 5737).
	advertiseAddress = "192.0.2.1"
)

// Names of the components, as in errors, logs and the binary's first argument.
const (
	etcd      = "etcd"
	apiserver = "kube-apiserver"
	manager   = "kube-controller-manager"
	scheduler = "kube-scheduler"
	// collector is the garbage collector alone, a controller manager's process of its
	// own: see followKinds.
	collector = "garbage-collector"
)

// Names in a control plane's directory.
const (
	dataDir                 = "etcd"
	logsDir                 = "logs"
	pkiDir                  = "pki"
	adminKubeconfig         = "kubeconfig"
	managerKubeconfig       = "controller-manager.kubeconfig"
	schedulerKubeconfig     = "scheduler.kubeconfig"
	authenticatorKubeconfig = "authenticator.kubeconfig"
)

// ports of one control plane, all on 127.0.0.1.
type ports struct {
	etcdClient, etcdPeer, apiserver, manager, collector, scheduler int
}

func local(port int) string { return fmt.Sprintf("https://127.0.0.1:%d", port) }

// component is the configuration of one component's process.
func (cp *ControlPlane) component(name string) process.Config {
	var args []string
	program := name
	switch name {
	case etcd:
		args = cp.etcdArgs()
	case apiserver:
		args = cp.apiserverArgs()
	case manager:
		args = cp.managerArgs(cp.ports.manager, "*,-"+collectorController)
	case collector:
		program, args = manager, cp.managerArgs(cp.ports.collector, collectorController)
	case scheduler:
		args = cp.schedulerArgs()
	}
	// Half the garbage saves a quarter of the memory. The API server's CPU is what a
	// thousand pods wait for, though, and a third of it would go into collecting.
	env := []string{"GOGC=50"}
	if name == apiserver {
		env = nil
	}
	return process.Config{
		Name: name,
		Path: cp.cfg.Binary,
		Args: append([]string{program}, args...),
		Dir:  cp.cfg.Dir,
		Log:  cp.LogFile(name),
		Env:  env,
	}
}

func (cp *ControlPlane) path(elem ...string) string {
	return filepath.Join(append([]string{cp.cfg.Dir}, elem...)...)
}

func (cp *ControlPlane) etcdArgs() []string {
	client, peer := local(cp.ports.etcdClient), local(cp.ports.etcdPeer)
	return []string{
		"--name=rehearsal",
		"--data-dir=" + cp.path(dataDir),
		"--listen-client-urls=" + client,
		"--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=rehearsal=" + peer,
		// Whoever reaches etcd owns the cluster, and loopback is open to every
		// user of the machine: certificates both ways.
		"--cert-file=" + cp.path(pkiDir, "etcd.crt"),
		"--key-file=" + cp.path(pkiDir, "etcd.key"),
		"--trusted-ca-file=" + cp.path(pkiDir, "ca.crt"),
		"--client-cert-auth=true",
		"--peer-cert-file=" + cp.path(pkiDir, "etcd.crt"),
		"--peer-key-file=" + cp.path(pkiDir, "etcd.key"),
		"--peer-trusted-ca-file=" + cp.path(pkiDir, "ca.crt"),
		"--peer-client-cert-auth=true",
		// The data dies with the rehearsal, so nobody needs it on the disk.
		"--unsafe-no-fsync",
		"--log-level=warn",
	}
}

func (cp *ControlPlane) apiserverArgs() []string {
	args := []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(cp.ports.apiserver),
		"--advertise-address=" + advertiseAddress,
		"--tls-cert-file=" + cp.path(pkiDir, "serving.crt"),
		"--tls-private-key-file=" + cp.path(pkiDir, "serving.key"),
		"--client-ca-file=" + cp.path(pkiDir, "ca.crt"),
		"--etcd-servers=" + local(cp.ports.etcdClient),
		"--etcd-cafile=" + cp.path(pkiDir, "ca.crt"),
		"--etcd-certfile=" + cp.path(pkiDir, "etcd-client.crt"),
		"--etcd-keyfile=" + cp.path(pkiDir, "etcd-client.key"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + cp.path(pkiDir, "account.pub"),
		"--service-account-signing-key-file=" + cp.path(pkiDir, "account.key"),
		"--service-cluster-ip-range=" + ServiceCIDR,
		"--authorization-mode=Node,RBAC",
		// The controllers that EKS enables beyond upstream's defaults (EKS user
		// guide, "View Amazon EKS platform versions"). The second matters here: a
		// pod that asks for nvidia.com/gpu tolerates a taint of that name.
		"--enable-admission-plugins=NodeRestriction,ExtendedResourceToleration",
		"--allow-privileged=true",
		// Without these the controller manager and the scheduler log errors about
		// a missing ConfigMap, extension-apiserver-authentication, for ever.
		"--requestheader-client-ca-file=" + cp.path(pkiDir, "ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		// Otherwise an open watch, and every client has some, holds the API server's
		// end back until its request timeout of a minute.
		"--shutdown-watch-termination-grace-period=1s",
		"--profiling=false",
	}
	if cp.cfg.AuthenticatorURL != "" {
		args = append(args,
			"--authentication-token-webhook-config-file="+cp.path(authenticatorKubeconfig),
			"--authentication-token-webhook-version=v1")
	}
	return args
}

// collectorController is the garbage collector as the controller manager calls it
// (cmd/kube-controller-manager/names).
const collectorController = "garbage-collector-controller"

func (cp *ControlPlane) managerArgs(port int, controllers string) []string {
	kubeconfig := cp.path(managerKubeconfig)
	return []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + cp.path(pkiDir, "serving.crt"),
		"--tls-private-key-file=" + cp.path(pkiDir, "serving.key"),
		"--controllers=" + controllers,
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--service-account-private-key-file=" + cp.path(pkiDir, "account.key"),
		"--root-ca-file=" + cp.path(pkiDir, "ca.crt"),
		"--use-service-account-credentials=true",
		"--leader-elect=false",
		// Upstream's 20 requests a second would make a Deployment of 1,000 pods
		// take 50 s by itself; EKS raises the limits with the size of a cluster.
		"--kube-api-qps=500",
		"--kube-api-burst=500",
		"--profiling=false",
	}
}

func (cp *ControlPlane) schedulerArgs() []string {
	kubeconfig := cp.path(schedulerKubeconfig)
	return []string{
		"--bind-address=127.0.0.1",
		"--secure-port=" + strconv.Itoa(cp.ports.scheduler),
		"--tls-cert-file=" + cp.path(pkiDir, "serving.crt"),
		"--tls-private-key-file=" + cp.path(pkiDir, "serving.key"),
		"--kubeconfig=" + kubeconfig,
		"--authentication-kubeconfig=" + kubeconfig,
		"--authorization-kubeconfig=" + kubeconfig,
		"--leader-elect=false",
		"--kube-api-qps=500",
		"--kube-api-burst=500",
		"--profiling=false",
	}
}
