// Command empty is a Pulumi program without a resource: what a preview of it
// takes is the engine's own floor.
package main

import "github.com/pulumi/pulumi/sdk/v3/go/pulumi"

func main() { pulumi.Run(func(*pulumi.Context) error { return nil }) }
