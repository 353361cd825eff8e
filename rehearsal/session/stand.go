package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"eks-gpu-slicing/rehearsal/folder"
)

// stand brings the stack up, and keeps it up until somebody takes it down or ctx
// ends.
func (l *life) stand(ctx context.Context) error {
	if err := l.rise(ctx, []step{{"up", l.up}}); err != nil {
		return err
	}
	if !l.report.OK() && !l.placed { // pods that cannot be placed may be what is to be looked at
		return l.account()
	}
	env, err := l.writeEnvironment()
	if err != nil {
		return err
	}
	if err := errors.Join(l.account(), l.report.Write(l.out)); err != nil {
		return err
	}
	asked, ended := make(chan io.Writer), make(chan error, 1)
	served, err := folder.Serve(ctx, l.options.home, func(there io.Writer) error {
		asked <- there
		return <-ended
	})
	if err != nil {
		return err
	}
	l.say(`
The stack is up and stays up. In another terminal:

  . %s                # kubectl, its kubeconfig, and access to the simulated account
  kubectl get nodes -L karpenter.sh/nodepool,node.kubernetes.io/instance-type
  kubectl apply -f examples/gpu-inference.yaml
  kubectl get pods -o wide --watch
  rehearse down --stack %s

The kubeconfig is %s.
Ctrl-C here ends it at once, without the destroy.`, env, l.options.Stack, l.session.World.Kubeconfig())
	select {
	case <-ctx.Done():
		err = context.Cause(ctx)
	case there := <-asked:
		err = l.down(ctx, there)
		ended <- err
	}
	return errors.Join(err, served.Close())
}

// down takes the stack down, and shows there, where that was asked for, the same as
// here.
func (l *life) down(ctx context.Context, there io.Writer) error {
	here := l.out
	both := io.MultiWriter(here, forgiving{there})
	l.out, l.session.out = both, both
	l.begin() // what was before has been shown
	err := l.fall(ctx)
	l.out, l.session.out = here, here
	if err == nil && !l.report.OK() {
		err = ErrShort
	}
	return errors.Join(err, l.report.Write(forgiving{there}))
}

// forgiving forgets what it cannot write: who asked may have gone away.
type forgiving struct{ io.Writer }

func (f forgiving) Write(p []byte) (int, error) {
	_, _ = f.Writer.Write(p)
	return len(p), nil
}

// writeEnvironment writes the file that makes a shell work on this rehearsal.
func (l *life) writeEnvironment() (string, error) {
	bin := filepath.Join(l.options.Dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return "", err
	}
	for name, target := range map[string]string{"kubectl": l.options.Tools.Kube, "aws": filepath.Join(l.options.Dir, "aws")} {
		if err := os.Symlink(target, filepath.Join(bin, name)); err != nil {
			return "", err
		}
	}
	var text strings.Builder
	for _, v := range l.session.World.Environment() {
		fmt.Fprintf(&text, "export %s\n", v)
	}
	fmt.Fprintf(&text, "export PATH=%s:$PATH\n", bin)
	path := filepath.Join(l.options.Dir, "env")
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}
