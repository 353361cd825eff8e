package wire

import (
	"cmp"
	"strings"

	"eks-gpu-slicing/rehearsal/account"
	"eks-gpu-slicing/rehearsal/account/authz"
)

// memberInPath is what a path names after the cluster and the kind of a cluster's members.
func (c *call) memberInPath() string {
	return strings.Join(strings.Split(strings.Trim(c.request.URL.Path, "/"), "/")[3:], "/")
}

// member authorises the look at a member of a cluster and answers with it. The ARN of one that is
// missing ends with *.
func (c *call) member(kind, arn string, tags account.Tags, missing error, answer any) (any, error) {
	cluster, name := c.clusterInPath(), c.memberInPath()
	arn = cmp.Or(arn, "arn:aws:eks:"+c.account.Region()+":"+account.ID+":"+kind+"/"+cluster+"/"+name+"/*")
	if err := c.authorize(authz.Call{Action: "eks:" + c.action, Targets: []authz.Target{{Type: kind, ARN: arn, Tags: tags}}}); err != nil {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	return answer, nil
}

func (c *call) describeAccessEntry() (any, error) {
	e, err := c.account.DescribeAccessEntry(c.clusterInPath(), c.memberInPath())
	type body struct {
		ARN       string            `json:"accessEntryArn"`
		Cluster   string            `json:"clusterName"`
		Principal string            `json:"principalArn"`
		Type      string            `json:"type"`
		Username  string            `json:"username"`
		Groups    []string          `json:"kubernetesGroups"`
		CreatedAt int64             `json:"createdAt"`
		Tags      map[string]string `json:"tags"`
	}
	return c.member("access-entry", e.ARN, e.Tags, err, map[string]body{"accessEntry": {
		e.ARN, e.ClusterName, e.PrincipalARN, e.Type, e.Username, append([]string{}, e.KubernetesGroups...), e.Created.Unix(), e.Tags,
	}})
}

func (c *call) describeAddon() (any, error) {
	d, err := c.account.DescribeAddon(c.clusterInPath(), c.memberInPath())
	type body struct {
		ARN       string            `json:"addonArn"`
		Name      string            `json:"addonName"`
		Version   string            `json:"addonVersion"`
		Cluster   string            `json:"clusterName"`
		Status    string            `json:"status"`
		CreatedAt int64             `json:"createdAt"`
		Tags      map[string]string `json:"tags"`
	}
	return c.member("addon", d.ARN, d.Tags, err, map[string]body{"addon": {d.ARN, d.Name, d.Version, d.ClusterName, d.Status, d.Created.Unix(), d.Tags}})
}

func (c *call) describePodIdentityAssociation() (any, error) {
	p, err := c.account.DescribePodIdentityAssociation(c.clusterInPath(), c.memberInPath())
	type body struct {
		ARN            string            `json:"associationArn"`
		ID             string            `json:"associationId"`
		Cluster        string            `json:"clusterName"`
		Namespace      string            `json:"namespace"`
		ServiceAccount string            `json:"serviceAccount"`
		Role           string            `json:"roleArn"`
		CreatedAt      int64             `json:"createdAt"`
		Tags           map[string]string `json:"tags"`
	}
	return c.member("podidentityassociation", p.ARN, p.Tags, err, map[string]body{"association": {
		p.ARN, p.ID, p.ClusterName, p.Namespace, p.ServiceAccount, p.RoleARN, p.Created.Unix(), p.Tags,
	}})
}

// listPodIdentityAssociations answers all in one page.
func (c *call) listPodIdentityAssociations() (any, error) {
	name, of := c.clusterInPath(), c.request.URL.Query()
	target, _, missing := c.clusterTarget(name)
	if err := c.authorize(authz.Call{Action: "eks:ListPodIdentityAssociations", Targets: []authz.Target{target}}); err != nil {
		return nil, err
	}
	if missing != nil {
		return nil, missing
	}
	all, err := c.account.ListPodIdentityAssociations(name)
	if err != nil {
		return nil, err
	}
	type body struct {
		ARN            string `json:"associationArn"`
		ID             string `json:"associationId"`
		Cluster        string `json:"clusterName"`
		Namespace      string `json:"namespace"`
		ServiceAccount string `json:"serviceAccount"`
	}
	found := []body{}
	for _, p := range all {
		if cmp.Or(of.Get("namespace"), p.Namespace) == p.Namespace && cmp.Or(of.Get("serviceAccount"), p.ServiceAccount) == p.ServiceAccount {
			found = append(found, body{p.ARN, p.ID, p.ClusterName, p.Namespace, p.ServiceAccount})
		}
	}
	return map[string][]body{"associations": found}, nil
}
