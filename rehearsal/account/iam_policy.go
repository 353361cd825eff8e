package account

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account/authz"
)

// maxPolicyVersions is how many versions a managed policy keeps ("IAM and AWS
// STS quotas").
const maxPolicyVersions = 5

// Policy is a customer managed policy.
type Policy struct {
	ARN, Name, Path, Description string
	// ID is the unique ID, ANPA….
	ID string
	// DefaultVersionID is the version in force, such as v1.
	DefaultVersionID string
	AttachmentCount  int
	CreateDate       time.Time
	Tags             Tags
}

// PolicyVersion is one version of a managed policy.
type PolicyVersion struct {
	ID, Document string
	IsDefault    bool
	CreateDate   time.Time
}

type policy struct {
	Policy
	versions []PolicyVersion
	newest   int
}

// CreatePolicyInput says what a managed policy is to be. Path "" is /.
type CreatePolicyInput struct {
	Name, Path, Description, Document string
	Tags                              Tags
}

// CreatePolicy makes a customer managed policy with version v1.
func (a *Account) CreatePolicy(in CreatePolicyInput) (Policy, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if in.Path == "" {
		in.Path = "/"
	}
	if err := checkPath(in.Path); err != nil {
		return Policy{}, err
	}
	if len(in.Name) == 0 || len(in.Name) > 128 || !iamName(in.Name) {
		return Policy{}, refuse("ValidationError", "The specified value for policyName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_- and have 1 to 128 characters.")
	}
	for _, p := range a.iam.policies {
		if strings.EqualFold(p.Name, in.Name) {
			return Policy{}, refuse("EntityAlreadyExists", "A policy called %s already exists. Duplicate names are not allowed.", in.Name)
		}
	}
	if err := CheckPolicyDocument(in.Name, in.Document); err != nil {
		return Policy{}, err
	}
	if err := in.Tags.check("InvalidInput"); err != nil {
		return Policy{}, err
	}
	p := &policy{Policy: Policy{
		ARN: policyARN(in.Path, in.Name), Name: in.Name, Path: in.Path, Description: in.Description,
		ID: a.nextUnique("ANPA"), CreateDate: a.timestamp(), Tags: in.Tags.with(nil),
	}}
	a.iam.policies[p.ARN] = p
	p.add(in.Document, true, p.CreateDate)
	return a.policyClone(p), nil
}

func (p *policy) add(document string, setDefault bool, at time.Time) PolicyVersion {
	p.newest++
	v := PolicyVersion{ID: "v" + strconv.Itoa(p.newest), Document: document, CreateDate: at}
	if setDefault {
		p.DefaultVersionID = v.ID
	}
	p.versions = append(slices.Clone(p.versions), v)
	return v
}

// list is the versions with the one in force marked, newest first.
func (p *policy) list() []PolicyVersion {
	out := slices.Clone(p.versions)
	for i := range out {
		out[i].IsDefault = out[i].ID == p.DefaultVersionID
	}
	slices.Reverse(out)
	return out
}

func (a *Account) policyClone(p *policy) Policy {
	c := p.Policy
	c.Tags = p.Tags.with(nil)
	c.AttachmentCount = a.attachments(p.ARN)
	return c
}

func (a *Account) attachments(arn string) int {
	n := 0
	for _, r := range a.iam.roles {
		if slices.Contains(r.attached, arn) {
			n++
		}
	}
	return n
}

func (a *Account) policy(arn string) (*policy, error) {
	if p, ok := a.iam.policies[arn]; ok {
		return p, nil
	}
	return nil, refuse(noSuchEntity, "Policy %s was not found.", arn)
}

// attachable refuses the ARN of a policy that does not exist.
func (a *Account) attachable(arn string) error {
	if _, own := a.iam.policies[arn]; own || slices.Contains(awsManagedPolicies(), arn) {
		return nil
	}
	return refuse(noSuchEntity, "Policy %s does not exist or is not attachable.", arn)
}

// GetPolicy finds a customer managed policy by ARN.
func (a *Account) GetPolicy(arn string) (Policy, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.policy(arn)
	if err != nil {
		return Policy{}, err
	}
	return a.policyClone(p), nil
}

// GetPolicyVersion finds one version by ID.
func (a *Account) GetPolicyVersion(arn, id string) (PolicyVersion, error) {
	versions, err := a.ListPolicyVersions(arn)
	if err != nil {
		return PolicyVersion{}, err
	}
	for _, v := range versions {
		if v.ID == id {
			return v, nil
		}
	}
	return PolicyVersion{}, refuse(noSuchEntity, "Policy %s version %s does not exist or is not attachable.", arn, id)
}

// ListPolicyVersions lists the versions of a policy, newest first.
func (a *Account) ListPolicyVersions(arn string) ([]PolicyVersion, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.policy(arn)
	if err != nil {
		return nil, err
	}
	return p.list(), nil
}

// CreatePolicyVersion adds a version. A policy keeps five at most.
func (a *Account) CreatePolicyVersion(arn, document string, setDefault bool) (PolicyVersion, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.policy(arn)
	if err != nil {
		return PolicyVersion{}, err
	}
	if err := CheckPolicyDocument(arn, document); err != nil {
		return PolicyVersion{}, err
	}
	if len(p.versions) >= maxPolicyVersions {
		return PolicyVersion{}, refuse("LimitExceeded",
			"A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxPolicyVersions)
	}
	v := p.add(document, setDefault, a.timestamp())
	v.IsDefault = setDefault
	return v, nil
}

// DeletePolicyVersion deletes a version that is not the one in force.
func (a *Account) DeletePolicyVersion(arn, id string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.policy(arn)
	if err != nil {
		return err
	}
	if id == p.DefaultVersionID {
		return refuse("DeleteConflict", "Cannot delete the default version of a policy.")
	}
	at := slices.IndexFunc(p.versions, func(v PolicyVersion) bool { return v.ID == id })
	if at < 0 {
		return refuse(noSuchEntity, "Policy %s version %s does not exist or is not attachable.", arn, id)
	}
	p.versions = slices.Delete(slices.Clone(p.versions), at, at+1)
	return nil
}

// TagPolicy sets tags.
func (a *Account) TagPolicy(arn string, tags Tags) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.policy(arn)
	if err != nil {
		return err
	}
	if err := p.Tags.with(tags).check("InvalidInput"); err != nil {
		return err
	}
	p.Tags = p.Tags.with(tags)
	return nil
}

// UntagPolicy takes tags off by key.
func (a *Account) UntagPolicy(arn string, keys []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.policy(arn)
	if err != nil {
		return err
	}
	p.Tags = p.Tags.without(keys)
	return nil
}

// DeletePolicy deletes a policy that is attached nowhere and has no version
// but the one in force.
func (a *Account) DeletePolicy(arn string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, err := a.policy(arn)
	if err != nil {
		return err
	}
	if a.attachments(arn) > 0 {
		return refuse("DeleteConflict", "Cannot delete a policy attached to entities.")
	}
	if len(p.versions) > 1 {
		return refuse("DeleteConflict", "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	}
	delete(a.iam.policies, arn)
	return nil
}

// RolePolicies are the customer managed policies in force on a role, parsed.
// AWS's own are left out: their documents are not here.
func (a *Account) RolePolicies(roleName string) ([]*authz.Policy, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, err := a.role(roleName)
	if err != nil {
		return nil, err
	}
	var out []*authz.Policy
	for _, arn := range r.attached {
		p, own := a.iam.policies[arn]
		if !own {
			continue
		}
		for _, v := range p.list() {
			if !v.IsDefault {
				continue
			}
			parsed, err := authz.Parse(authz.Identity, arn, []byte(v.Document))
			if err != nil {
				return nil, err
			}
			out = append(out, parsed)
		}
	}
	return out, nil
}

// awsManagedPolicies are the AWS managed policies that may be attached: those
// that EKS, its nodes, its add-ons and the people who run it need (AWS Managed
// Policy Reference). The account refuses any other of AWS's some 1,300.
func awsManagedPolicies() []string {
	names := []string{
		"AdministratorAccess",
		"AmazonEC2ContainerRegistryPowerUser",
		"AmazonEC2ContainerRegistryPullOnly",
		"AmazonEC2ContainerRegistryReadOnly",
		"AmazonEC2FullAccess",
		"AmazonEC2ReadOnlyAccess",
		"AmazonEKSBlockStoragePolicy",
		"AmazonEKSClusterPolicy",
		"AmazonEKSComputePolicy",
		"AmazonEKSFargatePodExecutionRolePolicy",
		"AmazonEKSLoadBalancingPolicy",
		"AmazonEKSLocalOutpostClusterPolicy",
		"AmazonEKSNetworkingPolicy",
		"AmazonEKSServicePolicy",
		"AmazonEKSVPCResourceController",
		"AmazonEKSWorkerNodeMinimalPolicy",
		"AmazonEKSWorkerNodePolicy",
		"AmazonEKS_CNI_Policy",
		"AmazonPrometheusRemoteWriteAccess",
		"AmazonS3ReadOnlyAccess",
		"AmazonSSMManagedInstanceCore",
		"AmazonSSMPatchAssociation",
		"CloudWatchAgentServerPolicy",
		"ElasticLoadBalancingReadOnly",
		"PowerUserAccess",
		"ReadOnlyAccess",
		"SecurityAudit",
		"job-function/ViewOnlyAccess",
		"service-role/AmazonEBSCSIDriverPolicy",
		"service-role/AmazonEFSCSIDriverPolicy",
	}
	for i, n := range names {
		names[i] = "arn:aws:iam::aws:policy/" + n
	}
	return names
}
