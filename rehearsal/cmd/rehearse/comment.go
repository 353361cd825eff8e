package main

import (
	"bytes"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"eks-gpu-slicing/rehearsal/report/comment"
	"eks-gpu-slicing/rehearsal/request"
)

func newComment(s streams) *cobra.Command {
	var before, after, out string
	cmd := &cobra.Command{
		Use:   "comment",
		Short: "Write what a change does as Markdown, for its pull request",
		Long: `Comment compares what was rehearsed before and after a change, and writes it as
Markdown: nodes and cost of the same workloads, what comes, goes and changes in each
stack's plan, and the forecast. It reads files alone, and starts nothing.

Each side is a folder with what these wrote, as far as it is there. What cannot be read
of the side before is said in the text; of the side after, it is an error.
  plan-STACK.json  rehearse preview --stack STACK --json
  run.json         rehearse run --json
  forecast.json    rehearse forecast --json
` + "\n" + exitStatuses,
		Example: `  rehearse comment --before base --after head
  rehearse comment --before base --after head --out comment.md`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := os.Stat(after); err != nil {
				return usage(fmt.Errorf("--after: %w: name the folder with what was rehearsed after the change", err))
			}
			if err := writable("--out", out); err != nil {
				return usage(err)
			}
			side := comment.Read(after)
			if side.Unread != nil {
				return usage(fmt.Errorf("--after: %w", side.Unread))
			}
			var text bytes.Buffer
			if err := comment.Write(&text, comment.Read(before), side); err != nil {
				return &failure{request.StatusFailed, err}
			}
			if out == "" {
				_, err := s.out.Write(text.Bytes())
				return err
			}
			if err := os.WriteFile(out, text.Bytes(), 0o644); err != nil {
				return &failure{request.StatusFailed, explain(err)}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&before, "before", "", "`FOLDER` of the side that the change is made to; one that is not there is a side without files")
	cmd.Flags().StringVar(&after, "after", "", "`FOLDER` of the side with the change")
	cmd.Flags().StringVarP(&out, "out", "o", "", "write to this `FILE` instead of standard output")
	for _, name := range []string{"before", "after"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flags are defined above
		}
	}
	return cmd
}
