package wire

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type formSample struct {
	Name     string    `form:"Name"`
	Max      int       `form:"MaxResults"`
	Price    float64   `form:"Price"`
	Start    time.Time `form:"StartTime"`
	Encrypt  *bool     `form:"Encrypted"`
	IDs      []string  `form:"InstanceId"`
	Nested   formInner `form:"Spec"`
	Tags     []formTag `form:"Tag"`
	Optional *formTag  `form:"Optional"`
}

type formInner struct {
	Tags []formTag `form:"Tag"`
}

type formTag struct {
	Key   string `form:"Key"`
	Value string `form:"Value"`
}

func TestDecodeFormRefuses(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ form, want string }{
		"unknown":             {"Nam=x", "The parameter Nam is not recognized"},
		"case":                {"name=x", "The parameter name is not recognized"},
		"unknown nested":      {"Spec.Tag.1.Kay=x", "The parameter Spec.Tag.1.Kay is not recognized"},
		"below a value":       {"Name.First=x", "The parameter Name.First is not recognized"},
		"value for a struct":  {"Spec=x", "The parameter Spec is not recognized"},
		"value for a list":    {"InstanceId=i-1", "The parameter InstanceId is not recognized"},
		"list without number": {"InstanceId.first=i-1", "The parameter InstanceId.first is not recognized"},
		"index 0":             {"InstanceId.0=i-1", "The parameter InstanceId.0 is not recognized"},
		"index 01":            {"InstanceId.01=i-1", "The parameter InstanceId.01 is not recognized"},
		"not a number":        {"MaxResults=many", "Value (many) for parameter MaxResults is invalid. Must be an integer"},
		"not a bool":          {"Encrypted=maybe", "Value (maybe) for parameter Encrypted is invalid. Must be true or false"},
		"not a time":          {"StartTime=today", "Value (today) for parameter StartTime is invalid. Must be a time such as 2026-11-24T05:00:00Z"},
		"empty name":          {"=x", "The parameter  is not recognized"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			values, err := url.ParseQuery(tc.form)
			if err != nil {
				t.Fatal(err)
			}
			err = decodeForm(values, &formSample{})
			if err == nil || err.Error() != tc.want {
				t.Errorf("decodeForm = %v, want %s", err, tc.want)
			}
		})
	}
}

func TestDecodeForm(t *testing.T) {
	t.Parallel()
	yes := true
	values, err := url.ParseQuery("Name=a&MaxResults=5&Price=0.5&StartTime=2026-11-24T05:00:00Z&Encrypted=true" +
		"&InstanceId.2=i-2&InstanceId.10=i-10&InstanceId.1=i-1&Spec.Tag.1.Key=k&Spec.Tag.1.Value=v&Tag.member.1.Key=m&Tag.member.1.Value=")
	if err != nil {
		t.Fatal(err)
	}
	want := formSample{
		Name: "a", Max: 5, Price: 0.5, Start: time.Date(2026, 11, 24, 5, 0, 0, 0, time.UTC), Encrypt: &yes,
		IDs: []string{"i-1", "i-2", "i-10"}, Nested: formInner{Tags: []formTag{{"k", "v"}}}, Tags: []formTag{{Key: "m"}},
	}
	var got formSample
	if err := decodeForm(values, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
}

// FuzzDecodeForm: no input panics.
func FuzzDecodeForm(f *testing.F) {
	f.Add("Name=a&Tag.1.Key=k&Tag.member.1.Key=m")
	f.Add("InstanceId.1=a&InstanceId.1.2=b&.=x&..=y")
	f.Add("Tag.member=x&Tag.member.1.Key=m&Optional.Key=&StartTime.1=")
	f.Fuzz(func(_ *testing.T, form string) {
		if values, err := url.ParseQuery(form); err == nil {
			_ = decodeForm(values, &formSample{})
		}
	})
}
