package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/report"
	"eks-gpu-slicing/rehearsal/request"
)

func newPreview(s streams, dir *string) *cobra.Command {
	var t target
	var file string
	cmd := &cobra.Command{
		Use:   "preview",
		Short: "Show what the stack would create, change or delete",
		Long: `Preview runs the program under the real Pulumi engine and shows the engine's own
plan, as "pulumi preview" does on a new stack, with the verdict of the project's policy
pack (folder policy). The AWS account that it is made against is simulated.

` + worlds() + "\n" + exitStatuses,
		Example: `  rehearse preview
  rehearse preview --stack prod --config 'publicAccessCidrs=["203.0.113.7/32"]'
  rehearse preview --config gpuSlices=8 --json plan.json
  rehearse preview --world no-1.28`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return preview(cmd.Context(), s, *dir, &t, file)
		},
	}
	t.addFlags(cmd, dir)
	t.addVerbose(cmd, "also show each resource's properties, as the engine's --diff does")
	cmd.Flags().StringVar(&file, "json", "", "also write the plan to this `FILE`: resources, their dependencies, providers\nand inputs, outputs and diagnostics")
	return cmd
}

func preview(ctx context.Context, s streams, dir string, t *target, file string) error {
	if err := writable("--json", file); err != nil {
		return usage(err)
	}
	r, err := t.prepare(ctx, dir)
	if err != nil {
		return err
	}
	start := time.Now() // what was built before is for later previews, too
	e, end, err := r.start(ctx, s)
	if err != nil {
		return err
	}
	defer end()

	_, _ = fmt.Fprintf(s.out, "Real: %s.\nSimulated: the AWS account (world %s) and everything in it. Nothing is created.\n", r.tools.Real(), t.world)
	if note := r.tools.Note(); note != "" {
		_, _ = fmt.Fprintf(s.out, "Note: %s.\n", note)
	}
	_, _ = fmt.Fprintln(s.out)
	var flags []string
	if t.verbose {
		flags = []string{"--diff"}
	}
	plan, status, err := e.Preview(ctx, engine.IO{Stdin: s.in, Stdout: s.out, Stderr: s.err}, file != "", flags...)
	if err != nil {
		return &failure{request.StatusFailed, explain(err)}
	}
	if file != "" {
		if err := writePlan(file, plan); err != nil {
			return &failure{request.StatusFailed, fmt.Errorf("--json: %w", explain(err))}
		}
	}
	if status != 0 {
		return &failure{status: status}
	}
	_, err = fmt.Fprintf(s.out, "\nPlanned in %v against a simulated AWS account; nothing was created.\n", time.Since(start).Round(100*time.Millisecond))
	return err
}

func writePlan(path string, plan *engine.Plan) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(report.WriteJSON(file, plan), file.Close())
}
