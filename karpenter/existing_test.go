package karpenter

import (
	"encoding/json"
	"strings"
	"testing"

	"eks-gpu-slicing/internal/settings"
)

// TestNodeClassWarnings: what a class of others lets a stack do, and a user should know.
func TestNodeClassWarnings(t *testing.T) {
	t.Parallel()
	const alias, volume = `"amiSelectorTerms":[{"alias":"al2023@latest"}]`, `"blockDeviceMappings":[{"rootVolume":true,"ebs":{"volumeSize":"100Gi"}}]`
	for spec, want := range map[string]string{
		alias + "," + volume: "",
		volume:               "selects its AMIs without an alias",
		alias:                "has a root volume of 20Gi, Karpenter's default",
		alias + `,"blockDeviceMappings":[{"ebs":{"volumeSize":"30Gi"}}]`:                                  "has a root volume of 30Gi",
		alias + "," + volume + `,"metadataOptions":{"httpPutResponseHopLimit":1,"httpTokens":"required"}`: "",
		alias + "," + volume + `,"metadataOptions":{"httpPutResponseHopLimit":2}`:                         "lets pods have the credentials of their nodes; mend: kubectl edit ec2nodeclass mine, spec.metadataOptions",
		alias + "," + volume + `,"metadataOptions":{"httpTokens":"optional"}`:                             "lets pods have the credentials of their nodes",
	} {
		var class nodeClass
		if err := json.Unmarshal([]byte("{"+spec+"}"), &class); err != nil {
			t.Fatal(err)
		}
		problems, warnings := class.check(&settings.Settings{NodeClass: "mine", Version: settings.Version{Major: 1, Minor: 34}})
		if got := strings.Join(warnings, "\n"); len(problems) > 0 || (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s: problems %v, warnings %q; want one warning with %q", spec, problems, warnings, want)
		}
	}
}
