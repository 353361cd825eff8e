// Command program is the Pulumi program of the engine's tests, which does what
// its config says. By default it does nothing: that is what the engine costs
// by itself.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
)

// thing is a resource of the tests' provider.
type thing struct {
	pulumi.CustomResourceState
	Arn pulumi.StringOutput `pulumi:"arn"`
}

// cluster is the pulumi-eks component.
type cluster struct {
	pulumi.ResourceState
	Kubeconfig pulumi.StringOutput `pulumi:"kubeconfigJson"`
}

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		c := config.New(ctx, "")
		switch does := c.Get("does"); does {
		case "", "nothing":
			return nil
		case "environment":
			fmt.Println(strings.Join(os.Environ(), "\n"))
			return nil
		case "config":
			fmt.Println(os.Getenv(pulumi.EnvConfig))
			return nil
		case "hang":
			fmt.Printf("program %d\n", os.Getpid())
			select {}
		case "fail":
			return errors.New("as it was asked to")
		case "panic":
			panic("as it was asked to")
		case "things":
			return things(ctx)
		case "volumes", "open volume":
			return volumes(ctx, does == "volumes")
		case "cluster":
			return eksCluster(ctx)
		default:
			return fmt.Errorf("it cannot do %q", does)
		}
	})
}

// things makes two resources, of which the second depends on the first.
func things(ctx *pulumi.Context) error {
	first, second := &thing{}, &thing{}
	err := ctx.RegisterResource("test:index:Thing", "first", pulumi.Map{
		"password": pulumi.ToSecret(pulumi.String("hunter2")), "size": pulumi.Int(3),
	}, first)
	if err != nil {
		return err
	}
	if err := ctx.Log.Warn("mind the first", &pulumi.LogArgs{Resource: first}); err != nil {
		return err
	}
	ctx.Export("arn", first.Arn)
	ctx.Export("size", pulumi.Int(3))
	ctx.Export("password", pulumi.ToSecret(pulumi.String("hunter2")))
	return ctx.RegisterResource("test:index:Thing", "second", pulumi.Map{"of": first.Arn}, second, pulumi.Parent(first))
}

// volumes makes two volumes in AWS. Whether the second is encrypted is known only
// once the first exists.
func volumes(ctx *pulumi.Context, encrypted bool) error {
	first, second := &thing{}, &thing{}
	tags := pulumi.StringMap{"team": pulumi.String("platform")}
	if err := ctx.RegisterResource("aws:ebs/volume:Volume", "first", pulumi.Map{"encrypted": pulumi.Bool(encrypted), "tags": tags}, first); err != nil {
		return err
	}
	later := first.Arn.ApplyT(func(string) bool { return encrypted }).(pulumi.BoolOutput)
	return ctx.RegisterResource("aws:ebs/volume:Volume", "second", pulumi.Map{"encrypted": later, "tags": tags}, second)
}

// eksCluster makes a cluster with the real component and a public endpoint,
// which the component waits for in an update.
func eksCluster(ctx *pulumi.Context) error {
	c := &cluster{}
	err := ctx.RegisterRemoteComponentResource("eks:index:Cluster", "c", pulumi.Map{
		"skipDefaultNodeGroup": pulumi.Bool(true), "createOidcProvider": pulumi.Bool(true), "useDefaultVpcCni": pulumi.Bool(true),
		"endpointPublicAccess": pulumi.Bool(true), "vpcId": pulumi.String("vpc-1"),
		"subnetIds": pulumi.ToStringArray([]string{"subnet-1", "subnet-2"}),
	}, c)
	ctx.Export("kubeconfig", c.Kubeconfig)
	return err
}
