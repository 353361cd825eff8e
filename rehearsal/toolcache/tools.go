package toolcache

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"
)

// rehearsalModule is the folder of the module that pins the tools' versions.
const rehearsalModule = "rehearsal"

// Program is the project's own program.
func Program() Tool {
	return Tool{
		Name: "program", Title: "the program", Module: ".", Package: "eks-gpu-slicing",
		Estimate: 4 * time.Minute,
	}
}

// Policies is the project's policy pack. It links nothing that the program does not.
func Policies() Tool {
	return Tool{
		Name: "policy", Title: "the policy pack", Module: ".", Package: "eks-gpu-slicing/policy",
		Estimate: time.Minute,
	}
}

// pulumiCLI is the Pulumi CLI of the version that the rehearsal's SDK has: an
// engine and the providers that are attached to it speak one protocol.
func pulumiCLI(version string) Tool {
	return Tool{
		Name: "pulumi", Title: "the Pulumi CLI " + version, Module: rehearsalModule,
		Package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
		// Without the stamp the CLI calls itself 3.0.0-dev and refuses state of newer ones.
		LDFlags:  "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=" + version,
		Estimate: 5 * time.Minute,
	}
}

// CLI is a Pulumi CLI.
type CLI struct {
	// Path of the executable and its version, such as "v3.250.0".
	Path, Version string
	// OnPath tells that it is the user's own.
	OnPath bool
	// Passed is why the CLI on PATH was passed over, "" if there is none.
	Passed string
}

// Pulumi finds the CLI on PATH if its version fits, which is the SDK's or a
// newer one of the same major version, and builds it otherwise.
func (c *Cache) Pulumi(ctx context.Context, checkout string) (CLI, error) {
	want, err := requiredVersion(checkout, rehearsalModule, "github.com/pulumi/pulumi/sdk/v3")
	if err != nil {
		return CLI{}, err
	}
	cli, passed, err := c.pulumiOnPath(ctx, want)
	if err != nil || cli.Path != "" {
		return cli, err
	}
	path, err := c.Binary(ctx, checkout, pulumiCLI(want))
	return CLI{Path: path, Version: want, Passed: passed}, err
}

// pulumiOnPath is the CLI on PATH if it fits, and otherwise why it does not,
// "" when there is none.
func (c *Cache) pulumiOnPath(ctx context.Context, want string) (cli CLI, passed string, err error) {
	path, err := exec.LookPath("pulumi")
	if err != nil {
		return CLI{}, "", nil //nolint:nilerr // there is none, and none is needed
	}
	have, err := c.probe(ctx, path, "version")
	switch {
	case ctx.Err() != nil:
		return CLI{}, "", context.Cause(ctx)
	case err != nil:
		return CLI{}, fmt.Sprintf("%s does not run: %v", path, err), nil
	case !fits(have, want):
		return CLI{}, fmt.Sprintf("%s is %s, and %s or a newer %s is needed", path, have, semver.MajorMinor(want), semver.Major(want)), nil
	}
	return CLI{Path: path, Version: have, OnPath: true}, "", nil
}

// fits tells whether a CLI can run providers of an SDK. Patches of one minor
// version speak the same protocol.
func fits(cli, sdk string) bool {
	return semver.IsValid(cli) && semver.Major(cli) == semver.Major(sdk) &&
		semver.Compare(semver.MajorMinor(cli), semver.MajorMinor(sdk)) >= 0
}

// requiredVersion reads a version out of the rehearsal's go.mod.
func requiredVersion(checkout, folder, module string) (string, error) {
	path := filepath.Join(checkout, folder, "go.mod")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("the rehearsal's module: %w; %s is not a whole checkout of eks-gpu-slicing", err, checkout)
	}
	file, err := modfile.ParseLax(path, text, nil)
	if err != nil {
		return "", fmt.Errorf("the rehearsal's module: %w", err)
	}
	for _, r := range file.Require {
		if r.Mod.Path == module {
			return r.Mod.Version, nil
		}
	}
	return "", fmt.Errorf("%s does not require %s", path, module)
}
