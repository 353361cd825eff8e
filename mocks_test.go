package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	awseks "github.com/pulumi/pulumi-aws/sdk/v6/go/aws/eks"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// Values that only AWS knows. `rehearse render` writes the same, so that the
// goldens of both are one set; they pass the CRDs' patterns.
const (
	accountID     = "111122223333"
	securityGroup = "sg-placeholder"
	nodesGroup    = "sg-nodes-placeholder"
)

// world is the account as the mocks answer for it.
type world struct {
	vpcs     []string
	subnets  map[string]subnet
	zoneIDs  []string
	versions map[string]string // Kubernetes version to support status
	clusters map[string]standing
	keys     map[string]string // KMS key's ARN to its state
	// objects are those of the cluster, by type token and ID.
	objects map[string]map[string]any
	queues  map[string]map[string]any // names to tags
	logs    map[string]map[string]any // names of log groups to tags
	// fails are look-ups that get no answer, by the end of their tokens.
	fails    map[string]error
	caller   string // its ARN
	offered  map[string]instanceType
	zonesOf  map[string][]string // of a type that is not offered in all
	spotRole bool
}

// standing is a cluster that stands.
type standing struct {
	version, status, mode string
	autoMode              bool
	subnets               []string
	tags                  map[string]string
	agent                 map[string]string // the Pod Identity agent's tags; nil for none
	nodes                 map[string]int    // of each managed node group
	nodeSubnets           []string          // of all of them
	entries               []string          // principals that have an access entry
}

// answer is the cluster as its look-up gives it.
func (c standing) answer(name string) map[string]any {
	tags := map[string]any{}
	for k, v := range c.tags {
		tags[k] = v
	}
	return map[string]any{
		"name": name, "version": c.version, "status": c.status, "endpoint": "https://endpoint", "tags": tags,
		"accessConfigs":          []any{map[string]any{"authenticationMode": c.mode}},
		"certificateAuthorities": []any{map[string]any{"data": "Y2E="}},
		"computeConfigs":         []any{map[string]any{"enabled": c.autoMode}},
		"vpcConfig":              map[string]any{"endpointPublicAccess": true, "vpcId": "vpc-placeholder", "clusterSecurityGroupId": securityGroup, "subnetIds": anys(c.subnets)},
	}
}

type subnet struct {
	zone, zoneID string
	public       bool
	vpc          string // "" is the default VPC
}

type instanceType struct {
	arch                  string
	gpu                   string // EC2's name of it
	gpus                  int
	interfaces, addresses int // of the first network card, which is all but p4d's only one
}

// plainWorld is an account in which both stacks can be built.
func plainWorld() *world {
	return &world{
		vpcs: []string{"vpc-placeholder"},
		subnets: map[string]subnet{
			"subnet-placeholder1": {"a", "az1", true, ""},
			"subnet-placeholder2": {"b", "az3", true, ""},
		},
		zoneIDs:  []string{"az1", "az2", "az3"},
		versions: map[string]string{"1.28": "EXTENDED_SUPPORT", "1.34": "STANDARD_SUPPORT", "1.35": "STANDARD_SUPPORT"},
		clusters: map[string]standing{},
		caller:   "arn:aws:iam::" + accountID + ":user/me",
		offered: map[string]instanceType{
			"m7g.large":     {"arm64", "", 0, 3, 10},
			"m7i.large":     {"x86_64", "", 0, 3, 10},
			"g4dn.xlarge":   {"x86_64", "T4", 1, 3, 10},
			"g4dn.2xlarge":  {"x86_64", "T4", 1, 3, 10},
			"g4dn.4xlarge":  {"x86_64", "T4", 1, 3, 10},
			"g4dn.12xlarge": {"x86_64", "T4", 4, 8, 30},
			"g4dn.metal":    {"x86_64", "T4", 8, 15, 50},
			"g5.xlarge":     {"x86_64", "A10G", 1, 4, 15},
			"g6.12xlarge":   {"x86_64", "L4", 4, 8, 30},
			"p3.2xlarge":    {"x86_64", "V100", 1, 4, 15},
			"p4d.24xlarge":  {"x86_64", "A100", 8, 15, 50},
			"g5g.xlarge":    {"arm64", "T4g", 1, 4, 15},
		},
		spotRole: true,
	}
}

// recorder keeps what the program registers; mocks are called concurrently.
type recorder struct {
	*world
	mu        sync.Mutex
	resources map[string]registered // by "type::name"
	asked     []string              // invoke tokens
	reads     []string              // keys of what the program reads
	refused   settings.Problems     // while it was built
}

func (r *recorder) refuse(p settings.Problems) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused = append(r.refused, p...)
}

// registered is one resource as the program asked for it.
type registered struct {
	typ, name, provider string
	inputs              resource.PropertyMap
	// direct are the keys of the resources it depends on: those it names, those
	// its inputs come from, its parent's none.
	direct []string
}

func key(urn string) string {
	u := resource.URN(urn)
	return string(u.Type()) + "::" + u.Name()
}

// eksChild stands for the cluster that the component makes: the SDK looks up the
// reference it returns, and panics when there is nothing to find.
const eksChild = "child"

func (r *recorder) NewResource(a pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	if a.ReadRPC != nil {
		object, ok := r.objects[a.TypeToken+" "+a.ID]
		if !ok {
			return "", nil, fmt.Errorf("resource '%s' does not exist", a.ID)
		}
		r.mu.Lock()
		r.reads = append(r.reads, a.TypeToken+"::"+a.Name)
		r.mu.Unlock()
		return a.ID, resource.NewPropertyMapFromMap(object), nil
	}
	rpc := a.RegisterRPC
	direct := slices.Clone(rpc.GetDependencies())
	for _, d := range rpc.GetPropertyDependencies() {
		direct = append(direct, d.GetUrns()...)
	}
	if provider, _, ok := strings.Cut(a.Provider, "::unknown"); ok || a.Provider != "" {
		direct = append(direct, provider[:strings.LastIndex(provider, "::")])
	}
	one := registered{typ: a.TypeToken, name: a.Name, provider: a.Provider, inputs: a.Inputs}
	for _, urn := range direct {
		one.direct = append(one.direct, key(urn))
	}
	slices.Sort(one.direct)
	one.direct = slices.Compact(one.direct)
	r.mu.Lock()
	r.resources[a.TypeToken+"::"+a.Name] = one
	r.mu.Unlock()

	out, text := a.Inputs.Copy(), resource.NewStringProperty
	switch a.TypeToken {
	case "aws:eks/cluster:Cluster":
		out["endpoint"] = text("https://endpoint")
		out["vpcConfig"] = resource.NewObjectProperty(resource.PropertyMap{"clusterSecurityGroupId": text(securityGroup)})
	case "eks:index:Cluster":
		urn := resource.NewURN("test", "eks-gpu-slicing", "", "aws:eks/cluster:Cluster", eksChild)
		out["eksCluster"] = resource.MakeCustomResourceReference(urn, eksChild, "")
		out["kubeconfigJson"] = text("{}")
		return "", out, nil
	case "aws:kms/alias:Alias": // of a key of its name
		out["targetKeyArn"] = text("arn:" + a.Name)
	case "aws:ec2/securityGroup:SecurityGroup":
		return nodesGroup, out, nil
	case "aws:iam/role:Role", "aws:iam/policy:Policy", "aws:sqs/queue:Queue", "aws:kms/key:Key":
		out["arn"] = text("arn:" + a.Name)
		out["url"] = text("https://queue")
	}
	return a.Name + "-id", out, nil
}

func (r *recorder) Call(a pulumi.MockCallArgs) (resource.PropertyMap, error) {
	r.mu.Lock()
	r.asked = append(r.asked, a.Token)
	r.mu.Unlock()
	answer, err := r.answer(a)
	if err != nil {
		return nil, err
	}
	return resource.NewPropertyMapFromMap(answer), nil
}

func (w *world) answer(a pulumi.MockCallArgs) (map[string]any, error) {
	_, name, _ := strings.Cut(a.Token, "/")
	if err := w.fails[name]; err != nil {
		return nil, err
	}
	named := func(key string) string {
		if v := a.Args[resource.PropertyKey(key)]; v.IsString() {
			return v.StringValue()
		}
		return ""
	}
	cluster := w.clusters[named("clusterName")]
	absent := func(what string) (map[string]any, error) {
		return nil, fmt.Errorf("reading %s: couldn't find resource", what)
	}
	switch name {
	case "getSessionContext:getSessionContext":
		arn := named("arn")
		if role, ok := strings.CutPrefix(arn, "arn:aws:sts::"+accountID+":assumed-role/"); ok {
			role, _, _ = strings.Cut(role, "/")
			arn = "arn:aws:iam::" + accountID + ":role/" + role
		}
		return map[string]any{"issuerArn": arn}, nil
	case "getAccessEntry:getAccessEntry":
		if !slices.Contains(cluster.entries, named("principalArn")) {
			return absent("EKS Access Entry")
		}
		return map[string]any{"principalArn": named("principalArn")}, nil
	case "getAddon:getAddon":
		if cluster.agent == nil {
			return absent("EKS Add-On")
		}
		tags := map[string]any{}
		for k, v := range cluster.agent {
			tags[k] = v
		}
		return map[string]any{"tags": tags}, nil
	case "getQueues:getQueues":
		var urls []string
		for name := range w.queues {
			if strings.HasPrefix(name, named("queueNamePrefix")) {
				urls = append(urls, "https://sqs/"+name)
			}
		}
		slices.Sort(urls)
		return map[string]any{"queueUrls": anys(urls)}, nil
	case "getLogGroups:getLogGroups":
		return map[string]any{"logGroupNames": anys(slices.Sorted(maps.Keys(w.logs)))}, nil
	case "getLogGroup:getLogGroup":
		return map[string]any{"name": named("name"), "tags": w.logs[named("name")]}, nil
	case "getQueue:getQueue":
		return map[string]any{"tags": w.queues[named("name")]}, nil
	case "getNodeGroups:getNodeGroups":
		return map[string]any{"names": anys(slices.Sorted(maps.Keys(cluster.nodes)))}, nil
	case "getNodeGroup:getNodeGroup":
		return map[string]any{"scalingConfigs": []any{map[string]any{"desiredSize": cluster.nodes[named("nodeGroupName")]}}, "subnetIds": anys(cluster.nodeSubnets)}, nil
	case "getCallerIdentity:getCallerIdentity":
		return map[string]any{"accountId": accountID, "arn": w.caller}, nil
	case "getPartition:getPartition":
		return map[string]any{"partition": "aws", "dnsSuffix": "amazonaws.com"}, nil
	case "getVpcs:getVpcs":
		return map[string]any{"ids": anys(w.vpcs)}, nil
	case "getAvailabilityZones:getAvailabilityZones":
		return map[string]any{"zoneIds": anys(w.zoneIDs), "names": []any{"a", "b"}}, nil
	case "getSubnets:getSubnets":
		return map[string]any{"ids": anys(slices.Sorted(maps.Keys(w.subnets)))}, nil
	case "getSubnet:getSubnet":
		id := a.Args["id"].StringValue()
		s := w.subnets[id]
		if s.vpc == "" {
			s.vpc = w.vpcs[0]
		}
		return map[string]any{"id": id, "vpcId": s.vpc, "availabilityZone": s.zone, "availabilityZoneId": s.zoneID, "mapPublicIpOnLaunch": s.public}, nil
	case "getClusters:getClusters":
		return map[string]any{"names": anys(slices.Sorted(maps.Keys(w.clusters)))}, nil
	case "getCluster:getCluster":
		c, ok := w.clusters[named("name")]
		if !ok {
			return absent("EKS Cluster (" + named("name") + ")")
		}
		return c.answer(named("name")), nil
	case "getKey:getKey":
		arn := a.Args["keyId"].StringValue()
		state, ok := w.keys[arn]
		if !ok {
			return nil, fmt.Errorf("reading KMS Key (%s): couldn't find resource", arn)
		}
		key := map[string]any{"keyState": state, "keySpec": "SYMMETRIC_DEFAULT", "keyUsage": "ENCRYPT_DECRYPT", "deletionDate": "2026-12-24T00:00:00Z"}
		if state == "asymmetric" {
			key["keyState"], key["keySpec"], key["keyUsage"] = "Enabled", "RSA_2048", "SIGN_VERIFY"
		}
		return key, nil
	case "getClusterVersions:getClusterVersions":
		var list []any
		for v, status := range w.versions {
			list = append(list, map[string]any{"clusterVersion": v, "versionStatus": status})
		}
		return map[string]any{"clusterVersions": list}, nil
	case "getAddonVersion:getAddonVersion":
		return map[string]any{"version": "v0.1.0-for-" + a.Args["kubernetesVersion"].StringValue()}, nil
	case "getInstanceTypeOfferings:getInstanceTypeOfferings":
		var types, places []any
		for _, filter := range a.Args["filters"].ArrayValue() {
			if filter.ObjectValue()["name"].StringValue() != "location" {
				continue
			}
			for _, zone := range filter.ObjectValue()["values"].ArrayValue() {
				for _, name := range slices.Sorted(maps.Keys(w.offered)) {
					if in, some := w.zonesOf[name]; !some || slices.Contains(in, zone.StringValue()) {
						types, places = append(types, name), append(places, zone.StringValue())
					}
				}
			}
		}
		return map[string]any{"instanceTypes": types, "locations": places}, nil
	case "getInstanceType:getInstanceType":
		name := a.Args["instanceType"].StringValue()
		t := w.offered[name]
		d := map[string]any{
			"instanceType": name, "supportedArchitectures": []any{t.arch},
			"maximumNetworkInterfaces": t.interfaces, "maximumIpv4AddressesPerInterface": t.addresses,
			"networkCards": []any{map[string]any{"index": 0, "maximumInterfaces": t.interfaces}},
		}
		if name == "p4d.24xlarge" {
			d["maximumNetworkInterfaces"] = 4 * t.interfaces
		}
		if t.gpus > 0 {
			d["gpuses"] = []any{map[string]any{"name": t.gpu, "count": t.gpus, "manufacturer": "NVIDIA"}}
		}
		return d, nil
	case "getRoles:getRoles":
		if w.spotRole {
			return map[string]any{"names": []any{"AWSServiceRoleForEC2Spot"}}, nil
		}
		return map[string]any{"names": []any{}}, nil
	}
	return nil, fmt.Errorf("no mock answers %s", a.Token)
}

func anys(list []string) []any {
	out := make([]any, 0, len(list))
	for _, s := range list {
		out = append(out, s)
	}
	return out
}

// plan runs the program against a world and returns what it registered.
func plan(t *testing.T, w *world, config map[string]string) (*recorder, error) {
	t.Helper()
	r := &recorder{world: w, resources: map[string]registered{}}
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		child, err := awseks.NewCluster(ctx, eksChild, &awseks.ClusterArgs{
			Name:    pulumi.String(config["eks-gpu-slicing:clusterName"]),
			RoleArn: pulumi.String("arn:role"), VpcConfig: awseks.ClusterVpcConfigArgs{SubnetIds: pulumi.StringArray{}},
		})
		if err != nil {
			return err
		}
		registered := make(chan struct{})
		child.URN().ApplyT(func(pulumi.URN) error { close(registered); return nil })
		<-registered
		return run(ctx, config, r.refuse)
	}, pulumi.WithMocks("eks-gpu-slicing", "test", r))
	return r, err
}

// needs is all that a resource waits for, directly or not.
func (r *recorder) needs(of string) map[string]bool {
	all := map[string]bool{}
	var visit func(string)
	visit = func(k string) {
		for _, d := range r.resources[k].direct {
			if !all[d] {
				all[d] = true
				visit(d)
			}
		}
	}
	visit(of)
	return all
}

// depth is the layer of a resource: the length of the longest chain of resources
// that must be there before it.
func (r *recorder) depth(of string) int {
	deepest := 0
	for _, d := range r.resources[of].direct {
		deepest = max(deepest, r.depth(d)+1)
	}
	return deepest
}

// ofType lists the keys of the resources whose type has the prefix, sorted.
func (r *recorder) ofType(prefix string) []string {
	var keys []string
	for k := range r.resources {
		if strings.HasPrefix(k, prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}
