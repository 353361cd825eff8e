package lint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	spec "github.com/NVIDIA/k8s-device-plugin/api/config/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/controller/daemon"

	"eks-gpu-slicing/rehearsal/catalogue"
	"eks-gpu-slicing/rehearsal/kubelet"
	"eks-gpu-slicing/rehearsal/kubelet/nvidia"
	"eks-gpu-slicing/rehearsal/packing"
)

// nvidiaDomain is where NVIDIA's device plugin has its resources.
const nvidiaDomain = spec.ResourceNamePrefix + "/"

// grants is a device plugin's verdict on a container that asks for n.
func grants(d kubelet.Devices, n int64) error {
	if d.Allocate == nil || n == 0 {
		return nil
	}
	return d.Allocate(int(n))
}

// advertisedOn is what the stack's device plugins offer on kinds of nodes, by pool: the
// DaemonSet controller says on which nodes a plugin runs, and the plugin what it makes
// of its config there.
func advertisedOn(ctx context.Context, kinds []packing.Kind, daemons []appsv1.DaemonSet, configs []corev1.ConfigMap) (map[string][]kubelet.Devices, error) {
	types, err := catalogue.Default()
	if err != nil {
		return nil, err
	}
	out := map[string][]kubelet.Devices{}
	for i := range daemons {
		d := &daemons[i]
		container := pluginOf(d)
		if container == nil {
			continue
		}
		err := rooted(d, container, configs, func(root string) error {
			for _, kind := range kinds {
				hardware, known := types.Type(kind.InstanceType)
				if runs, _ := daemon.NodeShouldRunDaemonPod(klog.FromContext(ctx), nodeOf(kind), d); !runs || !known || len(hardware.GPUs) == 0 {
					continue
				}
				offered, err := nvidia.Offered(&kubelet.Container{Spec: container, Root: root, Hardware: hardware, Log: io.Discard})
				if err != nil {
					return fmt.Errorf("its container %s would not start on a %s: %w", container.Name, kind.InstanceType, err)
				}
				out[kind.NodePool] = append(out[kind.NodePool], offered...)
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("DaemonSet %s: %w", d.Name, err)
		}
	}
	return out, nil
}

// rooted calls f with a folder that has the ConfigMaps which a container mounts.
func rooted(d *appsv1.DaemonSet, c *corev1.Container, configs []corev1.ConfigMap, f func(root string) error) (err error) {
	root, err := os.MkdirTemp("", "device-plugin-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	if err := mount(root, d, c, configs); err != nil {
		return err
	}
	return f(root)
}

// pluginOf is the container of a DaemonSet that is NVIDIA's device plugin; its image
// has other programs as well, which are run by a command.
func pluginOf(d *appsv1.DaemonSet) *corev1.Container {
	for i := range d.Spec.Template.Spec.Containers {
		c := &d.Spec.Template.Spec.Containers[i]
		rest, ours := strings.CutPrefix(c.Image, nvidia.Repository)
		if ours && (rest == "" || rest[0] == ':' || rest[0] == '@') && (len(c.Command) == 0 || filepath.Base(c.Command[0]) == "nvidia-device-plugin") {
			return c
		}
	}
	return nil
}

// mount writes the ConfigMaps that a container mounts under root.
func mount(root string, d *appsv1.DaemonSet, c *corev1.Container, configs []corev1.ConfigMap) error {
	for _, m := range c.VolumeMounts {
		for _, v := range d.Spec.Template.Spec.Volumes {
			if v.Name != m.Name || v.ConfigMap == nil {
				continue
			}
			at := slices.IndexFunc(configs, func(cm corev1.ConfigMap) bool { return cm.Name == v.ConfigMap.Name && cm.Namespace == d.Namespace })
			if at < 0 {
				return fmt.Errorf("the stack has no ConfigMap %s, which its container %s mounts", v.ConfigMap.Name, c.Name)
			}
			for key, text := range configs[at].Data {
				file := filepath.Join(root, m.MountPath, key)
				if m.SubPath == key {
					file = filepath.Join(root, m.MountPath)
				}
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					return err
				}
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// nodeOf is a node of a kind, as far as a DaemonSet looks at it.
func nodeOf(k packing.Kind) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: k.InstanceType, Labels: map[string]string{}}}
	for label, values := range k.Labels {
		n.Labels[label] = values[0]
	}
	n.Spec.Taints = k.Taints
	return n
}

// checkNames finds GPUs that are asked for under a name that no node has. The pod is
// mended to ask for the one that nodes advertise, and admitted again.
func (c *checker) checkNames(ctx context.Context, planner *packing.Planner, u *unit) error {
	names := c.advertisedNames()
	var wrong []corev1.ResourceName
	fields := map[corev1.ResourceName]string{}
	eachContainer(u.pod, func(field string, container *corev1.Container) {
		for name := range container.Resources.Limits {
			if strings.HasPrefix(string(name), nvidiaDomain) && !slices.Contains(names, name) && !slices.Contains(wrong, name) {
				wrong = append(wrong, name)
				fields[name] = u.in(fmt.Sprintf("spec.%s.resources.limits[%s]", field, name))
			}
		}
	})
	if len(names) == 0 || len(wrong) == 0 {
		return nil // without a plugin of the stack's nothing is known of names
	}
	plan, err := planner.Plan(ctx, []*corev1.Pod{u.pod})
	if err != nil || len(plan.Refused) == 0 {
		return err
	}
	slices.Sort(wrong)
	for _, name := range wrong {
		c.fail(u, Problem{
			Field: fields[name], Rule: RuleName, Cause: fmt.Sprintf("no node has %s: %s", name, c.advertise()),
			Mend: fmt.Sprintf("ask for %s", names[0]), Verdict: "Karpenter: " + plan.Refused[0].Err.Error(),
		})
		eachContainer(u.pod, func(_ string, container *corev1.Container) {
			for _, list := range []corev1.ResourceList{container.Resources.Limits, container.Resources.Requests} {
				if n, asked := list[name]; asked {
					delete(list, name)
					list[names[0]] = n
				}
			}
		})
	}
	u.pod, err = tolerate(ctx, u.pod)
	return err
}

// offered tells whether Karpenter knows of any node with a resource.
func (c *checker) offered(name corev1.ResourceName) bool {
	return slices.ContainsFunc(c.kinds, func(k packing.Kind) bool { n := k.Allocatable[name]; return !n.IsZero() })
}

// advertisedNames are what device plugins call GPUs, sorted.
func (c *checker) advertisedNames() []corev1.ResourceName {
	names := map[corev1.ResourceName]bool{}
	for _, all := range c.gpus {
		for _, a := range all {
			names[a.Resource] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// advertise says what the pools' device plugins advertise.
func (c *checker) advertise() string {
	var parts []string
	for _, pool := range slices.Sorted(maps.Keys(c.gpus)) {
		counts := map[string]bool{}
		for _, a := range c.gpus[pool] {
			counts[fmt.Sprintf("%s: %d", a.Resource, a.Count)] = true
		}
		parts = append(parts, fmt.Sprintf("the device plugin of pool %s advertises %s a node", pool, strings.Join(slices.Sorted(maps.Keys(counts)), " or ")))
	}
	return strings.Join(parts, ", ")
}

// checkShares finds containers that ask for more of a GPU than any pool's device plugin
// grants one container. They are mended to ask for one.
func (c *checker) checkShares(u *unit) {
	eachContainer(u.pod, func(field string, container *corev1.Container) {
		for name, n := range container.Resources.Limits {
			var refusals []error
			granted := false
			for _, all := range c.gpus {
				for _, a := range all {
					if a.Resource != name {
						continue
					}
					if err := grants(a, n.Value()); err != nil {
						refusals = append(refusals, err)
					} else {
						granted = true
					}
				}
			}
			if granted || len(refusals) == 0 {
				continue
			}
			c.share(u, field, container.Name, name, n.Value(), "", refusals[0])
			one := *resource.NewQuantity(1, resource.DecimalSI)
			container.Resources.Limits[name], container.Resources.Requests[name] = one, one
		}
	})
}

// checkSharesOn is checkShares for the pools that Karpenter has chosen for the pods.
func (c *checker) checkSharesOn(u *unit, pools []string) {
	told := map[string]bool{}
	for _, pool := range pools {
		c.refusedShares(u.pod, pool, func(field, container string, name corev1.ResourceName, n int64, err error) {
			if !told[field] {
				told[field] = true
				c.share(u, field, container, name, n, " of pool "+pool+", where Karpenter puts it,", err)
			}
		})
	}
}

// refusedShares calls f for each container of a pod that asks the device plugin of a
// pool for more than it grants one.
func (c *checker) refusedShares(p *corev1.Pod, pool string, f func(field, container string, name corev1.ResourceName, n int64, err error)) {
	eachContainer(p, func(field string, container *corev1.Container) {
		for name, n := range container.Resources.Limits {
			for _, a := range c.gpus[pool] {
				if a.Resource != name {
					continue
				}
				if err := grants(a, n.Value()); err != nil {
					f(field, container.Name, name, n.Value(), err)
				}
			}
		}
	})
}

func (c *checker) share(u *unit, field, container string, name corev1.ResourceName, n int64, where string, err error) {
	c.fail(u, Problem{
		Field: u.in(fmt.Sprintf("spec.%s.resources.limits[%s]", field, name)), Rule: RuleShare,
		Cause:   fmt.Sprintf("container %s asks for %d %s, and the device plugin%s grants a container one share of a GPU: the pod would fail with UnexpectedAdmissionError", container, n, name, where),
		Mend:    "ask for 1: more shares would give a container no more of the GPU. Whole GPUs are in a pool or a stack that shares none (gpuSharing: none)",
		Verdict: "NVIDIA's device plugin: " + err.Error(),
	})
}

// eachContainer calls f with every container of a pod and its field in the spec.
func eachContainer(p *corev1.Pod, f func(field string, c *corev1.Container)) {
	for i := range p.Spec.InitContainers {
		f(fmt.Sprintf("initContainers[%d]", i), &p.Spec.InitContainers[i])
	}
	for i := range p.Spec.Containers {
		f(fmt.Sprintf("containers[%d]", i), &p.Spec.Containers[i])
	}
}
