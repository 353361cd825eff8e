package account

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account/authz"
)

// Credentials sign requests. Expires is zero for those that do not.
type Credentials struct {
	AccessKeyID, SecretAccessKey, SessionToken string
	Expires                                    time.Time
}

// Session is who an access key belongs to.
type Session struct {
	Credentials
	Principal authz.Principal
	// UserID is the unique ID as GetCallerIdentity answers it: AIDA… or AROA…:SESSION.
	UserID string
	// Role is the name of the role behind it; "" for the user at the keyboard.
	Role string
	// SessionName is the name a role was assumed under.
	SessionName string
	// Issued is when the session began.
	Issued time.Time
	// PrincipalTags are the role's tags and those of the session, which win.
	PrincipalTags Tags
}

func newSecret(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) //nolint:errcheck // crypto/rand.Read never fails
	return base64.StdEncoding.EncodeToString(b)
}

func newKeyID(prefix string) string {
	b := make([]byte, 8)
	rand.Read(b) //nolint:errcheck // crypto/rand.Read never fails
	return prefix + strings.ToUpper(hex.EncodeToString(b))
}

// UserCredentials are a long-term access key of the user at the keyboard, who has
// AdministratorAccess.
func (a *Account) UserCredentials() Credentials {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := Credentials{AccessKeyID: newKeyID("AKIA"), SecretAccessKey: newSecret(30)}
	a.compute.sessions[c.AccessKeyID] = &Session{
		Credentials: c, Principal: authz.Principal{ARN: CallerARN, Account: ID}, UserID: uniqueID("AIDA", "rehearsal"),
	}
	return c
}

// SessionOf finds who an access key belongs to.
func (a *Account) SessionOf(accessKeyID string) (Session, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.compute.sessions[accessKeyID]
	if !ok {
		return Session{}, false
	}
	c := *s
	c.PrincipalTags = s.PrincipalTags.with(nil)
	return c, true
}

// AssumeRoleInput asks for a session of a role.
type AssumeRoleInput struct {
	RoleARN, SessionName string
	// Duration of the session; 0 is an hour.
	Duration time.Duration
	Tags     Tags
}

// AssumeRole begins a session of a role. Whether the caller may is asked of allow before, as IAM
// sees it, with the role's trust policy; allow is asked while the account is locked.
func (a *Account) AssumeRole(in AssumeRoleInput, allow func(trust *authz.Policy, calls ...authz.Call) error) (Session, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !regexp.MustCompile(`^[\w+=,.@-]{2,64}$`).MatchString(in.SessionName) {
		return Session{}, refuse("ValidationError", "1 validation error detected: Value '%s' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]* and have 2 to 64 characters", in.SessionName)
	}
	if in.Duration == 0 {
		in.Duration = time.Hour
	}
	target := authz.Target{Type: "role", ARN: in.RoleARN, RequestTags: in.Tags}
	// A role that is not there is answered as one that trusts nobody: STS does not tell which.
	trust, err := authz.Parse(authz.Trust, in.RoleARN, []byte(`{"Statement":{"Effect":"Allow","Principal":{"Federated":"nobody"},"Action":"sts:AssumeRole"}}`))
	if err != nil {
		return Session{}, err
	}
	r := a.roleByARN(in.RoleARN)
	if r != nil {
		trust, target.Tags = r.trust, r.Tags
	}
	calls := []authz.Call{{Action: "sts:AssumeRole", Context: map[string][]string{"sts:RoleSessionName": {in.SessionName}}, Targets: []authz.Target{target}}}
	if len(in.Tags) > 0 {
		calls = append(calls, authz.Call{Action: "sts:TagSession", Targets: []authz.Target{target}})
	}
	if err := allow(trust, calls...); err != nil || r == nil {
		return Session{}, err
	}
	if in.Duration < 15*time.Minute || in.Duration > time.Duration(r.MaxSessionDuration)*time.Second {
		return Session{}, refuse("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return *a.newSession(r, in.SessionName, in.Duration, in.Tags), nil
}

func (a *Account) newSession(r *role, name string, duration time.Duration, tags Tags) *Session {
	s := &Session{
		Credentials: Credentials{
			AccessKeyID: newKeyID("ASIA"), SecretAccessKey: newSecret(30), SessionToken: newSecret(96), Expires: a.now().Add(duration),
		},
		Principal: authz.Principal{ARN: a.sessionARN(r.Name, name), RoleARN: r.ARN, Account: ID},
		UserID:    r.ID + ":" + name, Role: r.Name, SessionName: name, Issued: a.timestamp(), PrincipalTags: r.Tags.with(tags),
	}
	a.compute.sessions[s.AccessKeyID] = s
	maps.DeleteFunc(a.compute.sessions, func(_ string, old *Session) bool {
		return !old.Expires.IsZero() && a.now().After(old.Expires.Add(time.Hour))
	})
	return s
}

func (a *Account) sessionARN(role, session string) string {
	return fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", ID, role, session)
}

// IdentityPolicies are the policies that speak for a caller: the administrator's for the user at
// the keyboard, those attached to its role for a session. A session whose role is gone has none.
func (a *Account) IdentityPolicies(s Session) ([]*authz.Policy, error) {
	if s.Role == "" {
		return a.managed("AdministratorAccess")
	}
	own, err := a.RolePolicies(s.Role)
	if err != nil {
		if IsCode(err, noSuchEntity) {
			return nil, nil
		}
		return nil, err
	}
	attached, err := a.ListAttachedRolePolicies(s.Role)
	if err != nil {
		return nil, err
	}
	for _, arn := range attached {
		name, ok := strings.CutPrefix(arn, "arn:aws:iam::aws:policy/")
		if !ok {
			continue
		}
		theirs, err := a.managed(name)
		if err != nil {
			return nil, err
		}
		own = append(own, theirs...)
	}
	return own, nil
}

// managed is one of AWS's own policies, if its document is here.
func (a *Account) managed(name string) ([]*authz.Policy, error) {
	document, ok := managedDocuments()[name]
	if !ok {
		return nil, nil
	}
	p, err := authz.Parse(authz.Identity, "arn:aws:iam::aws:policy/"+name, []byte(document))
	if err != nil {
		return nil, fmt.Errorf("AWS managed policy %s: %w", name, err)
	}
	return []*authz.Policy{p}, nil
}

// managedDocuments are the AWS managed policies that callers of the simulated account act by: the
// administrator's, and those that a node's own agents use (AWS Managed Policy Reference). Any
// other of them allows nothing here.
func managedDocuments() map[string]string {
	return map[string]string{
		"AdministratorAccess": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		"AmazonEKSWorkerNodePolicy": `{"Version":"2012-10-17","Statement":[
			{"Sid":"WorkerNodePermissions","Effect":"Allow","Resource":"*","Action":["ec2:DescribeInstances","ec2:DescribeInstanceTypes","ec2:DescribeRouteTables",
			 "ec2:DescribeSecurityGroups","ec2:DescribeSubnets","ec2:DescribeVolumes","ec2:DescribeVolumesModifications","ec2:DescribeVpcs","eks:DescribeCluster","eks-auth:AssumeRoleForPodIdentity"]}]}`,
		"AmazonEKSWorkerNodeMinimalPolicy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["eks-auth:AssumeRoleForPodIdentity"],"Resource":"*"}]}`,
	}
}

// QueuePolicyOf is the policy that guards a resource, as IAM evaluates it; nil where there is none.
func (a *Account) QueuePolicyOf(arn string) *authz.Policy {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, q := range a.sqs.queues {
		if q.ARN == arn {
			return q.policy
		}
	}
	return nil
}

// PodClaims are what a pod's service account token says of it.
type PodClaims struct{ Namespace, ServiceAccount, Pod, PodUID string }

// AssumeRoleForPodIdentity is the EKS Auth API's: it finds the association of the pod's service
// account and begins a session of its role, if the role trusts EKS Pod Identity ("Learn how EKS Pod
// Identity grants pods access to AWS services").
func (a *Account) AssumeRoleForPodIdentity(clusterName string, pod PodClaims) (Session, PodIdentityAssociation, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c, err := a.cluster(clusterName)
	if err != nil {
		return Session{}, PodIdentityAssociation{}, err
	}
	at := slices.IndexFunc(sortedKeys(c.associations), func(id string) bool {
		p := c.associations[id]
		return p.Namespace == pod.Namespace && p.ServiceAccount == pod.ServiceAccount
	})
	if at < 0 {
		return Session{}, PodIdentityAssociation{}, refuse("ResourceNotFoundException",
			"No associations found for the service account %s in the namespace %s of cluster %s; make one with aws eks create-pod-identity-association", pod.ServiceAccount, pod.Namespace, clusterName)
	}
	association := c.associations[sortedKeys(c.associations)[at]]
	// "About EKS Pod Identity session tags" in the EKS User Guide.
	tags := Tags{
		"eks-cluster-arn": c.ARN, "eks-cluster-name": c.Name, "kubernetes-namespace": pod.Namespace,
		"kubernetes-service-account": pod.ServiceAccount, "kubernetes-pod-name": pod.Pod, "kubernetes-pod-uid": pod.PodUID,
	}
	r := a.roleByARN(association.RoleARN)
	if r == nil || !podIdentityTrusted(r, tags) {
		return Session{}, PodIdentityAssociation{}, refuse("AccessDeniedException",
			"Unauthorized Exception! EKS does not have permissions to assume the associated role. (The trust policy of %s must allow sts:AssumeRole and sts:TagSession to pods.eks.amazonaws.com.)", association.RoleARN)
	}
	name := "eks-" + c.Name + "-" + pod.Pod
	uuid := a.nextUUID()
	name = name[:min(len(name), 64-1-len(uuid))] + "-" + uuid
	return *a.newSession(r, name, 6*time.Hour, tags), association.clone(), nil
}

func podIdentityTrusted(r *role, tags Tags) bool {
	ctx := map[string][]string{"aws:SourceAccount": {ID}, "aws:TagKeys": sortedKeys(tags)}
	for k, v := range tags {
		ctx["aws:RequestTag/"+k] = []string{v}
	}
	for _, action := range []string{"sts:AssumeRole", "sts:TagSession"} {
		d := authz.Evaluate(authz.Request{
			Principal: authz.Principal{Service: "pods.eks.amazonaws.com"}, Action: action, Resource: r.ARN, Account: ID, Context: ctx,
		}, r.trust)
		if !d.Allowed {
			return false
		}
	}
	return true
}

// InstanceCredentials is what the metadata service hands an instance: a session of its role, named
// after the instance.
func (a *Account) InstanceCredentials(id string) (Session, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i, err := a.instance(id)
	if err != nil {
		return Session{}, err
	}
	if !i.alive() {
		return Session{}, refuse("IncorrectInstanceState", "The instance '%s' is not in a state from which it can ask for credentials: %s", id, i.State)
	}
	r := a.instanceRole(i)
	if r == nil {
		return Session{}, refuse(noSuchEntity, "The instance %s has no role: its instance profile %q is gone or hands out none.", id, i.InstanceProfileARN)
	}
	if !trusts(r.trust, "ec2.amazonaws.com") {
		return Session{}, refuse("AccessDenied", "EC2 cannot assume the role %s. Please see documentation at https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_iam-ec2.html#troubleshoot_iam-ec2_errors-info-doc.", r.Name)
	}
	return *a.newSession(r, i.ID, 6*time.Hour, nil), nil
}

// instanceRole is the role of an instance; nil where it has none.
func (a *Account) instanceRole(i *instance) *role {
	if c := a.eks.clusters[i.Cluster]; c != nil && c.nodegroups[i.Nodegroup] != nil {
		return a.roleByARN(c.nodegroups[i.Nodegroup].NodeRoleARN)
	}
	for _, p := range a.compute.profiles {
		if p.ARN == i.InstanceProfileARN {
			return a.iam.roles[p.role]
		}
	}
	return nil
}
