package gpu

import (
	"strconv"

	corev1 "github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes/core/v1"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

const (
	exporterName  = "dcgm-exporter"
	exporterImage = "nvcr.io/nvidia/k8s/dcgm-exporter"
	exporterPort  = 9400
	podResources  = "/var/lib/kubelet/pod-resources"
)

// DaemonSets is how many pods this package puts on every GPU node, whatever its
// pool.
func DaemonSets(s *settings.Settings) int {
	if s.GPUMetrics {
		return 1
	}
	return 0
}

// metricsExporter is NVIDIA's dcgm-exporter on every GPU node, as its own manifest
// runs it (NVIDIA/dcgm-exporter, dcgm-exporter.yaml; the limit of memory is the
// chart's, which is the higher one).
//
// It measures GPUs, not slices: NVIDIA's driver knows no other figures
// (dcgm-exporter issues 582 and 642).
func metricsExporter(version string, pools []*Pool) daemon {
	env := func(name, value string) corev1.EnvVarArgs {
		return corev1.EnvVarArgs{Name: pulumi.String(name), Value: pulumi.String(value)}
	}
	quantities := func(cpu, memory string) pulumi.StringMap {
		return pulumi.StringMap{"cpu": pulumi.String(cpu), "memory": pulumi.String(memory)}
	}
	port := strconv.Itoa(exporterPort)
	mounted := mount("pod-resources", podResources)
	mounted.ReadOnly = pulumi.Bool(true)
	d := daemon{
		name: exporterName, part: "metrics",
		nodeSelector: map[string]string{Label: "true"},
		taints:       []Taint{{Key: Resource}, {Key: PoolTaint}},
		// What Prometheus' usual scrape configs of pods go by.
		podAnnotations: map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": port},
		noToken:        true,
		containers: corev1.ContainerArray{corev1.ContainerArgs{
			Name:  pulumi.String(exporterName),
			Image: imageOf(exporterImage, "", version, "-distroless"), TerminationMessagePolicy: pulumi.String(saysWhy),
			Env: corev1.EnvVarArray{
				env("DCGM_EXPORTER_LISTEN", ":"+port),
				env("DCGM_EXPORTER_KUBERNETES", "true"),
				// A shared GPU's figures once for each of its pods. Without it they bear
				// the name of any one of them (dcgm-exporter pull request 432).
				env("KUBERNETES_VIRTUAL_GPUS", "true"),
				corev1.EnvVarArgs{Name: pulumi.String("NODE_NAME"), ValueFrom: corev1.EnvVarSourceArgs{
					FieldRef: corev1.ObjectFieldSelectorArgs{FieldPath: pulumi.String("spec.nodeName")},
				}},
			},
			Ports: corev1.ContainerPortArray{corev1.ContainerPortArgs{Name: pulumi.String("metrics"), ContainerPort: pulumi.Int(exporterPort)}},
			SecurityContext: corev1.SecurityContextArgs{
				RunAsNonRoot: pulumi.Bool(false), RunAsUser: pulumi.Int(0), AllowPrivilegeEscalation: pulumi.Bool(false),
				Capabilities: corev1.CapabilitiesArgs{
					Add:  pulumi.ToStringArray([]string{"SYS_ADMIN"}), // profiling metrics need it
					Drop: pulumi.ToStringArray([]string{"ALL"}),
				},
			},
			Resources:    corev1.ResourceRequirementsArgs{Requests: quantities("100m", "128Mi"), Limits: quantities("200m", "512Mi")},
			VolumeMounts: corev1.VolumeMountArray{mounted},
		}},
		volumes: corev1.VolumeArray{hostPath("pod-resources", podResources, "")},
	}
	for _, p := range pools {
		if !p.Karpenter() {
			d.orNodes = append(d.orNodes, p.Nodes)
		}
	}
	if d.orNodes != nil {
		d.orNodes = append([]settings.NodeLabel{{Key: Label, Value: "true"}}, d.orNodes...)
		d.nodeSelector, d.tolerateAll = nil, true
	}
	return d
}
