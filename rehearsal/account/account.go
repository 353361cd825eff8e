package account

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// ID is the number of the account: the one AWS's own documentation uses.
const ID = "111122223333"

// CallerARN is who calls when nobody says otherwise: the user at the keyboard.
const CallerARN = "arn:aws:iam::" + ID + ":user/rehearsal"

// Options say what an account is like.
type Options struct {
	// Region is the one region there is, such as us-west-1. Required.
	Region string
	// World is the name of one of [Worlds]; "" is plain.
	World string
	// Now tells the time; nil is time.Now.
	Now func() time.Time
	// ControlPlane says where a cluster's API server is; nil is a placeholder
	// at an address of EKS's form that answers nobody.
	ControlPlane ControlPlane
	// Addons installs the software of EKS add-ons; nil leaves them records.
	Addons AddonSoftware
	// Nodes drains nodes that EKS replaces; nil just replaces them.
	Nodes NodeDrainer
}

// Account is one simulated AWS account in one region. Its methods may be
// called concurrently.
type Account struct {
	region   string
	world    world
	now      func() time.Time
	plane    ControlPlane
	software AddonSoftware // nil: none
	drainer  NodeDrainer   // nil: none
	faults   *Faults
	// types are the instance types and what they cost; zones are those the
	// account sees, by name.
	types *catalogue.Catalogue
	zones []catalogue.Zone

	// One lock for everything: the state is small, and an action of one service
	// looks at the state of others.
	mu     sync.Mutex
	serial int
	// stands is the cluster that others have made, and born all that was made with it:
	// see Stand.
	stands  *Standing
	born    []Resource
	witness witness

	iam    iamState
	ec2    ec2State
	eks    eksState
	sqs    sqsState
	events eventsState
	logs   logsState
	kms    kmsState
	// compute is what runs: instances and all that comes and goes with them.
	compute computeState
}

// New makes an account as the world describes it, with its default VPC and
// service-linked roles and nothing else. An unknown region or world is an
// error that lists the known ones; a GovCloud region is one, too.
func New(o Options) (*Account, error) {
	w, err := findWorld(o.World)
	if err != nil {
		return nil, err
	}
	types, err := catalogue.Default()
	if err != nil {
		return nil, err
	}
	region, err := types.Region(o.Region)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(o.Region, "us-gov-") {
		return nil, fmt.Errorf("region %s is in the partition aws-us-gov; a simulated account is in the partition aws: choose a region outside GovCloud", o.Region)
	}
	a := &Account{region: o.Region, world: w, now: o.Now, plane: o.ControlPlane, software: o.Addons, drainer: o.Nodes, types: types, zones: w.zones(region)}
	if a.now == nil {
		a.now = time.Now
	}
	if a.plane == nil {
		if a.plane, err = newPlaceholder(o.Region); err != nil {
			return nil, err
		}
	}
	a.faults = &Faults{account: a}
	a.iam.init()
	a.ec2.init(a)
	a.eks.init()
	a.sqs.init()
	a.events.init()
	a.logs.init()
	a.kms.init()
	if err := a.compute.init(a); err != nil {
		return nil, err
	}
	for _, service := range a.world.serviceRoles() {
		if _, err := a.createServiceLinkedRole(service, ""); err != nil {
			return nil, fmt.Errorf("world %s: %w", w.name, err)
		}
	}
	return a, nil
}

// Region is the account's one region.
func (a *Account) Region() string { return a.region }

// Identity is what sts:GetCallerIdentity answers.
type Identity struct{ Account, ARN, UserID string }

// GetCallerIdentity says who calls when nobody says otherwise.
func (a *Account) GetCallerIdentity() Identity {
	return Identity{Account: ID, ARN: CallerARN, UserID: uniqueID("AIDA", "rehearsal")}
}

// Resource is one thing in the account.
type Resource struct {
	// Type is the CloudFormation name of the type, such as AWS::EKS::Cluster.
	Type string
	// ID is the name or ID that the type is listed by.
	ID string
}

// Leftovers lists what the account holds and was not born with, in a fixed
// order. Service-linked roles are not listed, because AWS makes them for itself
// and keeps them, nor are KMS keys that wait for their deletion.
func (a *Account) Leftovers() []Resource {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Resource
	add := func(kind string, ids []string) {
		for _, id := range ids {
			if one := (Resource{Type: kind, ID: id}); !slices.Contains(a.born, one) {
				all = append(all, one)
			}
		}
	}
	a.eks.leftovers(add)
	a.ec2.leftovers(add)
	a.iam.leftovers(add)
	a.sqs.leftovers(add)
	a.events.leftovers(add)
	a.logs.leftovers(add)
	a.kms.leftovers(add)
	a.compute.leftovers(add)
	return all
}

// nextID is a new resource ID, such as sg-0123456789abcdef0: a prefix and 17
// hexadecimal digits.
func (a *Account) nextID(prefix string) string {
	return prefix + "-0" + a.nextHex()[:16]
}

// nextUUID is a new UUID in the form of 8-4-4-4-12 digits.
func (a *Account) nextUUID() string {
	h := a.nextHex()
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:32]}, "-")
}

func (a *Account) nextHex() string {
	a.serial++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s/%d", ID, a.region, a.serial))
	return hex.EncodeToString(sum[:])
}

// nextUnique is a new unique ID as IAM gives them: a prefix for the kind of
// entity and 17 letters and digits (IAM User Guide, "IAM identifiers").
func (a *Account) nextUnique(prefix string) string { return uniqueID(prefix, a.nextHex()) }

func uniqueID(prefix, seed string) string {
	sum := sha256.Sum256([]byte(seed))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

// arn is an ARN in the account's region.
func (a *Account) arn(service, resource string) string {
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, a.region, ID, resource)
}

// timestamp is the time as the APIs give it: in UTC, whole seconds.
func (a *Account) timestamp() time.Time { return a.now().UTC().Truncate(time.Second) }

// Tags are the tags of a resource.
type Tags map[string]string

// with is t with more tags set, t itself unchanged.
func (t Tags) with(more Tags) Tags {
	out := maps.Clone(t)
	if out == nil {
		out = Tags{}
	}
	maps.Copy(out, more)
	return out
}

// without is t without the keys, t itself unchanged.
func (t Tags) without(keys []string) Tags {
	out := maps.Clone(t)
	for _, k := range keys {
		delete(out, k)
	}
	return out
}

// Limits of tags that all services share ("Tag naming limits and requirements"
// in Tagging AWS Resources).
const (
	maxTags     = 50
	maxTagKey   = 128
	maxTagValue = 256
)

// check refuses tags that no service takes. The code is the service's own.
func (t Tags) check(code string) error {
	if len(t) > maxTags {
		return refuse(code, "The number of tags exceeds the limit of %d", maxTags)
	}
	for k, v := range t {
		switch {
		case k == "" || len([]rune(k)) > maxTagKey:
			return refuse(code, "Tag key %q must have 1 to %d characters", k, maxTagKey)
		case len([]rune(v)) > maxTagValue:
			return refuse(code, "Value of tag %q must have at most %d characters", k, maxTagValue)
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return refuse(code, "aws: prefixed tag key names are not allowed for external use.")
		}
	}
	return nil
}
