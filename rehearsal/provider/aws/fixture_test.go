package aws_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/provider"
	"eks-gpu-slicing/rehearsal/provider/aws"
)

const (
	roleType     = "aws:iam/role:Role"
	clusterType  = "aws:eks/cluster:Cluster"
	groupType    = "aws:eks/nodeGroup:NodeGroup"
	templateType = "aws:ec2/launchTemplate:LaunchTemplate"
	queueType    = "aws:sqs/queue:Queue"
)

// stack does to a provider what the engine does.
type stack struct {
	t       *testing.T
	account *account.Account
	plugin.Provider
	// made are the resources in the order they were made.
	made []*made
}

// made is a resource in the stack's state.
type made struct {
	typ, name string
	id        resource.ID
	in, out   resource.PropertyMap
}

func (m *made) str(path ...string) string { return provider.String(m.out, path...) }

func open(t *testing.T, region, world string, config map[string]any) *stack {
	t.Helper()
	a, err := account.New(account.Options{Region: region, World: world, Now: func() time.Time {
		return time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	}})
	if err != nil {
		t.Fatal(err)
	}
	return attach(t, a, config)
}

// attach is a provider instance on an account.
func attach(t *testing.T, a *account.Account, config map[string]any) *stack {
	t.Helper()
	s := &stack{t: t, account: a, Provider: aws.New(a)()}
	t.Cleanup(func() { _ = s.Close() })
	in := map[string]any{"region": a.Region()}
	maps.Copy(in, config)
	if _, err := s.Configure(t.Context(), plugin.ConfigureRequest{Inputs: resource.NewPropertyMapFromMap(in)}); err != nil {
		t.Fatal(err)
	}
	return s
}

func urn(typ, name string) resource.URN {
	return resource.NewURN("dev", "test", "", tokens.Type(typ), name)
}

// check fills inputs in; old is nil for a new resource.
func (s *stack) check(typ, name string, in map[string]any, old *made) (resource.PropertyMap, []plugin.CheckFailure) {
	s.t.Helper()
	r := plugin.CheckRequest{
		URN: urn(typ, name), Name: name, Type: tokens.Type(typ), News: properties(in), RandomSeed: []byte("a seed of thirty-two bytes, more"),
	}
	if old != nil {
		r.Olds = old.in
	}
	res, err := s.Check(s.t.Context(), r)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.Properties, res.Failures
}

// unknown is a value that a preview does not know.
type unknown struct{}

func properties(in map[string]any) resource.PropertyMap {
	return resource.NewPropertyMapFromMapRepl(in, nil, func(v any) (resource.PropertyValue, bool) {
		if _, ok := v.(unknown); ok {
			return resource.MakeComputed(resource.NewStringProperty("")), true
		}
		return resource.PropertyValue{}, false
	})
}

func (s *stack) mustCheck(typ, name string, in map[string]any, old *made) resource.PropertyMap {
	s.t.Helper()
	out, failures := s.check(typ, name, in, old)
	if len(failures) > 0 {
		s.t.Fatalf("%s %s: %v", typ, name, failures)
	}
	return out
}

func (s *stack) preview(typ, name string, in map[string]any) resource.PropertyMap {
	s.t.Helper()
	res, err := s.Create(s.t.Context(), plugin.CreateRequest{
		URN: urn(typ, name), Name: name, Type: tokens.Type(typ), Properties: s.mustCheck(typ, name, in, nil), Preview: true,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return res.Properties
}

// tryUp makes a resource, which the account may refuse.
func (s *stack) tryUp(typ, name string, in map[string]any) (*made, error) {
	s.t.Helper()
	m := &made{typ: typ, name: name, in: s.mustCheck(typ, name, in, nil)}
	res, err := s.Create(s.t.Context(), plugin.CreateRequest{URN: urn(typ, name), Name: name, Type: tokens.Type(typ), Properties: m.in})
	if err != nil {
		return nil, err
	}
	m.id, m.out = res.ID, res.Properties
	s.made = append(s.made, m)
	return m, nil
}

func (s *stack) up(typ, name string, in map[string]any) *made {
	s.t.Helper()
	m, err := s.tryUp(typ, name, in)
	if err != nil {
		s.t.Fatalf("%s %s: %v", typ, name, err)
	}
	return m
}

func (s *stack) diff(m *made, in map[string]any) plugin.DiffResult {
	s.t.Helper()
	res, err := s.Diff(s.t.Context(), plugin.DiffRequest{
		URN: urn(m.typ, m.name), Name: m.name, Type: tokens.Type(m.typ), ID: m.id,
		OldInputs: m.in, OldOutputs: m.out, NewInputs: s.mustCheck(m.typ, m.name, in, m),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return res
}

func (s *stack) tryUpdate(m *made, in map[string]any, preview bool) (resource.PropertyMap, error) {
	s.t.Helper()
	inputs := s.mustCheck(m.typ, m.name, in, m)
	res, err := s.Update(s.t.Context(), plugin.UpdateRequest{
		URN: urn(m.typ, m.name), Name: m.name, Type: tokens.Type(m.typ), ID: m.id,
		OldInputs: m.in, OldOutputs: m.out, NewInputs: inputs, Preview: preview,
	})
	if err == nil && !preview {
		m.in, m.out = inputs, res.Properties
	}
	return res.Properties, err
}

func (s *stack) update(m *made, in map[string]any) {
	s.t.Helper()
	if _, err := s.tryUpdate(m, in, false); err != nil {
		s.t.Fatalf("%s %s: %v", m.typ, m.name, err)
	}
}

func (s *stack) refresh(m *made) plugin.ReadResult {
	s.t.Helper()
	res, err := s.Read(s.t.Context(), plugin.ReadRequest{
		URN: urn(m.typ, m.name), Name: m.name, Type: tokens.Type(m.typ), ID: m.id, Inputs: m.in, State: m.out,
	})
	if err != nil {
		s.t.Fatalf("%s %s: %v", m.typ, m.name, err)
	}
	return res.ReadResult
}

// drift are the paths in which a resource is not as its inputs say, as the
// engine's refresh finds them.
func (s *stack) drift(m *made) map[string]plugin.DiffKind {
	s.t.Helper()
	now := s.refresh(m)
	res, err := s.Diff(s.t.Context(), plugin.DiffRequest{
		URN: urn(m.typ, m.name), Name: m.name, Type: tokens.Type(m.typ), ID: m.id,
		OldInputs: now.Inputs, OldOutputs: now.Outputs, NewInputs: m.in,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return kinds(res)
}

func kinds(d plugin.DiffResult) map[string]plugin.DiffKind {
	out := map[string]plugin.DiffKind{}
	for path, p := range d.DetailedDiff {
		out[path] = p.Kind
	}
	return out
}

func (s *stack) delete(m *made) error {
	s.t.Helper()
	_, err := s.Delete(s.t.Context(), plugin.DeleteRequest{
		URN: urn(m.typ, m.name), Name: m.name, Type: tokens.Type(m.typ), ID: m.id, Inputs: m.in, Outputs: m.out,
	})
	return err
}

// destroy deletes everything, the newest first.
func (s *stack) destroy() {
	s.t.Helper()
	for _, m := range slices.Backward(s.made) {
		if err := s.delete(m); err != nil {
			s.t.Errorf("deleting %s %s: %v", m.typ, m.name, err)
		}
	}
	if d := cmp.Diff([]account.Resource(nil), s.account.Leftovers()); d != "" {
		s.t.Errorf("left over (-want +got):\n%s", d)
	}
}

func (s *stack) invoke(token string, args map[string]any) (map[string]any, error) {
	s.t.Helper()
	res, err := s.Invoke(s.t.Context(), plugin.InvokeRequest{Tok: tokens.ModuleMember(token), Args: properties(args)})
	if len(res.Failures) > 0 {
		s.t.Fatalf("%s: %v", token, res.Failures)
	}
	return res.Properties.Mappable(), err
}

func (s *stack) answer(token string, args map[string]any) map[string]any {
	s.t.Helper()
	out, err := s.invoke(token, args)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func trust(service string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
}

const allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// subnets are the subnets of the default VPC.
func (s *stack) subnets() []any {
	s.t.Helper()
	ids, ok := s.answer("aws:ec2/getSubnets:getSubnets", map[string]any{})["ids"].([]any)
	if !ok {
		s.t.Fatal("getSubnets gave no ids")
	}
	return ids
}

func (s *stack) roleInputs(name, service string) map[string]any {
	return map[string]any{"name": name, "assumeRolePolicy": trust(service)}
}

func (s *stack) clusterInputs(role *made) map[string]any {
	return map[string]any{
		"name": "c", "version": "1.28", "roleArn": role.str("arn"), "enabledClusterLogTypes": []any{"audit", "authenticator"},
		"vpcConfig": map[string]any{
			"subnetIds": s.subnets(), "endpointPrivateAccess": true, "endpointPublicAccess": true, "publicAccessCidrs": []any{"0.0.0.0/0"},
		},
		"accessConfig": map[string]any{"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": true},
	}
}

// withCluster is a stack with a cluster c, and the logs it writes.
func withCluster(t *testing.T) (*stack, *made) {
	t.Helper()
	s := open(t, "us-west-2", "", nil)
	s.up("aws:cloudwatch/logGroup:LogGroup", "logs", map[string]any{"name": "/aws/eks/c/cluster", "retentionInDays": 30})
	return s, s.up(clusterType, "c", s.clusterInputs(s.up(roleType, "cluster", s.roleInputs("c-cluster", "eks.amazonaws.com"))))
}

func templateInputs() map[string]any {
	return map[string]any{
		"name": "controllers", "updateDefaultVersion": true,
		"metadataOptions": map[string]any{"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
		"blockDeviceMappings": []any{map[string]any{"deviceName": "/dev/xvda", "ebs": map[string]any{
			"volumeType": "gp3", "volumeSize": 20, "encrypted": "true", "deleteOnTermination": "true",
		}}},
		"tagSpecifications": []any{map[string]any{"resourceType": "instance", "tags": map[string]any{"Name": "controller"}}},
	}
}

func (s *stack) nodegroupInputs(role, template *made) map[string]any {
	return map[string]any{
		"clusterName": "c", "nodeGroupName": "controllers", "nodeRoleArn": role.str("arn"), "subnetIds": s.subnets(), "version": "1.28",
		"amiType": "AL2_ARM_64", "instanceTypes": []any{"m7g.large"},
		"launchTemplate": map[string]any{"id": string(template.id), "version": template.str("latestVersion")},
		"scalingConfig":  map[string]any{"minSize": 1, "maxSize": 3, "desiredSize": 2},
		"updateConfig":   map[string]any{"maxUnavailable": 1},
		"labels":         map[string]any{"karpenter.sh/controller": "true"},
		"taints":         []any{map[string]any{"key": "karpenter.sh/controller", "value": "true", "effect": "NO_SCHEDULE"}},
	}
}

// copyOf is a deep copy of inputs, for a test to change.
func copyOf(in map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range in {
		if m, ok := v.(map[string]any); ok {
			v = copyOf(m)
		}
		out[k] = v
	}
	return out
}

// set is a copy of inputs with the value at a dotted path changed; a nil value
// takes it away.
func set(in map[string]any, path string, v any) map[string]any {
	out := copyOf(in)
	at, keys := out, strings.Split(path, ".")
	for _, k := range keys[:len(keys)-1] {
		next, ok := at[k].(map[string]any)
		if !ok {
			next = map[string]any{}
			at[k] = next
		}
		at = next
	}
	if at[keys[len(keys)-1]] = v; v == nil {
		delete(at, keys[len(keys)-1])
	}
	return out
}
