// Command kube is the rehearsal's Kubernetes control plane: the unmodified
// upstream etcd, kube-apiserver, kube-controller-manager, kube-scheduler and
// kubectl, built from their Go modules and linked once into one binary, because
// five separate links would cost five times the time and the disk.
//
// The component is the first argument, or the name the binary is called by, so
// that a symbolic link named kubectl is a kubectl.
//
// Each component starts exactly as its own upstream main does (cmd/kube-apiserver
// and so on in k8s.io/kubernetes, server/main.go in etcd).
//
// Gotcha: the Kubernetes components refuse to be useful without a version, which
// upstream stamps in while linking. Build with the flags of package
// eks-gpu-slicing/rehearsal/kube/stamp; a binary built without them says so and
// exits instead of serving as v0.0.0.
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	_ "time/tzdata" // time zones of CronJobs, as in the upstream mains

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/component-base/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"

	"eks-gpu-slicing/rehearsal/kube/stamp"
)

func main() {
	os.Exit(run(os.Args, os.Stderr))
}

// run starts the component that args name and returns its exit status.
func run(args []string, stderr io.Writer) int {
	components := map[string]func(args []string) int{
		"etcd":                    runEtcd,
		"kube-apiserver":          runServer(apiserver.NewAPIServerCommand),
		"kube-controller-manager": runServer(controllermanager.NewControllerManagerCommand),
		"kube-scheduler":          runServer(func() *cobra.Command { return scheduler.NewSchedulerCommand() }),
		"kubectl":                 runKubectl,
	}
	name := filepath.Base(args[0])
	if components[name] == nil && len(args) > 1 {
		args = args[1:]
		name = args[0]
	}
	start := components[name]
	if start == nil {
		var names []string
		for n := range components {
			names = append(names, n)
		}
		slices.Sort(names)
		_, _ = fmt.Fprintf(stderr, "kube: %q is no component; use one of: %s\n", name, strings.Join(names, ", "))
		return 2
	}
	if got := version.Get().GitVersion; got != stamp.Version {
		_, _ = fmt.Fprintf(stderr, "kube: built as version %q instead of %q; build it with -ldflags %q\n",
			got, stamp.Version, stamp.LDFlags())
		return 2
	}
	return start(args)
}

func runEtcd(args []string) int {
	os.Args = args
	etcdmain.Main(args)
	return 0
}

func runServer(newCommand func() *cobra.Command) func(args []string) int {
	return func(args []string) int {
		os.Args = args
		return cli.Run(newCommand())
	}
}

func runKubectl(args []string) int {
	os.Args = args
	// kubectl builds its command from flags of its own before it parses them,
	// the verbosity included.
	if _, err := logs.GlogSetter(kubectl.GetLogVerbosity(args)); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "kubectl:", err)
		return 1
	}
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err) // prints as kubectl does, and exits
	}
	return 0
}
