package kubelet_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"eks-gpu-slicing/rehearsal/kubelet"
	"eks-gpu-slicing/rehearsal/kubelet/program"
)

// modeEnv makes this test binary the program that containers run.
const modeEnv = "PROGRAM_TEST_MODE"

// report is what the program says of itself in its log.
type report struct {
	Args     []string
	Env      map[string]string
	User     string // whom the API server takes it for
	Audience string // of its Pod Identity token
}

// beProgram is the program: it reports, serves its probes, and ends when it is told.
func beProgram(mode string) {
	if mode == "crash" {
		fmt.Println("cannot go on")
		os.Exit(5)
	}
	r := report{Args: os.Args[1:], Env: map[string]string{}}
	for _, e := range os.Environ() {
		name, value, _ := strings.Cut(e, "=")
		r.Env[name] = value
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	must(err)
	client, err := kubernetes.NewForConfig(cfg)
	must(err)
	who, err := client.AuthenticationV1().SelfSubjectReviews().Create(context.Background(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	must(err)
	r.User = who.Status.UserInfo.Username
	if file := os.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"); file != "" {
		token, err := os.ReadFile(file)
		must(err)
		claims, err := base64.RawURLEncoding.DecodeString(strings.Split(string(token), ".")[1])
		must(err)
		var parsed struct{ Aud []string }
		must(json.Unmarshal(claims, &parsed))
		r.Audience = strings.Join(parsed.Aud, ",")
	}
	must(json.NewEncoder(os.Stdout).Encode(r))

	begun := time.Now()
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if time.Since(begun) < 300*time.Millisecond {
			http.Error(w, "starting", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if mode == "sick" {
			http.Error(w, "ill", http.StatusInternalServerError)
		}
	})
	for _, name := range []string{"METRICS_PORT", "HEALTH_PROBE_PORT"} {
		l, err := net.Listen("tcp", "127.0.0.1:"+os.Getenv(name))
		must(err)
		go func() { must(http.Serve(l, mux)) }()
	}
	if mode == "deaf" {
		signal.Ignore(syscall.SIGTERM)
	}
	terminated := make(chan os.Signal, 1)
	if mode != "deaf" {
		signal.Notify(terminated, syscall.SIGTERM)
	}
	<-terminated
	fmt.Println("bye")
}

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// programFixture runs this test binary for the test's image.
func programFixture(t *testing.T) (*fixture, string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f := newFixture(t, kubelet.Config{Dir: dir, Images: map[string]kubelet.Image{appImage: program.New(program.Config{
		Binary: self, APIServer: world.cp.Endpoint(), CA: world.cp.CA(),
		AWS: func(_ context.Context, p *corev1.Pod) (program.AWS, error) {
			if p.Labels["aws"] == "broken" {
				return program.AWS{}, fmt.Errorf("no such role")
			}
			return program.AWS{
				CredentialsURI: "http://127.0.0.1:1/v1/credentials",
				Env:            map[string]string{"AWS_REGION": "us-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
			}, nil
		},
	})}})
	f.node(f.instance("m7g.large"))
	return f, dir
}

// controller is a pod as Karpenter's chart makes it.
func controller(mode string) func(*corev1.Pod) {
	return func(p *corev1.Pod) {
		seconds := int64(20)
		p.Spec.TerminationGracePeriodSeconds = &seconds
		c := &p.Spec.Containers[0]
		field := func(path string) *corev1.EnvVarSource {
			return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
		}
		of := func(name, divisor string) *corev1.EnvVarSource {
			return &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: name, Divisor: resource.MustParse(divisor)}}
		}
		c.Args = []string{"--port=8080", "--name", "$(SYSTEM_NAMESPACE)/x", "8081"}
		c.Env = []corev1.EnvVar{
			{Name: modeEnv, Value: mode},
			{Name: "METRICS_PORT", Value: "8080"},
			{Name: "HEALTH_PROBE_PORT", Value: "8081"},
			{Name: "SYSTEM_NAMESPACE", ValueFrom: field("metadata.namespace")},
			{Name: "NODE", ValueFrom: field("spec.nodeName")},
			{Name: "HOST_IP", ValueFrom: field("status.hostIP")},
			{Name: "CPU_REQUESTS", ValueFrom: of("requests.cpu", "1m")},
			{Name: "MEMORY_LIMIT", ValueFrom: of("limits.memory", "0")},
			{Name: "LEADER", Value: "$(SYSTEM_NAMESPACE)-leader"},
		}
		c.Ports = []corev1.ContainerPort{{Name: "http-metrics", ContainerPort: 8080}, {Name: "http", ContainerPort: 8081}}
		get := func(path string) corev1.ProbeHandler {
			return corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("http")}}
		}
		// A busy machine starts it late: until then nothing else is asked of it.
		c.StartupProbe = &corev1.Probe{ProbeHandler: get("/readyz"), PeriodSeconds: 1, FailureThreshold: 600, TimeoutSeconds: 30}
		// The delay is longer than any test waits: readiness is looked for at once.
		c.ReadinessProbe = &corev1.Probe{ProbeHandler: get("/readyz"), InitialDelaySeconds: 600, TimeoutSeconds: 30}
		c.LivenessProbe = &corev1.Probe{ProbeHandler: get("/healthz"), InitialDelaySeconds: 1, PeriodSeconds: 1, FailureThreshold: 1, TimeoutSeconds: 30}
		c.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m")}
		c.TerminationMessagePolicy = corev1.TerminationMessageFallbackToLogsOnError
	}
}

func (f *fixture) report(dir, pod string) report {
	f.t.Helper()
	var r report
	f.wait("the report of pod "+pod, func() (bool, string) {
		b, err := os.ReadFile(filepath.Join(dir, "logs", f.namespace+"_"+pod+"_main.log"))
		if err != nil {
			return false, err.Error()
		}
		return json.NewDecoder(strings.NewReader(string(b))).Decode(&r) == nil, string(b)
	})
	return r
}

func TestProgram(t *testing.T) {
	t.Parallel()
	f, dir := programFixture(t)
	f.create(f.pod("a", controller("serve")))
	f.create(f.pod("b", controller("serve")))
	pod := f.waitPod("a", "Ready", ready)
	f.waitPod("b", "Ready", ready)
	a, b := f.report(dir, "a"), f.report(dir, "b")
	port := func(r report, name string) string { return r.Env[name] }
	for _, name := range []string{"METRICS_PORT", "HEALTH_PROBE_PORT"} {
		if port(a, name) == port(b, name) || slices.Contains([]string{"8080", "8081", ""}, port(a, name)) {
			t.Errorf("%s is %q and %q, want free ports of their own", name, port(a, name), port(b, name))
		}
	}
	if want := []string{"--port=" + port(a, "METRICS_PORT"), "--name", f.namespace + "/x", port(a, "HEALTH_PROBE_PORT")}; !slices.Equal(a.Args, want) {
		t.Errorf("arguments %q, want %q", a.Args, want)
	}
	for name, want := range map[string]string{
		"SYSTEM_NAMESPACE": f.namespace, "LEADER": f.namespace + "-leader", "NODE": pod.Spec.NodeName, "HOST_IP": pod.Status.HostIP,
		"LEADER_ELECTION_NAMESPACE": f.namespace,
		"CPU_REQUESTS":              "100", "MEMORY_LIMIT": getNode(t, pod.Spec.NodeName).Status.Allocatable.Memory().AsDec().String(), "HOSTNAME": "a",
		"AWS_REGION": "us-west-1", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:1/v1/credentials",
		"PATH":                               "", "USER": "",
	} {
		if a.Env[name] != want {
			t.Errorf("%s is %q, want %q", name, a.Env[name], want)
		}
	}
	if want := "system:serviceaccount:" + f.namespace + ":default"; a.User != want {
		t.Errorf("the API server takes it for %q, want %q", a.User, want)
	}
	if want := "pods.eks.amazonaws.com"; a.Audience != want {
		t.Errorf("its Pod Identity token is for %q, want %q", a.Audience, want)
	}
	f.delete("a", 20)
	f.waitGone("a")
	f.wait("its last words", func() (bool, string) {
		log, err := os.ReadFile(filepath.Join(dir, "logs", f.namespace+"_a_main.log"))
		return strings.HasSuffix(string(log), "bye\n"), fmt.Sprint(string(log), err)
	})
}

func TestProgramThatDies(t *testing.T) {
	t.Parallel()
	f, _ := programFixture(t)
	f.create(f.pod("crash", controller("crash")))
	e := f.waitEvent(kubelet.ContainerDied, "cannot go on")
	if e.Pod.Name != "crash" || !strings.Contains(e.Message, "exit status 5") {
		t.Errorf("event %+v", e)
	}
	f.waitPod("crash", "restarted twice", func(p *corev1.Pod) bool {
		s := p.Status.ContainerStatuses
		return len(s) > 0 && s[0].RestartCount >= 2 && s[0].LastTerminationState.Terminated.Message == "cannot go on"
	})
	f.create(f.pod("sick", controller("sick")))
	f.waitEvent(kubelet.ContainerDied, "its liveness probe failed: /healthz answers 500 Internal Server Error")

	f.create(f.pod("poor", controller("serve"), func(p *corev1.Pod) { p.Labels = map[string]string{"aws": "broken"} }))
	f.waitEvent(kubelet.ContainerDied, "the container cannot be started: its access to AWS: no such role")
	f.create(f.pod("odd", controller("serve"), func(p *corev1.Pod) {
		p.Spec.Containers[0].Env = append(p.Spec.Containers[0].Env, corev1.EnvVar{Name: "SECRET", ValueFrom: &corev1.EnvVarSource{
			SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "a"}, Key: "b"},
		}})
	}))
	f.waitEvent(kubelet.ContainerDied, "variable SECRET: its source is neither")
}

func TestDeafProgramIsKilled(t *testing.T) {
	t.Parallel()
	f, dir := programFixture(t)
	f.create(f.pod("deaf", controller("deaf")))
	f.waitPod("deaf", "Ready", ready)
	f.report(dir, "deaf")
	began := time.Now()
	f.delete("deaf", 2)
	f.waitGone("deaf")
	if took := time.Since(began); took < time.Second || took > 15*time.Second {
		t.Errorf("with a grace period of 2s a deaf program took %v", took)
	}
	// Without time to end, it ends with the agents.
	f.create(f.pod("again", controller("deaf")))
	f.waitPod("again", "Ready", ready)
	if err := f.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "pods")); !os.IsNotExist(err) {
		t.Errorf("the pods' files are still there: %v", err)
	}
}
