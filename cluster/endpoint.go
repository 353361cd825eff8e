package cluster

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"eks-gpu-slicing/internal/settings"
)

// WarnEndpoint warns in the preview of an API endpoint that anyone can reach. It is
// a warning because callers must still be known to IAM, and a stack to try things
// on may be used from anywhere.
func WarnEndpoint(ctx *pulumi.Context, s *settings.Settings) error {
	for _, message := range worldOpen(s.PublicAccessCIDRs) {
		if err := ctx.Log.Warn(message, nil); err != nil {
			return err
		}
	}
	return nil
}

// worldOpen is what to say of the CIDRs that hold every address.
func worldOpen(cidrs []string) []string {
	var messages []string
	for i, cidr := range cidrs {
		if cidr == "0.0.0.0/0" {
			at := fmt.Sprintf("publicAccessCidrs[%d]", i)
			messages = append(messages, fmt.Sprintf("%s is %s: the whole Internet reaches the API endpoint; mend: %s",
				at, cidr, settings.Set(at, `"$(curl -s https://checkip.amazonaws.com)/32"`)))
		}
	}
	return messages
}
