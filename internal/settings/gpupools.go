package settings

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Names of the pools that every stack has.
const (
	PoolX86   = "x86"
	PoolARM64 = "arm64"
	// PoolGPU is the pool that gpuSlices, gpuSharing, gpuInstanceTypes and
	// gpuLimit describe.
	PoolGPU = "gpu"
)

// MaxPoolName is the longest name of an entry of gpuPools: what is named after a
// pool has longer prefixes and must stay a DNS label, of at most 63 characters.
const MaxPoolName = 32

// GPUPool is one pool of GPU nodes, and how its GPUs are shared.
type GPUPool struct {
	// Name is the NodePool's.
	Name string
	// InstanceTypes are the pool's.
	InstanceTypes []string
	// Slices is how many pods share one GPU, 1 to MaxSlices. It is 1 if, and only
	// if, Sharing is SharingNone.
	Slices int
	// Sharing is a Sharing constant.
	Sharing string
	// Limit caps the pool, in physical GPUs.
	Limit int
	// Nodes are those that have this label, made by other means: InstanceTypes and Limit
	// are then empty. The zero value is for nodes that Karpenter launches for the pool.
	Nodes NodeLabel
	// From names the settings that these values come from.
	From GPUPoolKeys
}

// NodeLabel is a label that tells nodes apart. The zero value means none.
type NodeLabel struct{ Key, Value string }

// String is KEY=VALUE.
func (n NodeLabel) String() string { return n.Key + "=" + n.Value }

// GPUPoolKeys names the setting of each value of a pool: the pool's own, or the
// one that it takes the value of.
type GPUPoolKeys struct{ InstanceTypes, Slices, Sharing, Limit string }

// standardGPUPool reads the pool of the simple settings.
func (l *loader) standardGPUPool() GPUPool {
	from := GPUPoolKeys{InstanceTypes: "gpuInstanceTypes", Slices: "gpuSlices", Sharing: "gpuSharing", Limit: "gpuLimit"}
	return GPUPool{
		Name: PoolGPU, From: from,
		InstanceTypes: l.instanceTypes(from.InstanceTypes, l.text(from.InstanceTypes)),
		Slices:        l.integer(from.Slices, MaxSlices),
		Sharing:       l.oneOf(from.Sharing, sharings...),
		Limit:         l.wholeNumber(from.Limit, l.text(from.Limit), l.standard(from.Limit), 0, maxGPUs),
		Nodes:         l.nodeLabel("gpuNodeLabel", l.text("gpuNodeLabel")),
	}
}

// gpuPools reads the pool of the simple settings and those of gpuPools, in this
// order. What an entry leaves out it takes from the first, which a limit of 0 leaves
// out itself.
func (l *loader) gpuPools() []GPUPool {
	const key = "gpuPools"
	standard := l.standardGPUPool()
	pools := []GPUPool{standard}
	text := l.text(key)
	var entries []map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &entries); err != nil {
		l.reject(key, text, "a list of pools, such as [{name: training, sharing: none}]", remove(key)+" && "+Set(key+"[0].name", "training"))
		entries = nil // a part may have been read
	}
	for i, entry := range entries {
		e := poolEntry{loader: l, at: fmt.Sprintf("%s[%d]", key, i), values: entry}
		pools = append(pools, e.pool(standard, pools))
	}
	for i, p := range pools {
		same := slices.IndexFunc(pools[:i], func(other GPUPool) bool { return other.Nodes == p.Nodes })
		if p.Nodes != (NodeLabel{}) && same >= 0 {
			at := fmt.Sprintf("%s[%d].%s", key, i-1, fieldNodeLabel)
			l.reject(at, p.Nodes.String(), "a label of its own: a node has one device plugin, and the nodes with this one have that of pool "+pools[same].Name, remove(at))
		}
	}
	none := standard.Limit == 0 && l.text("gpuLimit") == "0" && standard.Nodes == NodeLabel{}
	if none && len(pools) == 1 {
		l.reject("gpuLimit", "0", "at least 1, or gpuPools: without any there are no GPUs to slice", Set("gpuLimit", l.standard("gpuLimit")))
	} else if none {
		pools = pools[1:]
	}
	for i := range pools {
		// One slice is a whole GPU, whatever the strategy; a strategy of none
		// gives whole GPUs, whatever the number.
		p := &pools[i]
		if p.Nodes != (NodeLabel{}) {
			p.InstanceTypes, p.Limit = nil, 0
		}
		if p.Slices == 1 && p.Sharing != "" {
			p.Sharing = SharingNone
		} else if p.Sharing == SharingNone && p.Slices > 1 {
			p.Slices = 1
		}
	}
	return pools
}

// poolEntry reads one entry of gpuPools.
type poolEntry struct {
	*loader
	at     string // its path, such as gpuPools[0]
	values map[string]json.RawMessage
}

// Fields of an entry.
const (
	fieldName          = "name"
	fieldInstanceTypes = "instanceTypes"
	fieldSlices        = "slices"
	fieldSharing       = "sharing"
	fieldLimit         = "limit"
	fieldNodeLabel     = "nodeLabel"
)

// pool reads the entry. standard has what it leaves out; before are the pools
// whose names are taken.
func (e *poolEntry) pool(standard GPUPool, before []GPUPool) GPUPool {
	p := standard
	p.Name, p.Nodes = e.name(before), NodeLabel{}
	if text, at, ok := e.field(fieldNodeLabel); ok {
		p.Nodes = e.nodeLabel(at, unquoted(text))
		for _, name := range []string{fieldInstanceTypes, fieldLimit} {
			if text, other, ok := e.field(name); ok {
				e.reject(other, unquoted(text), "not to be set: it is about nodes that Karpenter launches, and those of "+at+" are there by other means", remove(other))
			}
		}
	}
	if text, at, ok := e.field(fieldInstanceTypes); ok {
		p.InstanceTypes, p.From.InstanceTypes = e.instanceTypes(at, text), at
	}
	if text, at, ok := e.field(fieldSlices); ok {
		p.Slices, p.From.Slices = e.wholeNumber(at, text, e.standard("gpuSlices"), 1, MaxSlices), at
	}
	if text, at, ok := e.field(fieldSharing); ok {
		p.Sharing, p.From.Sharing = e.choice(at, unquoted(text), SharingTimeSlicing, sharings...), at
	}
	if text, at, ok := e.field(fieldLimit); ok {
		p.Limit, p.From.Limit = e.wholeNumber(at, text, e.standard("gpuLimit"), 1, maxGPUs), at
	} else if p.Limit == 0 && e.text("gpuLimit") == "0" && p.Nodes == (NodeLabel{}) {
		e.reject(at, "", fmt.Sprintf("a whole number from 1 to %d: gpuLimit, which it would be, is 0", maxGPUs), Set(at, e.standard("gpuLimit")))
	}
	if _, at, own := e.field(fieldSlices); own && p.Slices > 1 && p.Sharing == SharingNone {
		want, mend := "1, or left out: "+p.From.Sharing+" is none, which gives whole GPUs", remove(at)
		if p.From.Sharing == standard.From.Sharing {
			mend = Set(e.at+"."+fieldSharing, SharingTimeSlicing)
		}
		e.reject(at, strconv.Itoa(p.Slices), want, mend)
	}
	e.unknownFields()
	return p
}

// field returns the JSON of a field and the path of it, and whether it is set.
func (e *poolEntry) field(name string) (text, at string, ok bool) {
	raw, ok := e.values[name]
	return string(raw), e.at + "." + name, ok
}

var poolNamePattern = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)

func (e *poolEntry) name(before []GPUPool) string {
	text, at, _ := e.field(fieldName)
	name := unquoted(text)
	taken := slices.IndexFunc(before, func(p GPUPool) bool { return p.Name == name && name != "" })
	switch {
	case len(name) > MaxPoolName || !poolNamePattern.MatchString(name):
		e.reject(at, name, fmt.Sprintf("1 to %d small letters, digits and -, the first a letter, the last none of -", MaxPoolName), Set(at, "training"))
		return ""
	case name == PoolX86 || name == PoolARM64 || name == PoolGPU:
		e.reject(at, name, fmt.Sprintf("another name: every stack has pools %s, %s and %s; gpuSlices, gpuSharing, gpuInstanceTypes and gpuLimit describe the last",
			PoolX86, PoolARM64, PoolGPU), Set(at, "training"))
		return ""
	case taken > 0: // the standard pool is before the entries
		e.reject(at, name, fmt.Sprintf("a name of its own: gpuPools[%d] has this one, and pods choose a pool by its name", taken-1), Set(at, name+"-2"))
		return ""
	}
	return name
}

// unknownFields reports what an entry cannot have; ignored, a misspelt field would
// silently leave the pool as the standard one.
func (e *poolEntry) unknownFields() {
	known := []string{fieldName, fieldInstanceTypes, fieldSlices, fieldSharing, fieldLimit, fieldNodeLabel}
	for _, name := range sortedKeys(e.values) {
		if slices.Contains(known, name) {
			continue
		}
		text, at, _ := e.field(name)
		want, mend := "no such key. A pool has "+strings.Join(known, ", "), remove(at)
		if near := nearest(name, known); near != "" {
			want = "no such key. Did you mean " + near + "?"
			if !strings.ContainsAny(text, "[{") { // the command takes scalars
				mend += " && " + Set(e.at+"."+near, unquoted(text))
			}
		}
		e.reject(at, unquoted(text), want, mend)
	}
}

// unquoted is the text of a JSON string, and the JSON of anything else.
func unquoted(text string) string {
	var s string
	if json.Unmarshal([]byte(text), &s) != nil {
		return text
	}
	return s
}
