package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/render"
	"eks-gpu-slicing/rehearsal/request"
)

func newRender(s streams, dir *string) *cobra.Command {
	var t target
	var out string
	cmd := &cobra.Command{
		Use:   "render",
		Short: "Write the stack's Kubernetes objects and IAM policies as files",
		Long: `Render writes what the stack would apply: a YAML file for each Kubernetes object,
the values of each Helm release, and a JSON file for each IAM policy. What exists
on AWS alone is a placeholder; the placeholders are listed with the command that
finds the real value.

` + worlds() + "\n" + exitStatuses,
		Example: `  rehearse render --out rendered
  rehearse render --stack prod --config 'publicAccessCidrs=["203.0.113.7/32"]' --out rendered
  rehearse render --config gpuSlices=8 --out rendered && kubectl diff -f rendered/nodepool-gpu.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRender(cmd.Context(), s, *dir, &t, out)
		},
	}
	t.addFlags(cmd, dir)
	cmd.Flags().StringVarP(&out, "out", "o", "", "`FOLDER` to write to, new, empty or of an earlier render")
	if err := cmd.MarkFlagRequired("out"); err != nil {
		panic(err) // the flag is defined a line above
	}
	return cmd
}

func runRender(ctx context.Context, s streams, dir string, t *target, out string) error {
	r, err := t.prepare(ctx, dir)
	if err != nil {
		return err
	}
	e, end, err := r.start(ctx, s)
	if err != nil {
		return err
	}
	defer end()
	var said bytes.Buffer // the plan is not asked for; it is shown when it fails
	plan, status, err := e.Preview(ctx, engine.IO{Stdout: &said, Stderr: &said}, true)
	if err != nil {
		return &failure{request.StatusFailed, explain(err)}
	}
	if status != 0 {
		_, err := said.WriteTo(s.err)
		return errors.Join(&failure{status: status}, err)
	}
	rendering, err := render.Plan(plan)
	if err != nil {
		return &failure{request.StatusFailed, err}
	}
	if err := rendering.Write(out); err != nil {
		return usage(explain(err))
	}
	_, _ = fmt.Fprintf(s.out, "%d files in %s. Replace in them:\n", len(rendering.Files), out)
	for _, p := range rendering.Placeholders {
		_, _ = fmt.Fprintf(s.out, "  %-20s %s\n", p.Text, p.Find)
	}
	return nil
}
