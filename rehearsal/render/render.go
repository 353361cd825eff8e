// Package render writes what a planned stack would apply: each Kubernetes
// object as YAML, Helm releases as their values, each IAM policy as JSON. It is
// for people with a cluster of their own, who take the objects with kubectl, and
// for reviewers.
//
// A value that exists on AWS alone is a placeholder that the Kubernetes API
// still accepts, and is listed with the command that finds the real one.
package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"eks-gpu-slicing/rehearsal/engine"
)

// Placeholder stands for a value that only the user's account has.
type Placeholder struct {
	// Text stands in the files.
	Text string
	// Find is the command that finds the real value.
	Find string
}

// Rendering is the files of one stack, by name, and what to replace in them.
type Rendering struct {
	Files        map[string][]byte
	Placeholders []Placeholder
}

// securityGroup stands for the group that EKS makes for the cluster, nodesGroup for the
// one that the stack makes for Karpenter's nodes, subnet for one of the default VPC's. They
// pass the patterns of Karpenter's CRD, and none is part of another.
const (
	securityGroup = "sg-placeholder"
	nodesGroup    = "sg-nodes-placeholder"
	subnet        = "subnet-placeholder"
)

// nodesGroupName is the nodes' group's name in the program (nodepools/group.go).
const nodesGroupName = "pools-nodes"

// accountPlaceholder is AWS's own example of an account ID; policies name the
// account.
const accountPlaceholder = "111122223333"

// Plan renders a successful plan. It returns an error for an object without a
// fixed name and for one with an unknown value that has no placeholder.
func Plan(plan *engine.Plan) (*Rendering, error) {
	out := &renderer{Rendering: Rendering{Files: map[string][]byte{}}, subnets: map[string]string{}}
	for _, r := range plan.Resources {
		if err := out.add(r); err != nil {
			return nil, fmt.Errorf("%s: %w", r.URN, err)
		}
	}
	region, _ := plan.Outputs["region"].(string)
	cluster, _ := plan.Outputs["clusterName"].(string)
	out.Placeholders = append(out.Placeholders,
		Placeholder{accountPlaceholder, "aws sts get-caller-identity --query Account"},
		Placeholder{securityGroup, fmt.Sprintf("aws eks describe-cluster --region %s --name %s --query cluster.resourcesVpcConfig.clusterSecurityGroupId", region, cluster)})
	if out.nodesGroup != "" {
		out.Placeholders = append(out.Placeholders, Placeholder{nodesGroup,
			fmt.Sprintf("aws ec2 describe-security-groups --region %s --filters Name=group-name,Values=%s --query SecurityGroups[].GroupId, once the stack is up; without the stack remove its line", region, out.nodesGroup)})
	}
	for _, text := range slices.Sorted(maps.Values(out.subnets)) {
		out.Placeholders = append(out.Placeholders, Placeholder{text,
			fmt.Sprintf("aws ec2 describe-subnets --region %s --filters Name=default-for-az,Values=true --query Subnets[].SubnetId", region)})
	}
	return &out.Rendering, nil
}

type renderer struct {
	Rendering
	// subnets are the simulated account's, and what stands for each.
	subnets map[string]string
	// nodesGroup is the name of the group that the stack makes for Karpenter's nodes; "" where
	// it makes none.
	nodesGroup string
}

func (o *renderer) add(r engine.Resource) error {
	text := func(key string) string { s, _ := r.Inputs[key].(string); return s }
	switch r.Type {
	case "aws:ec2/securityGroup:SecurityGroup":
		if r.URN.Name() == nodesGroupName {
			o.nodesGroup = text("name")
		}
		return nil
	case "aws:iam/role:Role":
		return o.policy("trust-"+text("name"), text("assumeRolePolicy"))
	case "aws:iam/policy:Policy":
		return o.policy("policy-"+text("name"), text("policy"))
	case "aws:sqs/queuePolicy:QueuePolicy":
		return o.policy("queue-policy", text("policy"))
	case "kubernetes:helm.sh/v3:Release":
		values := r.Inputs["values"]
		if values == nil {
			values = map[string]any{}
		}
		return o.yaml("values-"+text("name"), values)
	}
	if !strings.HasPrefix(r.Type, "kubernetes:") {
		return nil
	}
	metadata, _ := r.Inputs["metadata"].(map[string]any)
	name, _ := metadata["name"].(string)
	kind := text("kind")
	if name == "" || kind == "" {
		return fmt.Errorf("kind %q, name %q: an object needs both, fixed", kind, name)
	}
	return o.yaml(strings.ToLower(kind)+"-"+name, r.Inputs)
}

func (o *renderer) policy(name, document string) error {
	var b bytes.Buffer
	if err := json.Indent(&b, []byte(document), "", "  "); err != nil {
		return fmt.Errorf("policy %s: %w", name, err)
	}
	b.WriteByte('\n')
	o.Files[name+".json"] = b.Bytes()
	return nil
}

func (o *renderer) yaml(name string, object any) error {
	placed, err := o.place("", object)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	encoder := yaml.NewEncoder(&b)
	encoder.SetIndent(2)
	if err := encoder.Encode(placed); err != nil {
		return err
	}
	o.Files[name+".yaml"] = b.Bytes()
	return nil
}

// groupTerms is where a node class names its security groups.
const groupTerms = ".spec.securityGroupSelectorTerms"

// place puts placeholders for values that are unknown, or known of the simulated
// account alone.
func (o *renderer) place(path string, value any) (any, error) {
	switch v := value.(type) {
	case map[string]any:
		placed := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			inner, err := o.place(path+"."+key, v[key])
			if err != nil {
				return nil, err
			}
			placed[key] = inner
		}
		return placed, nil
	case []any:
		placed := make([]any, len(v))
		for i, item := range v {
			// The nodes' group is the last of a class (classArgs in nodepools/classes.go).
			if term, ok := item.(map[string]any); ok && path == groupTerms && o.nodesGroup != "" && i == len(v)-1 && term["id"] == engine.Unknown {
				item = map[string]any{"id": nodesGroup}
			}
			inner, err := o.place(path, item)
			if err != nil {
				return nil, err
			}
			placed[i] = inner
		}
		return placed, nil
	case string:
		switch {
		case path == groupTerms+".id" && v == engine.Unknown:
			return securityGroup, nil
		case path == ".spec.subnetSelectorTerms.id":
			if o.subnets[v] == "" {
				o.subnets[v] = fmt.Sprintf("%s%d", subnet, len(o.subnets)+1)
			}
			return o.subnets[v], nil
		case v == engine.Unknown || v == engine.Secret:
			return nil, fmt.Errorf("%s is %s: only what exists on AWS alone may be left open", strings.TrimPrefix(path, "."), v)
		}
	}
	return value, nil
}

// Write writes the files into a folder, which it makes. It refuses one that
// holds other files, and changes nothing then: files of another run would be
// applied along with these.
func (r *Rendering) Write(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	for _, e := range entries {
		if _, ours := r.Files[e.Name()]; !ours {
			return fmt.Errorf("--out %s holds %s, which this stack does not render; give a new or an empty folder", dir, e.Name())
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		if err := os.WriteFile(filepath.Join(dir, name), r.Files[name], 0o644); err != nil {
			return err
		}
	}
	return nil
}
