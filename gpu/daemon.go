package gpu

import (
	"fmt"

	appsv1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/apps/v1"
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	metav1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/meta/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

const (
	pluginName = "nvidia-device-plugin"
	mpsName    = "nvidia-mps-control-daemon"
	// namespace: system-node-critical pods belong in kube-system.
	namespace   = "kube-system"
	image       = "nvcr.io/nvidia/k8s-device-plugin"
	configKey   = "config.yaml"
	configMount = "/config"
	socketMount = "/var/lib/kubelet/device-plugins"
	hashKey     = "eks-gpu-slicing/config-hash"
	// mpsRoot is where the MPS daemon keeps its pipes on the node, mpsMount where
	// its program and the plugin look for them.
	mpsRoot  = "/run/nvidia/mps"
	mpsMount = "/mps"
)

// daemon is a DaemonSet on a pool's nodes before it is one.
type daemon struct {
	pool *Pool
	// name is the DaemonSet's and part the resource's, both without the pool's suffix.
	name, part   string
	containers   corev1.ContainerArray
	init         corev1.ContainerArray
	volumes      corev1.VolumeArray
	nodeSelector map[string]string // beside the pool
	hostPID      bool
}

func (d daemon) objectName() string { return d.name + d.pool.suffix() }

func (d daemon) labels() pulumi.StringMap {
	return pulumi.StringMap{"app.kubernetes.io/name": pulumi.String(d.objectName())}
}

func (d daemon) metadata() metav1.ObjectMetaArgs {
	return metav1.ObjectMetaArgs{Name: pulumi.String(d.objectName()), Namespace: pulumi.String(namespace), Labels: d.labels()}
}

// add makes the DaemonSet. hash is the config's.
func (d daemon) add(ctx *pulumi.Context, name, hash string, opts ...pulumi.ResourceOption) (*appsv1.DaemonSet, error) {
	selector := pulumi.StringMap{poolLabel: pulumi.String(d.pool.Name)}
	for key, value := range d.nodeSelector {
		selector[key] = pulumi.String(value)
	}
	spec := corev1.PodSpecArgs{
		PriorityClassName: pulumi.String("system-node-critical"),
		NodeSelector:      selector,
		Tolerations:       tolerations(d.pool.Taints()),
		Containers:        d.containers,
		Volumes:           d.volumes,
	}
	if d.init != nil {
		spec.InitContainers = d.init
	}
	if d.hostPID {
		spec.HostPID = pulumi.Bool(true)
	}
	metadata, strategy := d.metadata(), "RollingUpdate"
	if d.pool.Sharing.Strategy == settings.SharingMPS {
		// A restart of the MPS daemon ends every CUDA program on the node. So a node
		// keeps its daemon and its number of slices for life, and a new number is
		// for new nodes; there is then no rollout that an up could wait for.
		strategy = "OnDelete"
		metadata.Annotations = pulumi.StringMap{"pulumi.com/skipAwait": pulumi.String("true")}
	}
	made, err := appsv1.NewDaemonSet(ctx, name, &appsv1.DaemonSetArgs{
		Metadata: metadata,
		Spec: appsv1.DaemonSetSpecArgs{
			Selector:       metav1.LabelSelectorArgs{MatchLabels: d.labels()},
			UpdateStrategy: appsv1.DaemonSetUpdateStrategyArgs{Type: pulumi.String(strategy)},
			Template: corev1.PodTemplateSpecArgs{
				Metadata: metav1.ObjectMetaArgs{Labels: d.labels(), Annotations: pulumi.StringMap{hashKey: pulumi.String(hash)}},
				Spec:     spec,
			},
		},
	}, opts...)
	if err != nil {
		return nil, fmt.Errorf("DaemonSet %s: %w", d.objectName(), err)
	}
	return made, nil
}

func tolerations(taints []Taint) corev1.TolerationArray {
	var all corev1.TolerationArray
	for _, t := range taints {
		all = append(all, corev1.TolerationArgs{Key: pulumi.String(t.Key), Operator: pulumi.String("Exists"), Effect: pulumi.String("NoSchedule")})
	}
	return all
}

// plugin is the device plugin, as NVIDIA's own manifests run it (NVIDIA's
// k8s-device-plugin, deployments/static, and for MPS the chart's
// daemonset-device-plugin.yml). Its config is one mounted file: the chart's
// config-manager sidecar leaves nodes without GPUs from 0.18.2 on
// (k8s-device-plugin issue 1645).
func plugin(p *Pool, version string) daemon {
	c := corev1.ContainerArgs{
		Name:  pulumi.String(pluginName),
		Image: pulumi.String(image + ":v" + version),
		SecurityContext: corev1.SecurityContextArgs{
			AllowPrivilegeEscalation: pulumi.Bool(false),
			Capabilities:             corev1.CapabilitiesArgs{Drop: pulumi.ToStringArray([]string{"ALL"})},
		},
	}
	env := corev1.EnvVarArray{configFile()}
	mounts := corev1.VolumeMountArray{mount("device-plugins", socketMount), configVolumeMount()}
	volumes := corev1.VolumeArray{hostPath("device-plugins", socketMount, ""), configVolume(p)}
	if p.Sharing.Strategy == settings.SharingMPS {
		// What a pod is handed to reach the daemon is read from here, and the plugin
		// offers nothing while the daemon does not answer; it asks again every 30 s.
		env = append(env, corev1.EnvVarArgs{Name: pulumi.String("MPS_ROOT"), Value: pulumi.String(mpsRoot)})
		mounts, volumes = append(mounts, mpsMounts()...), append(volumes, mpsVolumes()...)
		// The chart's context of a plugin with a config file.
		c.SecurityContext = corev1.SecurityContextArgs{Capabilities: corev1.CapabilitiesArgs{Add: pulumi.ToStringArray([]string{"SYS_ADMIN"})}}
	}
	c.Env, c.VolumeMounts = env, mounts
	return daemon{pool: p, name: pluginName, part: "plugin", containers: corev1.ContainerArray{c}, volumes: volumes}
}

// mpsDaemon is NVIDIA's MPS control daemon, as the chart's
// daemonset-mps-control-daemon.yml runs it. By the plugin's config it gives each
// client an equal part of a GPU's memory and compute.
func mpsDaemon(p *Pool, version string) daemon {
	privileged := corev1.SecurityContextArgs{Privileged: pulumi.Bool(true)}
	of := pulumi.String(image + ":v" + version)
	mounts := corev1.VolumeMountArray{
		corev1.VolumeMountArgs{Name: pulumi.String("mps-root"), MountPath: pulumi.String(mpsMount), MountPropagation: pulumi.String("Bidirectional")},
	}
	return daemon{
		pool: p, name: mpsName, part: "mps",
		// The MPS server looks itself up in /proc by the host's process ID; the
		// chart has this since 0.18 (k8s-device-plugin pull request 1045).
		hostPID:      true,
		nodeSelector: map[string]string{mpsLabel: "true"},
		// Pods and the daemon share a /dev/shm of their own, which this mounts.
		init: corev1.ContainerArray{corev1.ContainerArgs{
			Name: pulumi.String("mps-control-daemon-mounts"), Image: of, SecurityContext: privileged, VolumeMounts: mounts,
			Command: pulumi.ToStringArray([]string{"mps-control-daemon", "mount-shm"}),
		}},
		containers: corev1.ContainerArray{corev1.ContainerArgs{
			Name: pulumi.String(mpsName), Image: of, SecurityContext: privileged,
			Command:      pulumi.ToStringArray([]string{"mps-control-daemon"}),
			Env:          corev1.EnvVarArray{configFile()},
			VolumeMounts: append(mpsMounts(), configVolumeMount()),
		}},
		volumes: append(mpsVolumes(), configVolume(p)),
	}
}

func configFile() corev1.EnvVarArgs {
	return corev1.EnvVarArgs{Name: pulumi.String("CONFIG_FILE"), Value: pulumi.String(configMount + "/" + configKey)}
}

func mount(name, path string) corev1.VolumeMountArgs {
	return corev1.VolumeMountArgs{Name: pulumi.String(name), MountPath: pulumi.String(path)}
}

func configVolumeMount() corev1.VolumeMountArgs {
	m := mount("config", configMount)
	m.ReadOnly = pulumi.Bool(true)
	return m
}

func configVolume(p *Pool) corev1.VolumeArgs {
	return corev1.VolumeArgs{Name: pulumi.String("config"), ConfigMap: corev1.ConfigMapVolumeSourceArgs{
		Name: pulumi.String(daemon{pool: p, name: pluginName}.objectName()),
	}}
}

func mpsMounts() corev1.VolumeMountArray {
	return corev1.VolumeMountArray{mount("mps-shm", "/dev/shm"), mount("mps-root", mpsMount)}
}

func mpsVolumes() corev1.VolumeArray {
	return corev1.VolumeArray{hostPath("mps-root", mpsRoot, "DirectoryOrCreate"), hostPath("mps-shm", mpsRoot+"/shm", "")}
}

// hostPath is a volume of the node's own files; kind is empty to leave them
// unchecked.
func hostPath(name, path, kind string) corev1.VolumeArgs {
	source := corev1.HostPathVolumeSourceArgs{Path: pulumi.String(path)}
	if kind != "" {
		source.Type = pulumi.String(kind)
	}
	return corev1.VolumeArgs{Name: pulumi.String(name), HostPath: source}
}
