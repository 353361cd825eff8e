package gpu

import (
	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

const (
	pluginName  = "nvidia-device-plugin"
	mpsName     = "nvidia-mps-control-daemon"
	image       = "nvcr.io/nvidia/k8s-device-plugin"
	configKey   = "config.yaml"
	configMount = "/config"
	socketMount = "/var/lib/kubelet/device-plugins"
	hashKey     = "eks-gpu-slicing/config-hash"
	// saysWhy is the termination message policy by which `kubectl describe` shows the
	// end of the log of a container that has failed.
	saysWhy = "FallbackToLogsOnError"
	// mpsRoot is where the MPS daemon keeps its pipes on the node, mpsMount where
	// its program and the plugin look for them.
	mpsRoot  = "/run/nvidia/mps"
	mpsMount = "/mps"
)

// daemon is what the pool's DaemonSets have in common.
func (p *Pool) daemon(name, part string) daemon {
	d := daemon{
		name: name + p.suffix(), part: part + p.suffix(), nodeSelector: map[string]string{poolLabel: p.Name}, taints: p.Taints(),
		// A restart of the MPS daemon ends every CUDA program on the node. So a node
		// keeps its daemon, and a new number is for new nodes. (The mounted config
		// follows the ConfigMap: a container that starts anew reads the new number.)
		keep: p.Sharing.Strategy == settings.SharingMPS,
	}
	if !p.Karpenter() {
		d.nodeSelector, d.tolerateAll = map[string]string{p.Nodes.Key: p.Nodes.Value}, true
	}
	return d
}

// plugin is the device plugin, as NVIDIA's own manifests run it (NVIDIA's
// k8s-device-plugin, deployments/static, and for MPS the chart's
// daemonset-device-plugin.yml). Its config is one mounted file: the chart's
// config-manager sidecar leaves nodes without GPUs from 0.18.2 on
// (k8s-device-plugin issue 1645).
func plugin(p *Pool, version string) daemon {
	c := corev1.ContainerArgs{
		Name:                     pulumi.String(pluginName),
		Image:                    imageOf(image, "v", version, ""),
		TerminationMessagePolicy: pulumi.String(saysWhy),
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
	d := p.daemon(pluginName, "plugin")
	d.containers, d.volumes = corev1.ContainerArray{c}, volumes
	return d
}

// mpsDaemon is NVIDIA's MPS control daemon, as the chart's
// daemonset-mps-control-daemon.yml runs it. By the plugin's config it gives each
// client an equal part of a GPU's memory and compute.
func mpsDaemon(p *Pool, version string) daemon {
	privileged := corev1.SecurityContextArgs{Privileged: pulumi.Bool(true)}
	of := imageOf(image, "v", version, "")
	mounts := corev1.VolumeMountArray{
		corev1.VolumeMountArgs{Name: pulumi.String("mps-root"), MountPath: pulumi.String(mpsMount), MountPropagation: pulumi.String("Bidirectional")},
	}
	d := p.daemon(mpsName, "mps")
	if p.Karpenter() { // the labels of others' nodes are theirs
		d.nodeSelector[mpsLabel] = "true"
	}
	// The MPS server looks itself up in /proc by the host's process ID; the chart
	// has this since 0.18 (k8s-device-plugin pull request 1045).
	d.hostPID = true
	// Pods and the daemon share a /dev/shm of their own, which this mounts.
	d.init = corev1.ContainerArray{corev1.ContainerArgs{
		Name: pulumi.String("mps-control-daemon-mounts"), Image: of, SecurityContext: privileged, VolumeMounts: mounts,
		Command: pulumi.ToStringArray([]string{"mps-control-daemon", "mount-shm"}),
	}}
	d.containers = corev1.ContainerArray{corev1.ContainerArgs{
		Name: pulumi.String(mpsName), Image: of, SecurityContext: privileged, TerminationMessagePolicy: pulumi.String(saysWhy),
		Command:      pulumi.ToStringArray([]string{"mps-control-daemon"}),
		Env:          corev1.EnvVarArray{configFile()},
		VolumeMounts: append(mpsMounts(), configVolumeMount()),
	}}
	d.volumes = append(mpsVolumes(), configVolume(p))
	return d
}

func configFile() corev1.EnvVarArgs {
	return corev1.EnvVarArgs{Name: pulumi.String("CONFIG_FILE"), Value: pulumi.String(configMount + "/" + configKey)}
}

// configName is the ConfigMap's, which the plugin and the MPS daemon read.
func configName(p *Pool) string { return pluginName + p.suffix() }

func configVolumeMount() corev1.VolumeMountArgs {
	m := mount("config", configMount)
	m.ReadOnly = pulumi.Bool(true)
	return m
}

func configVolume(p *Pool) corev1.VolumeArgs {
	return corev1.VolumeArgs{Name: pulumi.String("config"), ConfigMap: corev1.ConfigMapVolumeSourceArgs{
		Name: pulumi.String(configName(p)),
	}}
}

func mpsMounts() corev1.VolumeMountArray {
	return corev1.VolumeMountArray{mount("mps-shm", "/dev/shm"), mount("mps-root", mpsMount)}
}

func mpsVolumes() corev1.VolumeArray {
	return corev1.VolumeArray{hostPath("mps-root", mpsRoot, "DirectoryOrCreate"), hostPath("mps-shm", mpsRoot+"/shm", "")}
}
