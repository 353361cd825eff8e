package main

import (
	"os"

	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/request"
)

func newLeftovers(dir *string) *cobra.Command {
	var l lived
	cmd := &cobra.Command{
		Use:   "leftovers",
		Short: "List what a stack has left in an AWS account, and the commands that remove it",
		Long: `Leftovers asks the account of your AWS credentials, a real one, for what belongs to the
stack: by its exact name, or by an exact tag. It only reads; for each thing it prints
the commands that remove it. Of a stack that is up, that is everything. Of a cluster that
the stack has not made (existingCluster), it is only what bears the stack's own tag.

This is the one command that uses your credentials. In a shell that was told of a
rehearsal (see "rehearse up") they are that rehearsal's.

` + exitStatuses,
		Example: `  rehearse leftovers
  rehearse leftovers --stack prod --json left.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := l.check(*dir)
			if err != nil {
				return err
			}
			if err := writable("--json", l.json); err != nil {
				return usage(err)
			}
			r := request.Request{Command: request.Leftovers, Checkout: a.checkout, Stack: l.stack, Config: l.config, JSON: l.json}
			return become(cmd.Context(), r, os.Environ())
		},
	}
	l.target.addFlags(cmd, dir)
	_ = cmd.Flags().MarkHidden("world") // there is no world in it
	cmd.Flags().StringVar(&l.json, "json", "", "also write the list to this `FILE`")
	return cmd
}
