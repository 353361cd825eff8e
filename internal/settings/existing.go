package settings

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// clusterName reads the name of the cluster, one to be made or the existing one.
func (l *loader) clusterName() (name string, existing bool) {
	key, mend := "clusterName", l.standard("clusterName")
	if l.text("existingCluster") != "" {
		key, mend, existing = "existingCluster", "NAME, one of aws eks list-clusters", true
	}
	text := l.text(key)
	if len(text) < MinClusterName || len(text) > MaxClusterName || !namePattern.MatchString(text) {
		l.reject(key, text, fmt.Sprintf("%d to %d letters, digits, - and _, the first a letter or digit: what EKS takes",
			MinClusterName, MaxClusterName), Set(key, mend))
		return "", existing
	}
	return text, existing
}

// own refuses a setting that is about something else than what the stack has to do
// with: where holds what it is about.
func (l *loader) own(key string, holds bool, where string) {
	if text := l.text(key); !holds && text != l.standard(key) {
		l.reject(key, text, "not to be set: it is about "+where, remove(key))
	}
}

// existing reads what is about an existing cluster, and whether it goes together.
func (l *loader) existing(s *Settings) {
	installs := l.boolean("installKarpenter")
	s.InstallKarpenter = installs
	if !s.Existing && !installs {
		l.reject("installKarpenter", "false", "true: a cluster that the stack makes has no other Karpenter; or an existingCluster", Set("installKarpenter", "true"))
	}
	l.own("karpenterDeployment", s.Existing && !installs, "the Karpenter of an existing cluster, with installKarpenter false")
	l.own("nodeClass", s.Existing && !installs, "the Karpenter of an existing cluster, with installKarpenter false")
	l.own("nodeSubnets", s.Existing && installs, "the nodes of a Karpenter that the stack installs into an existing cluster")
	l.own("nodeSecurityGroups", s.Existing && installs, "the nodes of a Karpenter that the stack installs into an existing cluster")
	l.own("createSpotRole", installs, "the nodes of a Karpenter that the stack installs")
	l.own("secretsEncryption", !s.Existing, "a cluster that the stack makes")
	s.KarpenterDeployment = l.matching("karpenterDeployment", deploymentPattern, "NAMESPACE/NAME of a Deployment")
	s.NodeClass = l.nodeClass()
	s.NodeSubnets = l.ids("nodeSubnets", "subnet-")
	s.NodeSecurityGroups = l.ids("nodeSecurityGroups", "sg-")
	if s.Existing && !installs && s.NeedsKarpenter() && l.text("nodeClass") == "" {
		l.reject("nodeClass", "", classWant, Set("nodeClass", "default"))
	}
}

const classWant = "an EC2NodeClass of the cluster's own Karpenter that GPU nodes are made of; kubectl get ec2nodeclasses lists them"

func (l *loader) nodeClass() string {
	text := l.text("nodeClass")
	if text != "" && !classPattern.MatchString(text) {
		l.reject("nodeClass", text, classWant, Set("nodeClass", "default"))
		return ""
	}
	return text
}

var (
	deploymentPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	classPattern      = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
)

// ids reads a list of EC2's IDs of one kind, each once.
func (l *loader) ids(key, prefix string) []string {
	items, ok := l.list(key, l.text(key))
	if !ok {
		return nil
	}
	pattern := regexp.MustCompile(`^` + prefix + `[0-9a-z]+$`)
	var good []string
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case !pattern.MatchString(item):
			l.reject(at, item, "an ID such as "+prefix+"0123456789abcdef0", Set(at, prefix+"ID"))
		case slices.Contains(good, item):
			l.reject(at, item, "each once", remove(at))
		default:
			good = append(good, item)
		}
	}
	return good
}

// credentials reads whose the access to the cluster is: what the AWS provider is
// told must reach `aws eks get-token`, which asks for the cluster's tokens.
func (l *loader) credentials() Credentials {
	const key = "aws:assumeRole"
	c := Credentials{Profile: l.config["aws:profile"]}
	text, ok := l.config[key]
	if !ok {
		return c
	}
	var role struct {
		RoleARN    string `json:"roleArn"`
		ExternalID string `json:"externalId"`
	}
	switch err := json.Unmarshal([]byte(text), &role); {
	case err != nil:
		l.reject(key, text, "a role such as {roleArn: arn:aws:iam::111122223333:role/admin}", "pulumi config set --path aws:assumeRole.roleArn arn:aws:iam::111122223333:role/admin")
	case role.ExternalID != "":
		l.reject(key+".externalId", role.ExternalID, "nothing: the tokens for the cluster come from `aws eks get-token`, which knows no external ID. "+
			"A profile can name one, beside its role_arn", "pulumi config rm aws:assumeRole && pulumi config set aws:profile PROFILE")
	}
	c.RoleARN = role.RoleARN
	return c
}

// nodeLabel reads a node label KEY=VALUE from the text of the value at a key or a
// path; "" is none.
func (l *loader) nodeLabel(at, text string) NodeLabel {
	if text == "" {
		return NodeLabel{}
	}
	key, value, _ := strings.Cut(text, "=")
	if !labelKey.MatchString(key) || len(key) > 317 || !labelValue.MatchString(value) || len(value) > 63 {
		l.reject(at, text, "a node label, KEY=VALUE, such as eks.amazonaws.com/nodegroup=gpu", Set(at, "eks.amazonaws.com/nodegroup=gpu"))
		return NodeLabel{}
	}
	return NodeLabel{Key: key, Value: value}
}

var (
	labelKey   = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)
	labelValue = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$`)
)
