package main

import (
	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/request"
)

func newLint(dir *string) *cobra.Command {
	var l lived
	cmd := &cobra.Command{
		Use:   "lint",
		Short: "Find what in your workloads keeps pods from running on this stack",
		Long: `Lint asks the API server's validation, the scheduler's and Karpenter's own code, and
NVIDIA's, what they make of your workloads on the pools of this stack, and says for
each problem where it is, what causes it and what mends it. It starts no cluster.

` + worlds() + "\n" + exitStatuses,
		Example: `  rehearse lint --workload k8s/
  rehearse lint --stack prod --config 'publicAccessCidrs=["203.0.113.7/32"]' --workload k8s/ --json problems.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.live(cmd.Context(), *dir, request.Request{Command: request.Lint})
		},
	}
	l.target.addFlags(cmd, dir)
	l.addWorkloadFlags(cmd)
	l.addVerbose(cmd, "also show the engine's plan")
	cmd.Flags().StringVar(&l.json, "json", "", "also write the problems to this `FILE`")
	return cmd
}
