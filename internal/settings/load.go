package settings

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/agext/levenshtein"
)

// loader reads keys one by one and collects what is wrong with them.
type loader struct {
	schema   *Schema
	config   map[string]string
	problems Problems
}

// text returns a key's value, or its default.
func (l *loader) text(key string) string {
	if v, ok := l.config[l.schema.Namespace+":"+key]; ok {
		return v
	}
	return l.schema.Defaults[key]
}

// standard is a value that is surely allowed, for the mending command: the default.
func (l *loader) standard(key string) string { return l.schema.Defaults[key] }

func (l *loader) reject(key, value, want, mend string) { l.problems.Add(key, value, want, mend) }

// namespace returns all config of another namespace, keys without it.
func (l *loader) namespace(name string) map[string]string {
	out := map[string]string{}
	for key, value := range l.config {
		if rest, ok := strings.CutPrefix(key, name+":"); ok {
			out[rest] = value
		}
	}
	return out
}

// integer reads a whole number of at least 1.
func (l *loader) integer(key string, high int) int {
	return l.wholeNumber(key, l.text(key), l.standard(key), 1, high)
}

// wholeNumber reads a number from the text of the value at a key or a path; standard
// is a value that is surely allowed.
func (l *loader) wholeNumber(at, text, standard string, low, high int) int {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		l.reject(at, text, fmt.Sprintf("a whole number from %d to %d", low, high), Set(at, standard))
		return 0
	}
	return n
}

func (l *loader) boolean(key string) bool {
	text := l.text(key)
	if text != "true" && text != "false" {
		l.reject(key, text, "true or false", Set(key, l.standard(key)))
	}
	return text == "true"
}

func (l *loader) oneOf(key string, allowed ...string) string {
	return l.choice(key, l.text(key), l.standard(key), allowed...)
}

// choice is oneOf for the text of the value at a key or a path.
func (l *loader) choice(at, text, standard string, allowed ...string) string {
	if !slices.Contains(allowed, text) {
		l.reject(at, text, "one of "+strings.Join(allowed, ", "), Set(at, standard))
		return ""
	}
	return text
}

// matching reads a key that has to match a pattern.
func (l *loader) matching(key string, pattern *regexp.Regexp, want string) string {
	text := l.text(key)
	if !pattern.MatchString(text) {
		l.reject(key, text, want, Set(key, l.standard(key)))
		return ""
	}
	return text
}

// list reads a list of strings from the text of the value at a key or a path; the
// engine hands lists over as JSON.
func (l *loader) list(key, text string) ([]string, bool) {
	var items []string
	if err := json.Unmarshal([]byte(text), &items); err != nil {
		l.reject(key, text, "a list of strings", Set(key+"[0]", "VALUE"))
		return nil, false
	}
	return items, true
}

var (
	keyPattern      = regexp.MustCompile(`^arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:key/[0-9a-zA-Z-]+$`)
	regionPattern   = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	namePattern     = regexp.MustCompile(`^[0-9A-Za-z][A-Za-z0-9_-]*$`)
	amiPattern      = regexp.MustCompile(`^(latest|v20[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01]))$`)
	digestPattern   = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	releasePattern  = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
	instancePattern = regexp.MustCompile(`^[a-z][a-z0-9-]*\.[a-z0-9-]+$`)
)

func (l *loader) region() string {
	const key = "aws:region"
	text := l.config[key]
	if !regionPattern.MatchString(text) {
		l.reject(key, text, "an AWS region, such as us-west-1", Set(key, "us-west-1"))
		return ""
	}
	return text
}

// secretsEncryption reads which key encrypts the cluster's data. EKS takes one of
// the cluster's region only.
func (l *loader) secretsEncryption() string {
	const key = "secretsEncryption"
	text := l.text(key)
	if text == SecretsKeyAWS || text == SecretsKeyStack {
		return text
	}
	m := keyPattern.FindStringSubmatch(text)
	switch region := l.config["aws:region"]; {
	case m == nil:
		l.reject(key, text, fmt.Sprintf("%s, %s, or the ARN of a KMS key, such as arn:aws:kms:us-west-2:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
			SecretsKeyAWS, SecretsKeyStack), Set(key, SecretsKeyStack))
		return ""
	case regionPattern.MatchString(region) && m[1] != region:
		l.reject(key, text, "a key in the cluster's region, "+region, Set(key, SecretsKeyStack))
		return ""
	}
	return text
}

func (l *loader) amiVersion() string {
	return l.matching("amiVersion", amiPattern, "latest, or an AMI release by its date, such as v20260714")
}

func (l *loader) release(key string) string {
	return l.matching(key, releasePattern, "a release such as "+l.standard(key)+", without a leading v")
}

// imageRelease reads a release that an image's tag is made of, and may be pinned to
// a digest: a tag can be moved, a digest cannot.
func (l *loader) imageRelease(key string) string {
	text := l.text(key)
	release, digest, pinned := strings.Cut(text, "@")
	if !releasePattern.MatchString(release) || pinned && !digestPattern.MatchString(digest) {
		l.reject(key, text, fmt.Sprintf("a release such as %s, without a leading v, or the release and its image's digest, RELEASE@sha256:…", l.standard(key)),
			Set(key, l.standard(key)))
		return ""
	}
	return text
}

func (l *loader) instanceType(key string) string {
	return l.matching(key, instancePattern, "an EC2 instance type, such as "+l.standard(key))
}

func (l *loader) instanceTypes(key, text string) []string {
	items, ok := l.list(key, text)
	if !ok {
		return nil
	}
	if len(items) == 0 {
		l.reject(key, "[]", "at least one EC2 instance type", Set(key+"[0]", "g4dn.xlarge"))
		return nil
	}
	var good []string
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case !instancePattern.MatchString(item):
			l.reject(at, item, "an EC2 instance type, such as g4dn.xlarge", Set(at, "g4dn.xlarge"))
		case slices.Contains(good, item):
			l.reject(at, item, "each type once", remove(at))
		default:
			good = append(good, item)
		}
	}
	return good
}

// maxCIDRs is how many ranges of a public endpoint's callers EKS takes ("Public endpoint
// access CIDR ranges per cluster" of its service quotas).
const maxCIDRs = 40

// cidrs reads who may reach the endpoint. That of an existing cluster is its owner's.
func (l *loader) cidrs(existing bool) []string {
	const key, example = "publicAccessCidrs", "203.0.113.7/32"
	items, ok := l.list(key, l.text(key))
	if !ok {
		return nil
	}
	if len(items) == 0 && !existing {
		l.reject(key, "", "at least one CIDR that may reach the API endpoint, this machine's own address included",
			Set(key+"[0]", example))
	}
	if len(items) > maxCIDRs {
		l.reject(key, fmt.Sprintf("%d CIDRs", len(items)), fmt.Sprintf("at most %d: EKS's quota", maxCIDRs), remove(fmt.Sprintf("%s[%d]", key, maxCIDRs)))
	}
	var good []string
	for i, item := range items {
		at := fmt.Sprintf("%s[%d]", key, i)
		prefix, err := netip.ParsePrefix(item)
		switch {
		case err != nil || !prefix.Addr().Is4():
			l.reject(at, item, "an IPv4 CIDR, such as "+example, Set(at, example))
		case prefix.Masked() != prefix:
			l.reject(at, item, fmt.Sprintf("a network address; this one's is %s, or %s/32 for the one host", prefix.Masked(), prefix.Addr()),
				Set(at, prefix.Masked().String()))
		case prefix.Bits() > 0 && (prefix.Addr().IsPrivate() || prefix.Addr().IsLoopback() || prefix.Addr().IsLinkLocalUnicast()):
			l.reject(at, item, "an address of the Internet, such as "+example+": EKS takes no private ones, which reach the private endpoint", Set(at, example))
		case slices.Contains(good, item):
			l.reject(at, item, "each once", remove(at))
		default:
			good = append(good, item)
		}
	}
	return good
}

// version reads the Kubernetes version of a cluster to be made.
func (l *loader) version() Version {
	const key = "kubernetesVersion"
	text := l.text(key)
	version, err := ParseVersion(text)
	if err != nil {
		want := "an EKS version, such as 1.28, in quotes"
		if regexp.MustCompile(`^1\.[1-9]$`).MatchString(text) {
			want += fmt.Sprintf("; an unquoted %s0 arrives as %s: quote it", text, text)
			l.reject(key, text, want, Set(key, `"`+text+`0"`))
		} else {
			l.reject(key, text, want, Set(key, `"`+l.standard(key)+`"`))
		}
	}
	return version
}

func (l *loader) controllers() (low, high, desired int) {
	const most = 450 // nodes of one managed node group: EKS service quotas
	low = l.integer("controllerMin", most)
	high = l.integer("controllerMax", most)
	desired = l.integer("controllerDesired", most)
	if low == 0 || high == 0 || desired == 0 {
		return low, high, desired
	}
	if low > high {
		l.reject("controllerMin", strconv.Itoa(low), fmt.Sprintf("at most controllerMax, which is %d", high),
			Set("controllerMin", strconv.Itoa(high)))
	}
	if desired < low {
		l.reject("controllerDesired", strconv.Itoa(desired), fmt.Sprintf("at least controllerMin, which is %d", low),
			Set("controllerDesired", strconv.Itoa(low)))
	}
	if desired > high {
		l.reject("controllerDesired", strconv.Itoa(desired), fmt.Sprintf("at most controllerMax, which is %d", high),
			Set("controllerDesired", strconv.Itoa(high)))
	}
	return low, high, desired
}

// maxTags is how many tags of the user's own there may be: AWS takes 50 on a resource,
// and an instance has up to ten by the stack, EKS and Karpenter.
const maxTags = 40

// tagPattern is the strictest of the services that the stack tags things of: IAM's (Tag
// in the IAM API reference).
var tagPattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

func (l *loader) tags() map[string]string {
	const key = "tags"
	text := l.text(key)
	var tags map[string]string
	if err := json.Unmarshal([]byte(text), &tags); err != nil {
		l.reject(key, text, "a map of strings", "pulumi config set --path tags.team platform")
		return nil
	}
	names := sortedKeys(tags)
	removal := func(name string) string { return fmt.Sprintf("pulumi config rm --path '%s[\"%s\"]'", key, name) }
	if len(names) > maxTags {
		l.reject(key, fmt.Sprintf("%d tags", len(names)), fmt.Sprintf("at most %d: AWS takes 50 on a resource, and the stack, EKS and Karpenter set some of their own", maxTags),
			removal(names[maxTags]))
	}
	for _, name := range names {
		at, value, mend := key+"."+name, tags[name], removal(name)
		switch {
		case name == "" || utf8.RuneCountInString(name) > 128 || utf8.RuneCountInString(value) > 256:
			l.reject(at, value, "a key of 1 to 128 and a value of at most 256 characters: EC2's limits", mend)
		case !tagPattern.MatchString(name + value):
			l.reject(at, value, "letters, digits, spaces and _ . : / = + - @, in the key and in the value: what IAM takes", mend)
		case strings.HasPrefix(strings.ToLower(name), "aws:"):
			l.reject(at, value, "a key that does not begin with aws:, which AWS keeps for itself", mend)
		case name == ClusterTag || name == SecretsKeyTag:
			l.reject(at, value, "a key other than this, which the stack sets itself", mend)
		case reservedTag(name):
			l.reject(at, value, "a key that Karpenter and EKS do not set themselves: instances are told apart by theirs", mend)
		}
	}
	return tags
}

// reservedTag tells the tag keys that EC2NodeClass refuses in spec.tags (the
// CRD's validation rules), because ownership is read from them.
func reservedTag(key string) bool {
	return strings.HasPrefix(key, "kubernetes.io/cluster") ||
		slices.Contains([]string{"eks:eks-cluster-name", "karpenter.sh/nodepool", "karpenter.sh/nodeclaim",
			"karpenter.k8s.aws/ec2nodeclass"}, key)
}

// unknownKeys reports keys of the project's namespace that Pulumi.yaml does not
// declare. The engine ignores them, so a misspelt one would silently do nothing.
func (l *loader) unknownKeys() {
	known := l.schema.Keys()
	for _, key := range sortedKeys(l.namespace(l.schema.Namespace)) {
		if slices.Contains(known, key) {
			continue
		}
		value := l.config[l.schema.Namespace+":"+key]
		want := "no such key. There are " + strings.Join(known, ", ")
		mend := "pulumi config rm " + key
		if near := nearest(key, known); near != "" {
			want = "no such key. Did you mean " + near + "?"
			mend += " && " + Set(near, "'"+value+"'")
		}
		l.reject(key, value, want, mend)
	}
}

// nearest returns the known key at most two edits away from key, ignoring
// case, or "".
func nearest(key string, known []string) string {
	best, at := "", 3
	for _, k := range known {
		if d := levenshtein.Distance(strings.ToLower(key), strings.ToLower(k), nil); d < at {
			best, at = k, d
		}
	}
	return best
}
