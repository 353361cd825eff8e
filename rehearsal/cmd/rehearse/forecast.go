package main

import (
	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/request"
)

func newForecast(dir *string) *cobra.Command {
	var l lived
	var slices []int
	var live bool
	cmd := &cobra.Command{
		Use:   "forecast",
		Short: "Compare what your workloads cost at several numbers of slices a GPU",
		Long: `Forecast plans the stack once for each number of slices, and once with whole GPUs to
compare with, asks the scheduler of the real Karpenter where your workloads would go,
and shows side by side: nodes, cost by the hour and the month, slices used, GPU memory
a slice, what could not be placed and why, and the saving.

All pods are taken to be pending at once on a cluster without other workloads. With
--live each number is brought up instead, as "rehearse run" does, and the real
Kubernetes scheduler and the real Karpenter place the pods on simulated nodes: that
takes minutes where the plan takes seconds.

Prices are those of the catalogue that comes with the rehearsal, and bear its date.

Real are the program, the Pulumi engine, the pulumi-eks component and Karpenter's
scheduler; with --live also etcd, the Kubernetes control plane and Karpenter itself.
Simulated is the AWS account. The first time builds them, which takes minutes.

` + worlds() + "\n" + exitStatuses,
		Example: `  rehearse forecast --workload k8s/
  rehearse forecast --workload k8s/ --scale inference=40 --slices 2,4,8 --html forecast.html
  rehearse forecast --workload k8s/ --slices 4 --live
  rehearse forecast --stack prod --config 'publicAccessCidrs=["203.0.113.7/32"]' --workload pod.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.live(cmd.Context(), *dir, request.Request{Command: request.Forecast, Slices: slices, Live: live})
		},
	}
	l.addFlags(cmd, dir)
	l.addVerbose(cmd, "also show the engine's plans; with --live, its updates, nodes, logs and calls to AWS")
	cmd.Flags().IntSliceVar(&slices, "slices", []int{1, 2, 4, 8}, "numbers of slices a GPU to compare, as `LIST`; whole GPUs are always among them")
	cmd.Flags().BoolVar(&live, "live", false, "bring the stack up for each number and let its pods run, which takes minutes")
	return cmd
}
