// Package settings loads and validates the stack's config.
//
// The keys, their defaults and their descriptions are declared once, in
// Pulumi.yaml; this package reads the declaration, so that a default is
// written nowhere else and a key nobody declared is found.
//
// Gotchas:
//   - The engine checks only that a value has its declared type, in its own
//     words and before the program runs. It accepts any key, known or not, and
//     turns an unquoted version 1.30 into 1.3.
//   - Load never stops at the first problem. A setting that has one keeps its
//     zero value, so code that goes on to look things up must skip those.
//   - Nothing here knows AWS or Kubernetes: what only AWS can answer (is the
//     version offered, has the type a GPU) is checked by the part that asks.
package settings

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Sharing strategies of gpuSharing.
const (
	// SharingTimeSlicing lets pods take turns on a GPU. Neither memory nor
	// faults are isolated.
	SharingTimeSlicing = "time-slicing"
	// SharingMPS lets pods run on a GPU at once, through NVIDIA's Multi-Process
	// Service. Memory and compute are limited to equal parts; faults are not
	// isolated.
	SharingMPS = "mps"
	// SharingNone gives each pod whole GPUs.
	SharingNone = "none"
)

// Values of secretsEncryption beside the ARN of a key.
const (
	// SecretsKeyAWS is a key that AWS owns.
	SecretsKeyAWS = "aws"
	// SecretsKeyStack is a KMS key that the stack makes.
	SecretsKeyStack = "stack"
)

var sharings = []string{SharingTimeSlicing, SharingMPS, SharingNone}

// MaxSlices is the most pods that may share one GPU: the number of clients
// NVIDIA's MPS takes at most (docs.nvidia.com/deploy/mps, "Volta MPS"), kept for
// time-slicing too so that a stack can move between the two.
const MaxSlices = 48

// maxGPUs is the highest limit of a pool: far above what an account is given.
const maxGPUs = 10000

// MinClusterName is the shortest name EKS takes; the longest is
// MaxClusterName (CreateCluster in the EKS API reference).
const (
	MinClusterName = 1
	MaxClusterName = 100
)

// Settings is one stack's config, typed. See Pulumi.yaml for what each key means.
type Settings struct {
	// Region is the AWS region, from aws:region.
	Region string
	// ClusterName names the EKS cluster and, through Name, everything else.
	ClusterName string
	// Existing tells that the cluster is there already, made by others.
	Existing bool
	// Version is the Kubernetes version EKS runs. That of an existing cluster is its
	// own: see Runs.
	Version Version
	// AMIFamily is al2 or al2023; auto is resolved once Version is known.
	AMIFamily AMIFamily
	// AMIVersion is the pinned AMI release, or latest.
	AMIVersion string
	// PublicAccessCIDRs may reach the public API endpoint.
	PublicAccessCIDRs []string
	// SecretsEncryption is SecretsKeyAWS, SecretsKeyStack or the ARN of a KMS key.
	SecretsEncryption string

	// GPUPools are the pool of the simple settings, named PoolGPU, and then those
	// of gpuPools. A pool whose name has a problem has none.
	GPUPools []GPUPool
	// CPULimit caps each CPU pool, in vCPUs; 0 is for no such pools.
	CPULimit int

	// ControllerInstanceType, ControllerMin, ControllerMax and
	// ControllerDesired size the controller node group.
	ControllerInstanceType                          string
	ControllerMin, ControllerMax, ControllerDesired int

	// GPUMetrics deploys dcgm-exporter on GPU nodes.
	GPUMetrics bool

	// InstallKarpenter is false where an existing cluster has a Karpenter of its own.
	InstallKarpenter bool
	// KarpenterDeployment is where that one is, as NAMESPACE/NAME, and NodeClass the
	// name of the EC2NodeClass of its that GPU nodes are made of.
	KarpenterDeployment, NodeClass string
	// NodeSubnets and NodeSecurityGroups are for the nodes of a Karpenter that the
	// stack installs into an existing cluster; none are the cluster's own.
	NodeSubnets, NodeSecurityGroups []string
	// KarpenterVersion is a release without the leading v.
	KarpenterVersion string
	// DevicePluginVersion and DCGMExporterVersion are releases without the leading
	// v, or such with the digest of the image: "0.17.4@sha256:…".
	DevicePluginVersion, DCGMExporterVersion string

	// CreateSpotRole creates the account's AWSServiceRoleForEC2Spot.
	CreateSpotRole bool
	// Tags go on everything that takes tags: the user's, and [ClusterTag].
	Tags map[string]string
	// AWS holds the config of the aws namespace (region, profile, assumeRole,
	// …) as the engine hands it over: plain text, or JSON for a structure.
	AWS map[string]string
	// Credentials are of AWS too: whose access to the cluster it is.
	Credentials Credentials
}

// Credentials say as whom `aws eks get-token` asks for access to the cluster. Empty
// values leave it to its environment.
type Credentials struct{ Profile, RoleARN string }

// NeedsKarpenter tells whether there is a pool whose nodes Karpenter launches.
func (s *Settings) NeedsKarpenter() bool {
	return s.InstallKarpenter || slices.ContainsFunc(s.GPUPools, func(p GPUPool) bool { return p.Nodes == NodeLabel{} })
}

// ClusterTag is a tag of everything that the stack makes and that takes tags; its
// value is the cluster's name. It tells on the bill, and to whoever looks for what is
// left, whose a thing is.
const ClusterTag = "eks-gpu-slicing/cluster"

// SecretsKeyTag is a tag of a cluster that encrypts with a key of one's own. It holds
// what secretsEncryption was: EKS's answer that the program sees leaves the key out.
const SecretsKeyTag = "eks-gpu-slicing/secrets-encryption"

// Name returns the name of a part of the stack: "<cluster>-<part>", at most
// limit characters. AWS's names are shorter than the 100 characters of an EKS
// cluster's, so a long one is cut and carries a hash of the whole cluster name;
// it stays the same from run to run, which makes a second creation fail where
// an auto-named one would double the thing.
func (s *Settings) Name(part string, limit int) string {
	name := s.ClusterName + "-" + part
	if len(name) <= limit {
		return name
	}
	sum := sha256.Sum256([]byte(s.ClusterName))
	hash := hex.EncodeToString(sum[:])[:8]
	keep := max(limit-len(part)-len(hash)-2, 0)
	return s.ClusterName[:keep] + "-" + hash + "-" + part
}

// Load reads the stack's config against the schema. config has the engine's
// form: "namespace:key" to plain text or JSON. It returns the settings and all
// problems at once; a setting with a problem is left at its zero value.
func Load(schema *Schema, config map[string]string) (*Settings, Problems) {
	l := &loader{schema: schema, config: config}
	name, existing := l.clusterName()
	s := &Settings{
		Region:            l.region(),
		ClusterName:       name,
		Existing:          existing,
		AMIFamily:         AMIFamily(l.oneOf("amiFamily", string(AMIFamilyAuto), string(AMIFamilyAL2), string(AMIFamilyAL2023))),
		AMIVersion:        l.amiVersion(),
		PublicAccessCIDRs: l.cidrs(existing),
		SecretsEncryption: l.secretsEncryption(),

		GPUPools:   l.gpuPools(),
		GPUMetrics: l.boolean("gpuMetrics"),
		CPULimit:   l.wholeNumber("cpuLimit", l.text("cpuLimit"), l.standard("cpuLimit"), 0, 100000),

		ControllerInstanceType: l.instanceType("controllerInstanceType"),

		KarpenterVersion:    l.release("karpenterVersion"),
		DevicePluginVersion: l.imageRelease("devicePluginVersion"),
		DCGMExporterVersion: l.imageRelease("dcgmExporterVersion"),
		CreateSpotRole:      l.boolean("createSpotRole"),
		Tags:                l.tags(),
		AWS:                 l.namespace("aws"),
		Credentials:         l.credentials(),
	}
	l.existing(s)
	if s.Tags == nil {
		s.Tags = map[string]string{}
	}
	s.Tags[ClusterTag] = s.ClusterName
	if !existing {
		l.problems = append(l.problems, s.Runs(l.version())...)
	}
	s.ControllerMin, s.ControllerMax, s.ControllerDesired = l.controllers()
	l.unknownKeys()
	return s, l.problems
}

// Set returns the command that sets one of the project's keys, or a path within
// one, such as gpuInstanceTypes[0].
func Set(at, value string) string {
	if isPath(at) {
		return fmt.Sprintf("pulumi config set --path '%s' %s", at, value)
	}
	return fmt.Sprintf("pulumi config set %s %s", at, value)
}

// remove returns the command that removes what Set sets.
func remove(at string) string {
	if isPath(at) {
		return fmt.Sprintf("pulumi config rm --path '%s'", at)
	}
	return "pulumi config rm " + at
}

func isPath(at string) bool { return strings.ContainsAny(at, "[.") }

// sortedKeys lists a map's keys, sorted: map order must never reach a message.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
