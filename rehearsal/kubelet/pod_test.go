package kubelet_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"eks-gpu-slicing/rehearsal/kubelet"
)

// app is an image whose behaviour the test decides.
type app func(ctx context.Context, c *kubelet.Container) kubelet.Exit

func (a app) Run(ctx context.Context, c *kubelet.Container) kubelet.Exit { return a(ctx, c) }

const appImage = "example.com/app"

func TestPodRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{})
	i := f.instance("m7g.large")
	name := f.node(i)
	f.create(f.pod("web"))
	p := f.waitPod("web", "Ready", ready)
	if p.Status.Phase != corev1.PodRunning || p.Spec.NodeName != name || p.Status.HostIP != i.PrivateIP || p.Status.StartTime == nil {
		t.Errorf("status %+v on node %q", p.Status, p.Spec.NodeName)
	}
	if !strings.HasPrefix(p.Status.PodIP, "100.64.") || p.Status.PodIPs[0].IP != p.Status.PodIP {
		t.Errorf("the pod has the addresses %q and %v", p.Status.PodIP, p.Status.PodIPs)
	}
	if s := p.Status.ContainerStatuses[0]; s.State.Running == nil || !s.Ready || s.RestartCount != 0 || s.ContainerID == "" {
		t.Errorf("container status %+v", s)
	}
	f.create(f.pod("host", func(p *corev1.Pod) { p.Spec.HostNetwork = true }))
	if p := f.waitPod("host", "Ready", ready); p.Status.PodIP != i.PrivateIP {
		t.Errorf("a pod in the host's network has the address %q, want %q", p.Status.PodIP, i.PrivateIP)
	}
	began := time.Now()
	f.delete("web", 30)
	f.waitGone("web")
	if took := time.Since(began); took > 25*time.Second {
		t.Errorf("a container that ends at once took %v to be gone", took)
	}
}

func TestPull(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{Delays: kubelet.Delays{Pull: 3 * time.Second}})
	f.node(f.instance("m7g.large"))
	f.create(f.pod("slow"))
	p := f.waitPod("slow", "pulling", func(p *corev1.Pod) bool { return len(p.Status.ContainerStatuses) > 0 })
	if s := p.Status.ContainerStatuses[0]; p.Status.Phase != corev1.PodPending || s.State.Waiting == nil || s.State.Waiting.Reason != "ContainerCreating" {
		t.Errorf("while the image is pulled the status is %+v", p.Status)
	}
	f.waitPod("slow", "Ready", ready)
}

func TestJob(t *testing.T) {
	t.Parallel()
	f := newFixture(t, kubelet.Config{Delays: kubelet.Delays{Job: 100 * time.Millisecond}})
	f.node(f.instance("m7g.large"))
	two := int32(2)
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "work"},
		Spec: batchv1.JobSpec{Completions: &two, Template: corev1.PodTemplateSpec{Spec: f.pod("", func(p *corev1.Pod) {
			p.Spec.RestartPolicy = corev1.RestartPolicyNever
		}).Spec}},
	}
	if _, err := world.admin.BatchV1().Jobs(f.namespace).Create(t.Context(), job, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.wait("the job to complete", func() (bool, string) {
		j, err := world.admin.BatchV1().Jobs(f.namespace).Get(t.Context(), "work", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return j.Status.Succeeded == 2, fmt.Sprintf("%+v", j.Status)
	})
	f.create(f.pod("alone", func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyOnFailure }))
	p := f.waitPod("alone", "Succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	if s := p.Status.ContainerStatuses[0].State.Terminated; s == nil || s.ExitCode != 0 || s.Reason != "Completed" {
		t.Errorf("its container ended as %+v", s)
	}
	if ready(p) {
		t.Error("a finished pod is ready")
	}
}

func TestGracePeriod(t *testing.T) {
	t.Parallel()
	var stops, kills atomic.Int32
	stubborn := app(func(ctx context.Context, c *kubelet.Container) kubelet.Exit {
		<-ctx.Done()
		stops.Add(1)
		time.Sleep(time.Until(c.StopBy()))
		kills.Add(1)
		return kubelet.Exit{Code: 137}
	})
	f := newFixture(t, kubelet.Config{Images: map[string]kubelet.Image{appImage: stubborn}})
	f.node(f.instance("m7g.large"))

	f.create(f.pod("stubborn"))
	f.waitPod("stubborn", "Ready", ready)
	began := time.Now()
	f.delete("stubborn", 2)
	p := f.waitPod("stubborn", "terminating", func(p *corev1.Pod) bool { return p.DeletionTimestamp != nil })
	if p.Status.Phase != corev1.PodRunning {
		t.Errorf("a pod whose container still ends is %s", p.Status.Phase)
	}
	f.waitGone("stubborn")
	// The API server keeps the moment to the second.
	if took := time.Since(began); took < time.Second || took > 25*time.Second {
		t.Errorf("with a grace period of 2s a container that does not end took %v", took)
	}

	f.create(f.pod("forced"))
	f.waitPod("forced", "Ready", ready)
	f.delete("forced", 0)
	f.wait("the container of a pod deleted by force to be killed", func() (bool, string) {
		return kills.Load() == 2, fmt.Sprintf("%d stops, %d kills", stops.Load(), kills.Load())
	})

	hook := func(p *corev1.Pod) {
		p.Spec.Containers[0].Image = "example.com/simulated"
		p.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: 1}}}
	}
	f.create(f.pod("sleeper", hook))
	f.waitPod("sleeper", "Ready", ready)
	began = time.Now()
	f.delete("sleeper", 30)
	f.waitGone("sleeper")
	if took := time.Since(began); took < time.Second || took > 25*time.Second {
		t.Errorf("a preStop hook of 1s took %v", took)
	}
}

func TestRestarts(t *testing.T) {
	t.Parallel()
	var runs atomic.Int32
	flaky := app(func(ctx context.Context, c *kubelet.Container) kubelet.Exit {
		n := runs.Add(1)
		_, _ = fmt.Fprintf(c.Log, "run %d\n", n)
		if n < 3 {
			return kubelet.Exit{Code: 7}
		}
		<-ctx.Done()
		return kubelet.Exit{}
	})
	dir := t.TempDir()
	f := newFixture(t, kubelet.Config{
		Dir: dir, Images: map[string]kubelet.Image{appImage: flaky}, Delays: kubelet.Delays{Restart: 2 * time.Second},
	})
	f.node(f.instance("m7g.large"))
	f.create(f.pod("flaky", func(p *corev1.Pod) {
		p.Spec.Containers[0].TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	}))
	p := f.waitPod("flaky", "in CrashLoopBackOff", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) > 0 && s[0].State.Waiting != nil && s[0].State.Waiting.Reason == "CrashLoopBackOff"
	})
	if last := p.Status.ContainerStatuses[0].LastTerminationState.Terminated; last == nil || last.ExitCode != 7 || last.Reason != "Error" || !strings.Contains(last.Message, "run 2") {
		t.Errorf("the last run ended as %+v", last)
	}
	if p.Status.Phase != corev1.PodRunning || ready(p) {
		t.Errorf("meanwhile the pod is %s, ready: %v", p.Status.Phase, ready(p))
	}
	p = f.waitPod("flaky", "Ready", ready)
	if got := p.Status.ContainerStatuses[0].RestartCount; got != 2 {
		t.Errorf("the container was restarted %d times, want 2", got)
	}
	e := f.waitEvent(kubelet.ContainerDied, "run 2")
	if e.Pod.Name != "flaky" || e.Container != "main" || !strings.Contains(e.Message, "exit status 7") || !strings.Contains(e.Message, dir) {
		t.Errorf("event %+v, want one with the status, the log's file and its last lines", e)
	}

	failing := func(p *corev1.Pod) { p.Spec.RestartPolicy = corev1.RestartPolicyNever }
	runs.Store(0)
	f.create(f.pod("once", failing))
	p = f.waitPod("once", "Failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	if s := p.Status.ContainerStatuses[0]; s.RestartCount != 0 || s.State.Terminated == nil || s.State.Terminated.ExitCode != 7 {
		t.Errorf("its container ended as %+v", s)
	}
	if runs.Load() != 1 {
		t.Errorf("a pod that never restarts ran %d times", runs.Load())
	}
}

func TestInitContainersAndSidecars(t *testing.T) {
	t.Parallel()
	order := make(chan string, 10)
	image := app(func(ctx context.Context, c *kubelet.Container) kubelet.Exit {
		order <- c.Spec.Name
		switch c.Spec.Name {
		case "second":
			time.Sleep(300 * time.Millisecond)
			order <- "second ends"
		case "sidecar":
			<-ctx.Done()
			order <- "sidecar ends"
		case "main":
			time.Sleep(300 * time.Millisecond)
			order <- "main ends"
		}
		return kubelet.Exit{}
	})
	f := newFixture(t, kubelet.Config{Images: map[string]kubelet.Image{appImage: image}})
	f.node(f.instance("m7g.large"))
	always := corev1.ContainerRestartPolicyAlways
	f.create(f.pod("staged", func(p *corev1.Pod) {
		p.Spec.RestartPolicy = corev1.RestartPolicyNever
		p.Spec.InitContainers = []corev1.Container{
			{Name: "first", Image: appImage},
			{Name: "sidecar", Image: appImage, RestartPolicy: &always},
			{Name: "second", Image: appImage},
		}
	}))
	p := f.waitPod("staged", "Succeeded", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodSucceeded })
	var got []string
	for range 7 {
		got = append(got, <-order)
	}
	slices.Sort(got[1:3]) // the sidecar and the init container after it start together
	if want := []string{"first", "second", "sidecar", "second ends", "main", "main ends", "sidecar ends"}; !slices.Equal(got, want) {
		t.Errorf("the order is %q, want %q", got, want)
	}
	for _, s := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
		if s.State.Terminated == nil {
			t.Errorf("container %s is %+v at the end", s.Name, s.State)
		}
	}
}

func TestFailedInitContainer(t *testing.T) {
	t.Parallel()
	image := app(func(context.Context, *kubelet.Container) kubelet.Exit { return kubelet.Exit{Code: 3} })
	f := newFixture(t, kubelet.Config{Images: map[string]kubelet.Image{appImage: image}})
	f.node(f.instance("m7g.large"))
	broken := func(policy corev1.RestartPolicy) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Spec.RestartPolicy = policy
			p.Spec.Containers[0].Image = "example.com/simulated"
			p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: appImage}}
		}
	}
	f.create(f.pod("never", broken(corev1.RestartPolicyNever)))
	f.waitPod("never", "Failed", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed })
	f.create(f.pod("always", broken(corev1.RestartPolicyAlways)))
	p := f.waitPod("always", "retrying", func(p *corev1.Pod) bool {
		s := p.Status.InitContainerStatuses
		return len(s) > 0 && s[0].RestartCount > 0
	})
	if s := p.Status.ContainerStatuses[0]; p.Status.Phase != corev1.PodPending || s.State.Waiting == nil || s.State.Waiting.Reason != "PodInitializing" {
		t.Errorf("a pod whose init container fails is %s, its container %+v", p.Status.Phase, s)
	}
}

func TestConfigMapMount(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	image := app(func(ctx context.Context, c *kubelet.Container) kubelet.Exit {
		var got []string
		for _, file := range []string{"etc/app/a.txt", "etc/app/b/c.txt", "etc/one.txt"} {
			b, err := os.ReadFile(filepath.Join(c.Root, file))
			got = append(got, fmt.Sprintf("%s=%s %v", file, b, err))
		}
		seen <- strings.Join(got, "; ")
		<-ctx.Done()
		return kubelet.Exit{}
	})
	dir := t.TempDir()
	f := newFixture(t, kubelet.Config{Dir: dir, Images: map[string]kubelet.Image{appImage: image}})
	f.node(f.instance("m7g.large"))
	volume := func(name string, items ...corev1.KeyToPath) corev1.Volume {
		return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}, Items: items,
		}}}
	}
	created := f.create(f.pod("reader", func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{
			volume("all", corev1.KeyToPath{Key: "a", Path: "a.txt"}, corev1.KeyToPath{Key: "c", Path: "b/c.txt"}),
			volume("one"),
		}
		p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{
			{Name: "all", MountPath: "/etc/app"}, {Name: "one", MountPath: "/etc/one.txt", SubPath: "a"},
		}
	}))
	e := f.waitEvent(kubelet.MountFailed, `configmaps "settings" not found`)
	if e.Pod.Name != "reader" || !strings.Contains(e.Message, `volume "all"`) {
		t.Errorf("event %+v", e)
	}
	p, err := f.get("reader")
	if err != nil {
		t.Fatal(err)
	}
	if p.Status.Phase != corev1.PodPending {
		t.Errorf("a pod without its volume is %s", p.Status.Phase)
	}
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"a": "A"}, BinaryData: map[string][]byte{"c": []byte("C")}}
	if _, err := world.admin.CoreV1().ConfigMaps(f.namespace).Create(t.Context(), cm, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.waitPod("reader", "Ready", ready)
	if got, want := <-seen, "etc/app/a.txt=A <nil>; etc/app/b/c.txt=C <nil>; etc/one.txt=A <nil>"; got != want {
		t.Errorf("the container sees %s, want %s", got, want)
	}
	f.delete("reader", 1)
	f.waitGone("reader")
	f.wait("the pod's files to be gone", func() (bool, string) {
		_, err := os.Stat(filepath.Join(dir, "pods", string(created.UID)))
		return os.IsNotExist(err), fmt.Sprint(err)
	})
}

func TestReadinessIsTheImages(t *testing.T) {
	t.Parallel()
	turn := make(chan bool)
	image := app(func(ctx context.Context, c *kubelet.Container) kubelet.Exit {
		for {
			select {
			case <-ctx.Done():
				return kubelet.Exit{}
			case ready := <-turn:
				c.SetReady(ready)
			}
		}
	})
	f := newFixture(t, kubelet.Config{Images: map[string]kubelet.Image{appImage: image}})
	f.node(f.instance("m7g.large"))
	f.create(f.pod("probed", func(p *corev1.Pod) {
		p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}}
	}))
	p := f.waitPod("probed", "Running", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	if ready(p) {
		t.Error("a container with a readiness probe is ready before the image says so")
	}
	turn <- true
	f.waitPod("probed", "Ready", ready)
	turn <- false
	f.waitPod("probed", "not Ready", func(p *corev1.Pod) bool { return !ready(p) })
}
