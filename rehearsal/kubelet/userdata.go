package kubelet

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/aws/karpenter-provider-aws/pkg/providers/amifamily/bootstrap/mime"
	nodeadm "github.com/awslabs/amazon-eks-ami/nodeadm/api/v1alpha1"
	"github.com/google/shlex"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/kubernetes/pkg/util/taints"
	"sigs.k8s.io/yaml"
)

// request is what user data asks of the kubelet. Maps and numbers are zero where
// it asks nothing.
type request struct {
	labels         map[string]string
	taints         []corev1.Taint
	maxPods        int32
	podsPerCore    int32
	kubeReserved   map[string]string
	systemReserved map[string]string
	evictionHard   map[string]string
}

// parseUserData reads user data as cloud-init and the EKS AMIs do: a MIME archive
// whose parts are shell scripts, of which those that call /etc/eks/bootstrap.sh
// matter (AL2), and NodeConfigs (AL2023, nodeadm); or one of them without archive.
// Several parts apply in their order. Other scripts are ignored: there is no
// machine to run them on.
func parseUserData(encoded string) (request, error) {
	var asked request
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return asked, fmt.Errorf("it is not base64: %w", err)
	}
	text := strings.TrimSpace(string(raw))
	var parts mime.Archive
	switch {
	case text == "":
		return asked, nil
	case strings.HasPrefix(text, "MIME-Version:"), strings.HasPrefix(text, "Content-Type:"):
		if parts, err = mime.NewArchive(text); err != nil {
			return asked, fmt.Errorf("it is not a MIME archive: %w", err)
		}
	case strings.HasPrefix(text, "#!"):
		parts = mime.Archive{{ContentType: mime.ContentTypeShellScript, Content: text}}
	default:
		parts = mime.Archive{{ContentType: mime.ContentTypeNodeConfig, Content: text}}
	}
	for _, part := range parts {
		if strings.HasPrefix(string(part.ContentType), string(mime.ContentTypeNodeConfig)) {
			err = asked.readNodeConfig(part.Content)
		} else {
			err = asked.readScript(part.Content)
		}
		if err != nil {
			return request{}, err
		}
	}
	return asked, nil
}

// readNodeConfig applies a NodeConfig: its kubelet configuration, then its flags,
// which win (nodeadm/internal/kubelet/config.go in awslabs/amazon-eks-ami).
func (r *request) readNodeConfig(text string) error {
	var node nodeadm.NodeConfig
	if err := yaml.UnmarshalStrict([]byte(text), &node); err != nil {
		return fmt.Errorf("it holds a NodeConfig that nodeadm refuses: %w", err)
	}
	if node.Kind != "NodeConfig" {
		return fmt.Errorf("it holds a %q where nodeadm expects a NodeConfig", node.Kind)
	}
	inline, err := json.Marshal(node.Spec.Kubelet.Config)
	if err != nil {
		return err
	}
	var config kubeletconfig.KubeletConfiguration
	if err := json.Unmarshal(inline, &config); err != nil {
		return fmt.Errorf("its kubelet configuration: %w", err)
	}
	r.taints = append(r.taints, config.RegisterWithTaints...)
	if config.MaxPods != 0 {
		r.maxPods = config.MaxPods
	}
	if config.PodsPerCore != 0 {
		r.podsPerCore = config.PodsPerCore
	}
	r.kubeReserved = merge(r.kubeReserved, config.KubeReserved)
	r.systemReserved = merge(r.systemReserved, config.SystemReserved)
	r.evictionHard = merge(r.evictionHard, config.EvictionHard)
	// A flag is written as for a shell: --node-labels="a=b,c=d".
	return r.readFlags(strings.Join(node.Spec.Kubelet.Flags, " "))
}

// readScript applies the kubelet's extra arguments of a call of bootstrap.sh.
func (r *request) readScript(text string) error {
	const call = "/etc/eks/bootstrap.sh"
	_, command, called := strings.Cut(text, call)
	if !called {
		return nil
	}
	// One command: up to the first line end that no backslash escapes.
	command = strings.ReplaceAll(command, "\\\n", " ")
	command, _, _ = strings.Cut(command, "\n")
	words, err := shlex.Split(command)
	if err != nil {
		return fmt.Errorf("it calls bootstrap.sh with arguments no shell can read: %w", err)
	}
	for i, word := range words[:max(0, len(words)-1)] {
		if word == "--kubelet-extra-args" {
			return r.readFlags(words[i+1])
		}
	}
	return nil
}

// readFlags applies flags of the kubelet. Those that change nothing a node shows
// are passed over.
func (r *request) readFlags(line string) error {
	words, err := shlex.Split(line)
	if err != nil {
		return fmt.Errorf("the kubelet's flags %q: %w", line, err)
	}
	flags := pflag.NewFlagSet("kubelet", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	labels := flags.StringToString("node-labels", nil, "")
	taintSpecs := flags.StringSlice("register-with-taints", nil, "")
	flags.Int32Var(&r.maxPods, "max-pods", r.maxPods, "")
	flags.Int32Var(&r.podsPerCore, "pods-per-core", r.podsPerCore, "")
	kube := flags.StringToString("kube-reserved", nil, "")
	system := flags.StringToString("system-reserved", nil, "")
	eviction := flags.StringSlice("eviction-hard", nil, "")
	if err := flags.Parse(words); err != nil {
		return fmt.Errorf("the kubelet's flags %q: %w", line, err)
	}
	added, _, err := taints.ParseTaints(*taintSpecs)
	if err != nil {
		return fmt.Errorf("the kubelet's flag --register-with-taints: %w", err)
	}
	r.taints = append(r.taints, added...)
	r.labels = merge(r.labels, *labels)
	r.kubeReserved = merge(r.kubeReserved, *kube)
	r.systemReserved = merge(r.systemReserved, *system)
	for _, threshold := range *eviction {
		signal, value, ok := strings.Cut(threshold, "<")
		if !ok {
			return errors.New("the kubelet's flag --eviction-hard wants signal<value, not " + threshold)
		}
		r.evictionHard = merge(r.evictionHard, map[string]string{signal: value})
	}
	return nil
}

func merge(into, from map[string]string) map[string]string {
	if into == nil {
		return maps.Clone(from)
	}
	maps.Copy(into, from)
	return into
}
