// Package outputs makes values of a program of others, and of resources that they do
// not come from.
package outputs

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// After returns value as an output that depends on the others' resources too, and
// fails where one of them does. Without others it is the value itself.
func After(value pulumi.StringInput, others ...pulumi.StringInput) pulumi.StringInput {
	if len(others) == 0 {
		return value
	}
	return pulumi.StringArray(append([]pulumi.StringInput{value}, others...)).ToStringArrayOutput().Index(pulumi.Int(0))
}

// Of makes a text of values once all of them are known.
func Of(make func(values []string) (string, error), values ...pulumi.StringInput) pulumi.StringOutput {
	made, ok := pulumi.StringArray(values).ToStringArrayOutput().ApplyT(make).(pulumi.StringOutput)
	if !ok {
		panic(fmt.Sprintf("outputs: the SDK made no text of %T", make)) // it goes by the function's type
	}
	return made
}
