package account

import (
	"regexp"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/account/authz"
)

// This file is KMS (API version 2014-11-01) as far as a key for a cluster's secrets needs it:
// symmetric keys whose material KMS made, and their aliases.

type kmsState struct {
	keys    map[string]*key   // by ID
	aliases map[string]string // key IDs, by name
}

func (s *kmsState) init() { *s = kmsState{keys: map[string]*key{}, aliases: map[string]string{}} }

// leftovers lists no key that waits for its deletion: it cannot be used, costs nothing and goes by
// itself, and nothing makes it go earlier ("Deleting AWS KMS keys" in the KMS Developer Guide).
func (s *kmsState) leftovers(add func(string, []string)) {
	var ids []string
	for _, id := range sortedKeys(s.keys) {
		if s.keys[id].State != KeyPendingDeletion {
			ids = append(ids, id)
		}
	}
	add("AWS::KMS::Key", ids)
	add("AWS::KMS::Alias", sortedKeys(s.aliases))
}

// States of a key (API reference, KeyMetadata).
const (
	KeyEnabled         = "Enabled"
	KeyDisabled        = "Disabled"
	KeyPendingDeletion = "PendingDeletion"
)

// What every key here is.
const (
	KeySpec  = "SYMMETRIC_DEFAULT"
	KeyUsage = "ENCRYPT_DECRYPT"
)

// Key is a KMS key.
type Key struct {
	ID, ARN, Description string
	// State is a Key constant; Policy is its key policy.
	State, Policy string
	// Rotation tells that KMS makes new material every RotationDays.
	Rotation     bool
	RotationDays int
	Created      time.Time
	// Deletion is when a key that waits for its deletion is deleted, Window for how
	// many days it waits; zero for others.
	Deletion time.Time
	Window   int
	Tags     Tags
}

type key struct{ Key }

func (k *key) clone() Key {
	c := k.Key
	c.Tags = k.Tags.with(nil)
	return c
}

// Alias is another name of a key, such as alias/eks/prod.
type Alias struct{ Name, ARN, TargetKeyID string }

// rotationDays is how often a key is rotated where nobody says; keyWindow are the fewest and
// the most days that it can wait for its deletion, of which the latter is the default.
const (
	rotationDays    = 365
	minWindow       = 7
	maxWindow       = 30
	maxKeyPolicy    = 32768 // bytes
	maxAlias        = 256
	maxDescription  = 8192
	kmsTagRefusal   = "TagException"
	kmsNoSuch       = "NotFoundException"
	kmsInvalidState = "KMSInvalidStateException"
)

// defaultKeyPolicy is what a key has that is made without one: the account's IAM policies decide.
func defaultKeyPolicy() string {
	return `{"Id":"key-default-1","Statement":[{"Action":"kms:*","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + ID +
		`:root"},"Resource":"*","Sid":"Enable IAM User Permissions"}],"Version":"2012-10-17"}`
}

// CreateKey makes a key; policy "" is the default one. A policy's principals must be there.
func (a *Account) CreateKey(description, policy string, tags Tags) (Key, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(description) > maxDescription {
		return Key{}, refuse("ValidationException", "description has %d characters, KMS takes %d", len(description), maxDescription)
	}
	if policy == "" {
		policy = defaultKeyPolicy()
	}
	if err := a.checkKeyPolicy(policy); err != nil {
		return Key{}, err
	}
	if err := tags.check(kmsTagRefusal); err != nil {
		return Key{}, err
	}
	id := a.nextUUID()
	k := &key{Key{ID: id, ARN: a.arn("kms", "key/"+id), Description: description, State: KeyEnabled, Policy: policy, Created: a.timestamp(), Tags: tags.with(nil)}}
	a.kms.keys[id] = k
	return k.clone(), nil
}

// checkKeyPolicy refuses what KMS refuses of a key policy. That it shuts out who sets it KMS
// refuses too, and this does not look for.
func (a *Account) checkKeyPolicy(policy string) error {
	const code = "MalformedPolicyDocumentException"
	if _, err := authz.Parse(authz.Resource, "key policy", []byte(policy)); err != nil {
		return refuse(code, "%s", err.Error())
	}
	if len(policy) > maxKeyPolicy {
		return refuse("LimitExceededException", "Policy size %d exceeds the limit of %d bytes", len(policy), maxKeyPolicy)
	}
	for _, arn := range regexp.MustCompile(`arn:aws:iam::`+ID+`:role/[\w+=,.@/-]+`).FindAllString(policy, -1) {
		if r := a.roleByARN(arn); r == nil || a.unseen(r.made, elsewhere) != nil {
			return refuse(code, "Policy contains a statement with one or more invalid principals.")
		}
	}
	return nil
}

// findKey finds a key by its ID, its ARN, or the name or ARN of an alias.
func (a *Account) findKey(ref string) (*key, error) {
	id := ref
	if _, resource, ok := cutARN(ref); ok && ref == a.arn("kms", resource) {
		id = strings.TrimPrefix(resource, "key/")
	}
	if target, ok := a.kms.aliases[id]; ok {
		id = target
	}
	if k, ok := a.kms.keys[id]; ok {
		return k, nil
	}
	switch {
	case strings.HasPrefix(id, "alias/"):
		return nil, refuse(kmsNoSuch, "Alias %s is not found.", a.arn("kms", id))
	case strings.HasPrefix(ref, "arn:"):
		return nil, refuse(kmsNoSuch, "Key '%s' does not exist", ref)
	}
	return nil, refuse(kmsNoSuch, "Key '%s' does not exist", a.arn("kms", "key/"+id))
}

// changeKey changes a key that does not wait for its deletion.
func (a *Account) changeKey(ref string, change func(*key) error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, err := a.findKey(ref)
	if err != nil {
		return err
	}
	if k.State == KeyPendingDeletion {
		return refuse(kmsInvalidState, "%s is pending deletion.", k.ARN)
	}
	return change(k)
}

// DescribeKey finds a key by its ID, its ARN, or the name or ARN of an alias. A key that waits for
// its deletion is found.
func (a *Account) DescribeKey(ref string) (Key, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, err := a.findKey(ref)
	if err != nil {
		return Key{}, err
	}
	return k.clone(), nil
}

// ListKeys lists the keys by ID, those that wait for their deletion too.
func (a *Account) ListKeys() []Key {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Key
	for _, id := range sortedKeys(a.kms.keys) {
		out = append(out, a.kms.keys[id].clone())
	}
	return out
}

// EnableKeyRotation has KMS make new material for a key every so many days; 0 is a year.
func (a *Account) EnableKeyRotation(ref string, days int) error {
	if days == 0 {
		days = rotationDays
	}
	if days < 90 || days > 2560 {
		return refuse("ValidationException", "RotationPeriodInDays %d is not between 90 and 2560", days)
	}
	return a.changeKey(ref, func(k *key) error {
		if k.State == KeyDisabled {
			return refuse("DisabledException", "%s is disabled.", k.ARN)
		}
		k.Rotation, k.RotationDays = true, days
		return nil
	})
}

// DisableKeyRotation ends the rotation of a key's material.
func (a *Account) DisableKeyRotation(ref string) error {
	return a.changeKey(ref, func(k *key) error { k.Rotation, k.RotationDays = false, 0; return nil })
}

// UpdateKeyDescription describes a key anew.
func (a *Account) UpdateKeyDescription(ref, description string) error {
	return a.changeKey(ref, func(k *key) error { k.Description = description; return nil })
}

// PutKeyPolicy gives a key another policy.
func (a *Account) PutKeyPolicy(ref, policy string) error {
	return a.changeKey(ref, func(k *key) error {
		if err := a.checkKeyPolicy(policy); err != nil {
			return err
		}
		k.Policy = policy
		return nil
	})
}

// EnableKey lets a key be used again.
func (a *Account) EnableKey(ref string) error {
	return a.changeKey(ref, func(k *key) error { k.State = KeyEnabled; return nil })
}

// DisableKey keeps a key from being used. A cluster whose key it is degrades.
func (a *Account) DisableKey(ref string) error {
	return a.changeKey(ref, func(k *key) error { k.State = KeyDisabled; return nil })
}

// ScheduleKeyDeletion has a key deleted after a window of days, 0 being the longest. Until then it
// is there and cannot be used. KMS asks nobody whether the key is in use.
func (a *Account) ScheduleKeyDeletion(ref string, window int) error {
	if window == 0 {
		window = maxWindow
	}
	if window < minWindow || window > maxWindow {
		return refuse("ValidationException", "PendingWindowInDays %d is not between %d and %d", window, minWindow, maxWindow)
	}
	return a.changeKey(ref, func(k *key) error {
		k.State, k.Window, k.Deletion = KeyPendingDeletion, window, a.timestamp().AddDate(0, 0, window)
		return nil
	})
}

// CancelKeyDeletion takes a key back, disabled.
func (a *Account) CancelKeyDeletion(ref string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	k, err := a.findKey(ref)
	if err != nil {
		return err
	}
	if k.State != KeyPendingDeletion {
		return refuse(kmsInvalidState, "%s is not pending deletion.", k.ARN)
	}
	k.State, k.Window, k.Deletion = KeyDisabled, 0, time.Time{}
	return nil
}

// TagKey is TagResource of a key.
func (a *Account) TagKey(ref string, tags Tags) error {
	return a.changeKey(ref, func(k *key) error {
		if err := k.Tags.with(tags).check(kmsTagRefusal); err != nil {
			return err
		}
		k.Tags = k.Tags.with(tags)
		return nil
	})
}

// UntagKey is UntagResource of a key.
func (a *Account) UntagKey(ref string, keys []string) error {
	return a.changeKey(ref, func(k *key) error { k.Tags = k.Tags.without(keys); return nil })
}

// CreateAlias gives a key another name.
func (a *Account) CreateAlias(name, ref string) error {
	if !regexp.MustCompile(`^alias/[a-zA-Z0-9/_-]+$`).MatchString(name) || len(name) > maxAlias || strings.HasPrefix(name, "alias/aws/") {
		return refuse("InvalidAliasNameException", "Alias must start with the prefix \"alias/\", hold letters, digits, / _ and -, and not start with alias/aws/: %s", name)
	}
	return a.changeKey(ref, func(k *key) error {
		if _, taken := a.kms.aliases[name]; taken {
			return refuse("AlreadyExistsException", "An alias with the name %s already exists", a.arn("kms", name))
		}
		a.kms.aliases[name] = k.ID
		return nil
	})
}

// UpdateAlias makes an alias that of another key.
func (a *Account) UpdateAlias(name, ref string) error {
	return a.changeKey(ref, func(k *key) error {
		if _, ok := a.kms.aliases[name]; !ok {
			return refuse(kmsNoSuch, "Alias %s is not found.", a.arn("kms", name))
		}
		a.kms.aliases[name] = k.ID
		return nil
	})
}

// ListAliases lists the aliases, by name.
func (a *Account) ListAliases() []Alias {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []Alias
	for _, name := range sortedKeys(a.kms.aliases) {
		out = append(out, Alias{Name: name, ARN: a.arn("kms", name), TargetKeyID: a.kms.aliases[name]})
	}
	return out
}

// DeleteAlias takes an alias away; its key stays.
func (a *Account) DeleteAlias(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.kms.aliases[name]; !ok {
		return refuse(kmsNoSuch, "Alias %s is not found.", a.arn("kms", name))
	}
	delete(a.kms.aliases, name)
	return nil
}
