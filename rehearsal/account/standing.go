package account

import (
	"fmt"
	"slices"
)

// This file makes the cluster that stands in some worlds: one that others made, by other means
// than the program under rehearsal.

// StandingCluster is the name of a cluster that stands.
const StandingCluster = "platform"

// standing says what a cluster that stands is like.
type standing struct {
	mode string // of authentication
	// status is one that is not ACTIVE.
	status string
	// unreadable tells that nobody may look at it.
	unreadable bool
	// own is its version where it is the stack's own, and nothing else is there.
	own string
	// release is that of its Karpenter; "" is the rehearsal's.
	release string
	// karpenter tells that it has one of its own, overlays that that one's NodeOverlay gate is on.
	karpenter, overlays bool
	// gpuNodes tells that it has a node group gpu.
	gpuNodes bool
}

const standingVersion = "1.34"

func standingWorlds() []world {
	return []world{
		{
			name:        "existing-karpenter",
			description: "An EKS cluster platform stands, with a Karpenter of its own whose NodeOverlay gate is on.",
			standing:    &standing{mode: AuthAPI, karpenter: true, overlays: true},
		},
		{
			name:        "existing-no-gate",
			description: "The same, the gate off, as Karpenter's chart leaves it.",
			standing:    &standing{mode: AuthAPI, karpenter: true},
		},
		{
			name:        "existing-bare",
			description: "The same without a Karpenter.",
			standing:    &standing{mode: AuthAPIAndConfigMap},
		},
		{
			name:        "existing-gpu-nodes",
			description: "The same without a Karpenter, with a managed node group gpu of two g4dn.xlarge.",
			standing:    &standing{mode: AuthAPIAndConfigMap, gpuNodes: true},
		},
		{
			name:        "existing-config-map",
			description: "The same without a Karpenter, access by the aws-auth ConfigMap alone.",
			standing:    &standing{mode: AuthConfigMap},
		},
		{
			name:        "existing-creating",
			description: "The cluster platform is still being created.",
			standing:    &standing{mode: AuthAPI, status: "CREATING"},
		},
		{
			name:        "existing-failed",
			description: "EKS has failed to create the cluster platform.",
			standing:    &standing{mode: AuthAPI, status: "FAILED"},
		},
		{
			name:        "existing-unreadable",
			description: "The cluster platform stands, and you may not look at it. For previews.",
			standing:    &standing{mode: AuthAPI, unreadable: true},
		},
		{
			name:        "existing-old-karpenter",
			description: "The cluster platform has Karpenter 1.5.4, which knows no NodeOverlays. For previews.",
			standing:    &standing{mode: AuthAPI, karpenter: true, release: "1.5.4"},
		},
	}
}

// Standing is the cluster that stands in the account's world.
type Standing struct {
	// Cluster is its name.
	Cluster string
	// Karpenter is the one it has; nil where it has none.
	Karpenter *StandingKarpenter
}

// StandingKarpenter is a Karpenter that was installed by its chart, into kube-system, with the
// account's side of it: its controller's role by Pod Identity, its nodes' role, its queue.
type StandingKarpenter struct {
	// Release is such as 1.5.4; "" is the one that rehearsals run.
	Release string
	// Overlays tells that its NodeOverlay gate is on.
	Overlays bool
	// Queue is the name of its interruption queue, and NodeRole that of its nodes' role.
	Queue, NodeRole string
	// Objects are its EC2NodeClass and its NodePool, both named default, as the API server takes
	// them.
	Objects []map[string]any
}

// Stand makes the cluster that stands in the account's world, with its nodes; nil is for a world
// without one. What is there then counts as being there from birth: [Account.Leftovers] leaves it
// out. Stand is to be called once, before whatever works on the account. It calls the account's
// ControlPlane and AddonSoftware, which must be able to answer, and returns when the cluster's
// add-ons work.
func (a *Account) Stand() (*Standing, error) {
	s := a.world.standing
	if s == nil {
		return nil, nil
	}
	m := maker{account: a}
	built := m.stand(*s)
	if m.err != nil {
		return nil, fmt.Errorf("world %s: %w", a.world.name, m.err)
	}
	a.mu.Lock()
	a.stands = built
	a.mu.Unlock()
	return built, a.Settled()
}

// Settled has all that the account holds now count as being there from birth. It is called again
// by who lets the Karpenter of a cluster that stands work, which makes an instance profile.
func (a *Account) Settled() error {
	found := a.Leftovers()
	i, err := a.inventory()
	if err != nil {
		return err
	}
	a.witness.look(i)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.born = append(a.born, found...)
	return nil
}

// Standing is what [Account.Stand] made; nil before that, and in a world without a cluster.
func (a *Account) Standing() *Standing {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.stands
}

// maker makes one thing after the other until one is refused.
type maker struct {
	account *Account
	err     error
}

func (m *maker) do(make func() error) {
	if m.err == nil {
		m.err = make()
	}
}

// role makes a role that a service assumes, with policies of AWS's attached.
func (m *maker) role(name, service string, policies ...string) (arn string) {
	m.do(func() error {
		r, err := m.account.CreateRole(CreateRoleInput{Name: name, AssumeRolePolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":["sts:AssumeRole","sts:TagSession"]}]}`})
		arn = r.ARN
		return err
	})
	for _, p := range policies {
		m.do(func() error { return m.account.AttachRolePolicy(name, "arn:aws:iam::aws:policy/"+p) })
	}
	return arn
}

func (m *maker) addons(names ...string) {
	for _, name := range names {
		m.do(func() error {
			_, err := m.account.CreateAddon(CreateAddonInput{ClusterName: StandingCluster, Name: name, ResolveConflicts: "OVERWRITE"})
			return err
		})
	}
}

func nodePolicies() []string {
	return []string{"AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly", "AmazonSSMManagedInstanceCore"}
}

func (m *maker) stand(s standing) *Standing {
	a := m.account
	if s.own != "" {
		return m.own(s)
	}
	clusterRole := m.role(StandingCluster+"-cluster", "eks.amazonaws.com", "AmazonEKSClusterPolicy")
	var subnets []string
	var made Cluster
	m.do(func() error {
		found, err := a.DescribeSubnets()
		for _, subnet := range found {
			subnets = append(subnets, subnet.ID)
		}
		return err
	})
	m.do(func() (err error) {
		made, err = a.CreateCluster(CreateClusterInput{
			Name: StandingCluster, Version: standingVersion, RoleARN: clusterRole, AuthenticationMode: s.mode, BootstrapAdmin: true,
			VPC:  ClusterVPC{SubnetIDs: subnets, EndpointPublicAccess: true, EndpointPrivateAccess: true},
			Tags: Tags{"team": "platform"},
		})
		return err
	})
	if s.status != "" {
		m.do(func() error { a.uncreate(StandingCluster, s.status); return nil })
		return &Standing{Cluster: StandingCluster}
	}
	if s.unreadable {
		m.do(func() error {
			_, err := a.faults.Install(Denial{Service: "eks", Action: "DescribeCluster"})
			return err
		})
	}
	m.addons("vpc-cni", "kube-proxy")
	nodes := m.role(StandingCluster+"-nodes", "ec2.amazonaws.com", nodePolicies()...)
	groups := []Nodegroup{{Name: "general", InstanceTypes: []string{"m6i.large"}, AMIType: "AL2023_x86_64_STANDARD"}}
	if s.gpuNodes {
		groups = append(groups, Nodegroup{
			Name: "gpu", InstanceTypes: []string{"g4dn.xlarge"}, AMIType: "AL2023_x86_64_NVIDIA",
			Taints: []Taint{{Key: "nvidia.com/gpu", Value: "true", Effect: "NO_SCHEDULE"}},
		})
	}
	for _, g := range groups {
		g.ClusterName, g.NodeRoleARN = StandingCluster, nodes
		m.do(func() error {
			a.mu.Lock()
			defer a.mu.Unlock()
			g.SubnetIDs = slices.DeleteFunc(slices.Clone(subnets), func(id string) bool {
				return a.checkZones(g.InstanceTypes[0], []string{id}) != nil
			})
			return nil
		})
		g.Scaling, g.Labels = Scaling{Min: 2, Max: 4, Desired: 2}, map[string]string{"team": "platform"}
		m.do(func() error { _, err := a.CreateNodegroup(g); return err })
	}
	m.addons("coredns")
	built := &Standing{Cluster: StandingCluster}
	if s.karpenter {
		built.Karpenter = m.karpenter(s, made)
	}
	return built
}

// own makes a cluster as the stack dev makes its own, in as far as a preview looks at it.
func (m *maker) own(s standing) *Standing {
	const name = "gpu-slicing"
	role := m.role(name+"-cluster", "eks.amazonaws.com", "AmazonEKSClusterPolicy")
	m.do(func() error {
		subnets, err := m.account.DescribeSubnets()
		if err != nil {
			return err
		}
		in := CreateClusterInput{
			Name: name, Version: "1.28", RoleARN: role, AuthenticationMode: s.mode, BootstrapAdmin: true,
			VPC: ClusterVPC{EndpointPublicAccess: true, EndpointPrivateAccess: true}, Tags: Tags{"eks-gpu-slicing/cluster": name},
		}
		for _, subnet := range subnets {
			in.VPC.SubnetIDs = append(in.VPC.SubnetIDs, subnet.ID)
		}
		made, err := m.account.CreateCluster(in)
		for err == nil && made.Version != s.own { // as it has come to be
			if err = m.account.UpdateClusterVersion(name, fmt.Sprintf("1.%d", minor(made.Version)+1)); err == nil {
				made, err = m.account.DescribeCluster(name)
			}
		}
		return err
	})
	return &Standing{Cluster: name}
}

// uncreate takes a cluster back to where EKS has begun to make it (EKS API reference, Cluster:
// what is null until it is ACTIVE), or has given up.
func (a *Account) uncreate(name, status string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.eks.clusters[name]
	c.Status, c.Endpoint, c.CertificateAuthority, c.OIDCIssuer = status, "", "", ""
	delete(a.ec2.groups, c.VPC.ClusterSecurityGroupID)
	c.VPC.ClusterSecurityGroupID = ""
}

// karpenter makes the account's side of a Karpenter, after its getting-started guide.
func (m *maker) karpenter(s standing, cluster Cluster) *StandingKarpenter {
	const controller, nodes = StandingCluster + "-karpenter", "KarpenterNodeRole-" + StandingCluster
	a := m.account
	m.addons("eks-pod-identity-agent")
	controllerRole := m.role(controller, "pods.eks.amazonaws.com")
	m.do(func() error {
		p, err := a.CreatePolicy(CreatePolicyInput{Name: "KarpenterControllerPolicy-" + StandingCluster, Document: standingPolicy})
		if err != nil {
			return err
		}
		return a.AttachRolePolicy(controller, p.ARN)
	})
	nodeRole := m.role(nodes, "ec2.amazonaws.com", nodePolicies()...)
	m.do(func() error {
		_, err := a.CreateAccessEntry(CreateAccessEntryInput{ClusterName: StandingCluster, PrincipalARN: nodeRole, Type: AccessEC2Linux})
		return err
	})
	m.do(func() error {
		_, err := a.CreatePodIdentityAssociation(StandingCluster, "kube-system", "karpenter", controllerRole, nil)
		return err
	})
	m.do(func() error {
		q, err := a.CreateQueue(StandingCluster, map[string]string{"MessageRetentionPeriod": "300", "SqsManagedSseEnabled": "true"}, nil)
		if err != nil {
			return err
		}
		return a.SetQueueAttributes(q.URL, map[string]string{"Policy": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":["events.amazonaws.com","sqs.amazonaws.com"]},"Action":"sqs:SendMessage","Resource":"` + q.ARN + `"}]}`})
	})
	const rule = "SpotInterruptionRule-" + StandingCluster
	m.do(func() error {
		_, err := a.PutRule(EventRule{Name: rule, EventPattern: `{"source":["aws.ec2"],"detail-type":["EC2 Spot Instance Interruption Warning"]}`})
		return err
	})
	m.do(func() error {
		return a.PutTarget("", rule, EventTarget{ID: "KarpenterInterruptionQueueTarget", ARN: a.arn("sqs", StandingCluster)})
	})
	return &StandingKarpenter{Release: s.release, Overlays: s.overlays, Queue: StandingCluster, NodeRole: nodes, Objects: standingObjects(nodes, cluster.VPC)}
}

// standingPolicy is what people who do not look closely give their Karpenter.
const standingPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Resource":"*","Action":[` +
	`"ec2:*","iam:PassRole","iam:CreateInstanceProfile","iam:TagInstanceProfile","iam:AddRoleToInstanceProfile","iam:RemoveRoleFromInstanceProfile",` +
	`"iam:DeleteInstanceProfile","iam:GetInstanceProfile","iam:ListInstanceProfiles","eks:DescribeCluster","pricing:GetProducts","ssm:GetParameter",` +
	`"sqs:DeleteMessage","sqs:GetQueueUrl","sqs:ReceiveMessage"]}]}`

func standingObjects(nodeRole string, vpc ClusterVPC) []map[string]any {
	type object = map[string]any
	var subnets []any
	for _, id := range slices.Sorted(slices.Values(vpc.SubnetIDs)) {
		subnets = append(subnets, object{"id": id})
	}
	in := func(key string, values ...any) object { return object{"key": key, "operator": "In", "values": values} }
	return []map[string]any{
		{
			"apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": object{"name": "default"},
			"spec": object{
				"role": nodeRole, "amiSelectorTerms": []any{object{"alias": "al2023@latest"}},
				"subnetSelectorTerms": subnets, "securityGroupSelectorTerms": []any{object{"id": vpc.ClusterSecurityGroupID}},
				"blockDeviceMappings": []any{object{"deviceName": "/dev/xvda", "ebs": object{"volumeSize": "100Gi", "volumeType": "gp3", "encrypted": true, "deleteOnTermination": true}}},
			},
		},
		{
			"apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": object{"name": "default"},
			"spec": object{
				"template": object{"spec": object{
					"nodeClassRef": object{"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
					"requirements": []any{
						in("kubernetes.io/arch", "amd64"), in("kubernetes.io/os", "linux"), in("karpenter.sh/capacity-type", "on-demand"),
						in("karpenter.k8s.aws/instance-category", "c", "m", "r"),
					},
					"expireAfter": "720h",
				}},
				"limits":     object{"cpu": "1000"},
				"disruption": object{"consolidationPolicy": "WhenEmptyOrUnderutilized", "consolidateAfter": "1m"},
			},
		},
	}
}
