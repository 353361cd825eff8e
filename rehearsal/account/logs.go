package account

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

type logsState struct {
	groups map[string]*LogGroup // by name
}

func (s *logsState) init() { *s = logsState{groups: map[string]*LogGroup{}} }

func (s *logsState) leftovers(add func(string, []string)) {
	add("AWS::Logs::LogGroup", sortedKeys(s.groups))
}

// LogGroup holds the logs of one source.
type LogGroup struct {
	Name string
	// ARN is without the trailing :* that DescribeLogGroups puts after it.
	ARN string
	// Class is STANDARD, INFREQUENT_ACCESS or DELIVERY.
	Class string
	// RetentionInDays is 0 for ever.
	RetentionInDays int
	Created         time.Time
	Tags            Tags
}

func (g *LogGroup) clone() LogGroup {
	c := *g
	c.Tags = g.Tags.with(nil)
	return c
}

// RetentionDays are the values PutRetentionPolicy takes (API reference).
func RetentionDays() []int {
	return []int{
		1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545,
		731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
	}
}

// clusterLogGroup is where EKS writes a cluster's control plane logs.
func clusterLogGroup(cluster string) string { return "/aws/eks/" + cluster + "/cluster" }

// CreateLogGroup makes a log group. Where EKS, which makes the group of a
// cluster's logs by itself, came first, the name is taken.
func (a *Account) CreateLogGroup(name, class string, tags Tags) (LogGroup, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(name) == 0 || len(name) > 512 || !regexp.MustCompile(`^[.\-_/#A-Za-z0-9]+$`).MatchString(name) {
		return LogGroup{}, refuse("InvalidParameterException", "1 validation error detected: Value '%s' at 'logGroupName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+", name)
	}
	if class == "" {
		class = "STANDARD"
	}
	if !slices.Contains([]string{"STANDARD", "INFREQUENT_ACCESS", "DELIVERY"}, class) {
		return LogGroup{}, refuse("InvalidParameterException", "1 validation error detected: Value '%s' at 'logGroupClass' failed to satisfy constraint: Member must satisfy enum value set: [STANDARD, INFREQUENT_ACCESS, DELIVERY]", class)
	}
	if _, taken := a.logs.groups[name]; taken {
		return LogGroup{}, refuse("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	if err := tags.check("InvalidParameterException"); err != nil {
		return LogGroup{}, err
	}
	return a.newLogGroup(name, class, tags).clone(), nil
}

func (a *Account) newLogGroup(name, class string, tags Tags) *LogGroup {
	g := &LogGroup{
		Name: name, ARN: a.arn("logs", "log-group:"+name), Class: class,
		Created: a.timestamp(), Tags: tags.with(nil),
	}
	a.logs.groups[name] = g
	return g
}

func (a *Account) logGroup(name string) (*LogGroup, error) {
	if g, ok := a.logs.groups[name]; ok {
		return g, nil
	}
	return nil, jsonNotFound("The specified log group does not exist.")
}

// DescribeLogGroup finds a log group by its full name.
func (a *Account) DescribeLogGroup(name string) (LogGroup, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.logGroup(name)
	if err != nil {
		return LogGroup{}, err
	}
	return g.clone(), nil
}

// DescribeLogGroups lists log groups whose names begin with prefix, by name.
func (a *Account) DescribeLogGroups(prefix string) []LogGroup {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []LogGroup
	for _, name := range sortedKeys(a.logs.groups) {
		if strings.HasPrefix(name, prefix) {
			out = append(out, a.logs.groups[name].clone())
		}
	}
	return out
}

// PutRetentionPolicy sets how many days logs are kept; 0, which is
// DeleteRetentionPolicy, keeps them for ever.
func (a *Account) PutRetentionPolicy(name string, days int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.logGroup(name)
	if err != nil {
		return err
	}
	if days != 0 && !slices.Contains(RetentionDays(), days) {
		return refuse("InvalidParameterException", "1 validation error detected: Value '%d' at 'retentionInDays' failed to satisfy constraint: Member must satisfy enum value set: %v", days, RetentionDays())
	}
	g.RetentionInDays = days
	return nil
}

// TagLogGroup is TagResource of a log group.
func (a *Account) TagLogGroup(name string, tags Tags) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.logGroup(name)
	if err != nil {
		return err
	}
	if err := g.Tags.with(tags).check("InvalidParameterException"); err != nil {
		return err
	}
	g.Tags = g.Tags.with(tags)
	return nil
}

// UntagLogGroup is UntagResource of a log group.
func (a *Account) UntagLogGroup(name string, keys []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	g, err := a.logGroup(name)
	if err != nil {
		return err
	}
	g.Tags = g.Tags.without(keys)
	return nil
}

// DeleteLogGroup deletes a log group. The group of a cluster that still writes
// logs is back at once, empty and without a retention time: EKS makes it again
// with its next line, and that one stays when the cluster goes.
func (a *Account) DeleteLogGroup(name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.logGroup(name); err != nil {
		return err
	}
	delete(a.logs.groups, name)
	a.eks.writeLogs(a)
	return nil
}
