package kubelet

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// Image is what the containers of one image do. Images without one are simulated:
// their containers run, are ready, and end when they are told to.
type Image interface {
	// Run runs one container from its start to its end and returns how it ended.
	// Restarting it is the caller's business. When ctx is done the container is
	// being stopped: Run returns soon, and at the latest by c.StopBy. A
	// panic is not caught.
	Run(ctx context.Context, c *Container) Exit
}

// Exit is how a container ended.
type Exit struct {
	// Code is the exit status; 0 is success.
	Code int32
}

// Container is one run of a container, as its [Image] sees it.
type Container struct {
	// Pod is the pod as it was admitted, Spec the container in it. Neither may be
	// changed.
	Pod  *corev1.Pod
	Spec *corev1.Container
	// Hardware is the instance type of the node.
	Hardware catalogue.Type
	// HostIP and PodIP are the addresses of the node and of the pod.
	HostIP, PodIP string
	// Allocatable is what the node had for pods when the container was started.
	Allocatable corev1.ResourceList
	// Root is a directory that holds, under their paths in the container, the files
	// of the ConfigMaps that are mounted. It is the container's own and is deleted
	// with the pod.
	Root string
	// LogFile is the path of the container's log, which outlives it; Log appends to
	// it.
	LogFile string
	Log     io.Writer

	run *run
	pod *pod
}

// SetReady says whether the container can serve. Until it is first called, a
// container is ready if, and only if, it has no readiness probe.
func (c *Container) SetReady(ready bool) {
	c.pod.mu.Lock()
	changed := c.run.ready != ready
	c.run.ready = ready
	c.pod.mu.Unlock()
	if changed {
		c.pod.node.kubelet.wakePod(c.pod.key)
	}
}

// StopBy is when a container that is being stopped is killed: the end of its grace
// period, or zero, which is at once, when its instance is gone.
func (c *Container) StopBy() time.Time {
	c.pod.mu.Lock()
	defer c.pod.mu.Unlock()
	return c.run.stopBy
}

// Advertise makes the container a device plugin: the node offers d until the
// container ends. A second call of the same resource replaces the first.
func (c *Container) Advertise(d Devices) {
	c.pod.node.advertise(c.run, d)
}

// ServiceAccountToken asks for a token of the pod's service account, bound to the
// pod. audience "" is the API server's own; the request is then the node's, as a
// kubelet makes it. For any other audience it is the administrator's: on EKS a
// mutating webhook adds the volume that permits the node to ask.
func (c *Container) ServiceAccountToken(ctx context.Context, audience string) (token string, expires time.Time, err error) {
	// As of the volume that the API server adds to every pod (ServiceAccount
	// admission), and of EKS's pod identity webhook.
	seconds := int64(3607)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds,
		BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: c.Pod.Name, UID: c.Pod.UID},
	}}
	k := c.pod.node.kubelet
	client := k.nodeClient
	if audience != "" {
		client = k.admin
		request.Spec.Audiences = []string{audience}
	}
	// The API server's node authorizer learns of a pod's node by a watch of its own, and
	// refuses the node until then. A kubelet mounts the token, and tries a mount again.
	var got *authenticationv1.TokenRequest
	refused := wait.ExponentialBackoffWithContext(ctx, mountBackoff, func(ctx context.Context) (bool, error) {
		got, err = client.CoreV1().ServiceAccounts(c.Pod.Namespace).CreateToken(
			as(ctx, c.pod.node), c.Pod.Spec.ServiceAccountName, request, metav1.CreateOptions{})
		return !apierrors.IsForbidden(err), nil
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return "", time.Time{}, fmt.Errorf("requesting a token of service account %s/%s: %w", c.Pod.Namespace, c.Pod.Spec.ServiceAccountName, err)
	}
	return got.Status.Token, got.Status.ExpirationTimestamp.Time, nil
}

// mountBackoff is a kubelet's (pkg/util/goroutinemap/exponentialbackoff), given up
// after some 16 s, when the container is restarted instead.
var mountBackoff = wait.Backoff{Duration: 500 * time.Millisecond, Factor: 2, Steps: 6}

// Devices is what a device plugin offers on its node.
type Devices struct {
	// Resource is the extended resource, such as "nvidia.com/gpu".
	Resource corev1.ResourceName
	// Count is how many of it there are, replicas included.
	Count int
	// Allocate is asked before a container gets n of them, n ≥ 1. Its error refuses
	// the pod; nil is no refusal.
	Allocate func(n int) error
}

// repository is the name of an image without its tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		image = image[:i]
	}
	return image
}

// mount writes the files of the ConfigMaps that the container mounts under root,
// as they are at this moment. Mounts of other kinds are left out: nothing that
// runs here reads them.
func (p *pod) mount(ctx context.Context, spec *corev1.Container, root string) error {
	for _, m := range spec.VolumeMounts {
		for _, v := range p.object.Spec.Volumes {
			if v.Name != m.Name || v.ConfigMap == nil {
				continue
			}
			files, err := p.node.kubelet.configMapFiles(as(ctx, p.node), p.object.Namespace, v.ConfigMap)
			if err != nil {
				return fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err)
			}
			if err := writeFiles(filepath.Join(root, m.MountPath), m.SubPath, files); err != nil {
				return fmt.Errorf("MountVolume.SetUp failed for volume %q : %w", v.Name, err)
			}
		}
	}
	return nil
}

// configMapFiles gives the files of a ConfigMap volume by their paths in it
// (MakePayload in pkg/volume/configmap).
func (k *Kubelet) configMapFiles(ctx context.Context, namespace string, source *corev1.ConfigMapVolumeSource) (map[string][]byte, error) {
	files := map[string][]byte{}
	optional := source.Optional != nil && *source.Optional
	cm, err := k.nodeClient.CoreV1().ConfigMaps(namespace).Get(ctx, source.Name, metav1.GetOptions{})
	if err != nil {
		if optional {
			return files, nil
		}
		return nil, err
	}
	for key, value := range cm.Data {
		files[key] = []byte(value)
	}
	maps.Copy(files, cm.BinaryData)
	if len(source.Items) == 0 {
		return files, nil
	}
	chosen := map[string][]byte{}
	for _, item := range source.Items {
		content, ok := files[item.Key]
		if !ok && !optional {
			return nil, fmt.Errorf("configmap references non-existent config key: %s", item.Key)
		}
		chosen[item.Path] = content
	}
	return chosen, nil
}

// writeFiles puts a volume's files at a mount point: all of them, or with a subPath
// the one of that name as the mount point itself.
func writeFiles(at, subPath string, files map[string][]byte) error {
	for path, content := range files {
		target := filepath.Join(at, filepath.FromSlash(path))
		if subPath != "" {
			if path != subPath {
				continue
			}
			target = at
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
