package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// findCheckout is the folder of the project's Pulumi.yaml: dir, or the nearest
// above it. The rehearsal's module lies below that folder.
func findCheckout(dir string) (string, error) {
	start, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("the folder to run in: %w", err)
	}
	if _, err := os.Stat(start); err != nil {
		return "", fmt.Errorf("the folder to run in: %w: name a checkout of eks-gpu-slicing with -C", err)
	}
	for at := start; ; at = filepath.Dir(at) {
		_, err := os.Stat(filepath.Join(at, "Pulumi.yaml"))
		if err == nil {
			if _, err := os.Stat(filepath.Join(at, "rehearsal", "go.mod")); err != nil {
				return "", fmt.Errorf("the Pulumi project in %s has no rehearsal folder (%w): it is another project, or not a whole checkout of eks-gpu-slicing", at, err)
			}
			return at, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("looking for the project: %w", err)
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("there is no Pulumi.yaml in %s or above it: run this inside a checkout of eks-gpu-slicing, or name one with -C", start)
		}
	}
}
