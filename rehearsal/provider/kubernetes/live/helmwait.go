package live

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/kube"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/resource"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// pollInterval is between two looks at a release's objects.
const pollInterval = 200 * time.Millisecond

// unreadyObject is an object of a release that was not ready at the last look.
type unreadyObject struct {
	object runtime.Object
	why    string // Helm's words
}

func (c *releaseClient) unready() []unreadyObject {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.last)
}

// Wait waits until every object is ready.
func (c *releaseClient) Wait(resources kube.ResourceList, timeout time.Duration) error {
	return c.wait(resources, timeout, kube.PausedAsReady(true))
}

// WaitWithJobs waits for jobs to complete, too.
func (c *releaseClient) WaitWithJobs(resources kube.ResourceList, timeout time.Duration) error {
	return c.wait(resources, timeout, kube.PausedAsReady(true), kube.CheckJobs(true))
}

func (c *releaseClient) wait(resources kube.ResourceList, timeout time.Duration, o ...kube.ReadyCheckerOption) error {
	clientset, err := c.Factory.KubernetesClientSet()
	if err != nil {
		return err
	}
	var said []string
	checker := kube.NewReadyChecker(clientset, func(format string, a ...any) {
		said = append(said, fmt.Sprintf(format, a...))
	}, o...)
	return c.poll(timeout, func(ctx context.Context) (bool, error) {
		var unready []unreadyObject
		for _, r := range resources {
			said = nil
			ready, err := checker.IsReady(ctx, r)
			if ready {
				continue
			}
			why := strings.Join(said, "; ")
			if err != nil {
				why = err.Error()
			}
			if why == "" {
				why = fmt.Sprintf("%s is not ready: %s", r.Mapping.GroupVersionKind.Kind, r.ObjectName())
			}
			unready = append(unready, unreadyObject{object: r.Object, why: why})
		}
		if ctx.Err() != nil {
			return false, nil //nolint:nilerr // this look was cut short; the one before counts
		}
		c.mu.Lock()
		c.last = unready
		c.mu.Unlock()
		return len(unready) == 0, nil
	})
}

// WaitForDelete waits until every object is gone.
func (c *releaseClient) WaitForDelete(resources kube.ResourceList, timeout time.Duration) error {
	var left []string
	err := c.poll(timeout, func(context.Context) (bool, error) {
		left = nil
		for _, r := range resources {
			if err := r.Get(); err == nil {
				left = append(left, describe(r.Mapping.GroupVersionKind.Kind, r.Namespace, r.Name, finalizers(r)))
			} else if !apierrors.IsNotFound(err) {
				return false, err
			}
		}
		return len(left) == 0, nil
	})
	if err != nil && len(left) > 0 {
		return fmt.Errorf("%w; still there: %s", err, strings.Join(left, ", "))
	}
	return err
}

func (c *releaseClient) poll(timeout time.Duration, look wait.ConditionWithContextFunc) error {
	ctx, cancel := context.WithTimeout(c.ctx, timeout)
	defer cancel()
	return wait.PollUntilContextCancel(ctx, pollInterval, true, look)
}

func finalizers(r *resource.Info) []string {
	o, err := meta.Accessor(r.Object)
	if err != nil {
		return nil
	}
	return o.GetFinalizers()
}

func decodeRuntime(o runtime.Object) (*unstructured.Unstructured, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err != nil {
		return nil, err
	}
	return &unstructured.Unstructured{Object: m}, nil
}

// getter gives Helm its clients, with the release's namespace for objects that
// name none (helm_release.go, getActionConfig).
type getter struct {
	config    *rest.Config
	namespace string
}

// ToRESTConfig implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

// ToDiscoveryClient implements genericclioptions.RESTClientGetter.
func (g *getter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	d, err := discovery.NewDiscoveryClientForConfig(g.config)
	if err != nil {
		return nil, err
	}
	return memory.NewMemCacheClient(d), nil
}

// ToRESTMapper implements genericclioptions.RESTClientGetter.
func (g *getter) ToRESTMapper() (meta.RESTMapper, error) {
	d, err := g.ToDiscoveryClient()
	if err != nil {
		return nil, err
	}
	return restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(d), d, nil), nil
}

// ToRawKubeConfigLoader implements genericclioptions.RESTClientGetter.
func (g *getter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), &clientcmd.ConfigOverrides{
		Context: clientcmdapi.Context{Namespace: g.namespace},
	})
}
