package main

import (
	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/request"
)

func newForecast(dir *string) *cobra.Command {
	var l lived
	var slices []int
	cmd := &cobra.Command{
		Use:   "forecast",
		Short: "Compare what your workloads cost at several numbers of slices a GPU",
		Long: `Forecast brings the stack up once for each number of slices, and once with whole GPUs
to compare with, lets the real scheduler and the real Karpenter place your workloads,
and shows side by side: nodes, cost by the hour and the month, slices used, GPU memory
a slice, what could not be placed and why, and the saving.

Prices are those of the catalogue that comes with the rehearsal, and bear its date.

` + whatIsReal + "\n\n" + worlds() + "\n" + exitStatuses,
		Example: `  rehearse forecast --workload k8s/
  rehearse forecast --workload k8s/ --scale inference=40 --slices 2,4,8 --html forecast.html
  rehearse forecast --stack prod --config 'publicAccessCidrs=["203.0.113.7/32"]' --workload pod.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.live(cmd.Context(), *dir, request.Request{Command: request.Forecast, Slices: slices})
		},
	}
	l.addFlags(cmd, dir)
	cmd.Flags().IntSliceVar(&slices, "slices", []int{1, 2, 4, 8}, "numbers of slices a GPU to compare, as `LIST`; whole GPUs are always among them")
	return cmd
}
