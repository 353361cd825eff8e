// Command policy is a Pulumi policy pack for clusters such as this project's.
// Any stack can run it; it needs neither AWS nor a network:
//
//	pulumi preview --policy-pack path/to/policy
//	pulumi up --policy-pack path/to/policy --policy-pack-config levels.json
//
// The CLI's own Go language plugin compiles the folder and starts the result,
// which speaks the analyzer protocol (pulumi/sdk/proto/pulumi/analyzer.proto).
// The SDK's policyx package would do that in fewer lines, but it hands a pack no
// whole stack (its AnalyzeStack does nothing), and slices-agree needs one.
//
// Each rule is mandatory: a violation fails the preview, and an up before the
// resource is touched. levels.json sets other levels, by rule or for all:
//
//	{"tagged": "advisory", "imdsv2": {"enforcementLevel": "disabled"}}
//
// Gotchas:
//
//   - What a preview cannot know yet is neither a violation nor a pass: the rule
//     calls itself not applicable and gives the reason. The up asks again, with
//     the values.
//   - slices-agree sees the whole stack, so in an up it speaks when everything is
//     done already. Preview first.
//   - The pack belongs to this project's module, so its SDK is compiled once for
//     both. The program does not import it: a build of the program compiles none
//     of it.
package main

import (
	"fmt"
	"os"

	"google.golang.org/grpc"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "policy:", err)
		os.Exit(1)
	}
}

// serve prints the port it listens on, on loopback, and answers the engine for
// as long as that lets it live.
func serve() error {
	server, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{Init: func(s *grpc.Server) error {
		pulumirpc.RegisterAnalyzerServer(s, plugin.NewAnalyzerServer(newPack(rules())))
		return nil
	}})
	if err != nil {
		return err
	}
	fmt.Println(server.Port)
	return <-server.Done
}
