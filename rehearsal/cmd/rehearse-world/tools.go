package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"eks-gpu-slicing/rehearsal/engine"
	"eks-gpu-slicing/rehearsal/toolcache"
	"eks-gpu-slicing/rehearsal/world"
)

// tools are what a rehearsal runs.
type tools struct {
	cli, program    string
	component       *engine.Component
	kube, karpenter string
	charts          string
}

// buildTools finds or builds them. The quickest one to fail comes first.
func buildTools(ctx context.Context, checkout string) (t tools, err error) {
	cache, err := toolcache.Open(os.Stderr)
	if err != nil {
		return t, err
	}
	if t.charts, err = world.Charts(ctx, checkout); err != nil {
		return t, err
	}
	eks, err := cache.EKSComponent(ctx, checkout)
	if err != nil {
		return t, err
	}
	t.component = &engine.Component{Package: "eks", Command: eks.Command}
	cli, err := cache.Pulumi(ctx, checkout)
	if err != nil {
		return t, err
	}
	t.cli = cli.Path
	for _, b := range []struct {
		path *string
		tool toolcache.Tool
	}{{&t.program, toolcache.Program()}, {&t.kube, world.Kube()}, {&t.karpenter, world.Karpenter()}} {
		if *b.path, err = cache.Binary(ctx, checkout, b.tool); err != nil {
			return t, err
		}
	}
	return t, nil
}

// standInAWS makes a link by which this executable is called as aws.
func standInAWS(dir string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	link := filepath.Join(dir, "aws")
	return link, os.Symlink(self, link)
}

// findCheckout is the project's folder: dir or the nearest above it with both a
// Pulumi.yaml and the rehearsal's module.
func findCheckout(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := start; ; at = filepath.Dir(at) {
		_, errProject := os.Stat(filepath.Join(at, "Pulumi.yaml"))
		_, errModule := os.Stat(filepath.Join(at, "rehearsal", "go.mod"))
		if errors.Join(errProject, errModule) == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("there is no checkout of eks-gpu-slicing in %s or above it: run this inside one, or name one with -C", start)
		}
	}
}
