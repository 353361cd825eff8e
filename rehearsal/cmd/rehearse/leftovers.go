package main

import (
	"os"

	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/request"
)

func newLeftovers(dir *string) *cobra.Command {
	var t target
	var file string
	cmd := &cobra.Command{
		Use:   "leftovers",
		Short: "List what a stack has left in an AWS account, and the commands that remove it",
		Long: `Leftovers asks the account of your AWS credentials, a real one, for what belongs to the
stack: by its exact name, or by an exact tag. It only reads; for each thing it prints
the commands that remove it. Of a stack that is up, that is everything. Of a cluster that
the stack has not made (existingCluster), it is only what bears the stack's own tag.
It exits with 0 whether it finds something or not.

This is the one command that uses your credentials. In a shell that was told of a
rehearsal (see "rehearse up") they are that rehearsal's.

` + exitStatuses,
		Example: `  rehearse leftovers
  rehearse leftovers --stack prod --json left.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := t.find(*dir)
			if err != nil {
				return err
			}
			if err := writable("--json", file); err != nil {
				return usage(err)
			}
			r := request.Request{Command: request.Leftovers, Checkout: a.checkout, Stack: t.stack, Config: t.config, JSON: file}
			return become(cmd.Context(), r, os.Environ())
		},
	}
	t.addStackFlags(cmd, dir)
	cmd.Flags().StringVar(&file, "json", "", "also write the list to this `FILE`")
	return cmd
}
