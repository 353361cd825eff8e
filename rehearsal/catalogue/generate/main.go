// Command generate writes the instance catalogue's data file, catalogue.json,
// out of modules pinned in go.mod. Its output depends on nothing else: same
// modules, same bytes.
//
//	go run ./catalogue/generate         # rewrite the file
//	go run ./catalogue/generate -check  # exit 1 when it is stale
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/catalogue"
)

const mend = "go generate ./catalogue (in rehearsal/)"

func main() {
	check := flag.Bool("check", false, "write nothing; exit 1 when the data file is stale")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, *check)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "catalogue/generate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, check bool) error {
	data, err := build(ctx)
	if err != nil {
		return err
	}
	var fresh bytes.Buffer
	if err := data.Encode(&fresh); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", "eks-gpu-slicing/rehearsal/catalogue").Output()
	if err != nil {
		return fmt.Errorf("find the catalogue's folder with go list (run this inside rehearsal/): %w", err)
	}
	path := filepath.Join(strings.TrimSpace(string(out)), "catalogue.json")
	if check {
		return compare(path, fresh.Bytes())
	}
	if err := os.WriteFile(path, fresh.Bytes(), 0o644); err != nil {
		return err
	}
	offers := 0
	for _, entry := range data.Types {
		offers += len(entry.Offers)
	}
	fmt.Printf("%s: %d instance types, %d offers in %d regions, %d KB\n",
		filepath.Base(path), len(data.Types), offers, len(catalogue.Regions()), fresh.Len()/1000)
	return nil
}

// compare returns an error that names the first line in which the file differs
// from what it should be.
func compare(path string, want []byte) error {
	got, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is missing: run %s", path, mend)
	}
	if err != nil {
		return err
	}
	if bytes.Equal(got, want) {
		return nil
	}
	gotLines, wantLines := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	line := 0
	for line < len(gotLines) && line < len(wantLines) && bytes.Equal(gotLines[line], wantLines[line]) {
		line++
	}
	return fmt.Errorf("%s is stale from line %d on: run %s", path, line+1, mend)
}

// build reads the sources and returns the catalogue's data.
func build(ctx context.Context) (catalogue.Data, error) {
	prices, err := findModule(ctx, priceModule)
	if err != nil {
		return catalogue.Data{}, err
	}
	karpenter, err := findModule(ctx, karpenterModule)
	if err != nil {
		return catalogue.Data{}, err
	}
	data := catalogue.Data{}
	if data.Header, err = header(prices, karpenter); err != nil {
		return catalogue.Data{}, err
	}
	instances, err := readInstances(prices)
	if err != nil {
		return catalogue.Data{}, err
	}
	types, err := buildTypes(instances)
	if err != nil {
		return catalogue.Data{}, err
	}
	regions, newer := catalogue.Regions(), newerPrices()
	spotless := regionsWithoutSpot(instances, regions)
	for _, in := range instances {
		t, ok := types[in.InstanceType]
		if !ok {
			continue
		}
		entry := catalogue.Entry{Type: t}
		entry.Offers, entry.Repriced, err = buildOffers(in, regions, spotless, newer)
		if err != nil {
			return catalogue.Data{}, fmt.Errorf("instance type %s: %w", in.InstanceType, err)
		}
		if len(entry.Offers) > 0 {
			data.Types = append(data.Types, entry)
		}
	}
	slices.SortFunc(data.Types, func(a, b catalogue.Entry) int { return strings.Compare(a.Name, b.Name) })
	return data, nil
}

func header(prices, karpenter module) (catalogue.Header, error) {
	repriced, err := generatedDate(karpenter, "pkg/providers/pricing/zz_generated.pricing_aws.go")
	if err != nil {
		return catalogue.Header{}, err
	}
	limits, err := generatedDate(karpenter, "pkg/providers/instancetype/zz_generated.vpclimits.go")
	if err != nil {
		return catalogue.Header{}, err
	}
	return catalogue.Header{
		Comment: "Written by rehearsal/catalogue/generate; do not edit. Rewrite with: " + mend,
		PriceList: catalogue.Source{
			Name: prices.Path, Version: prices.Version, Date: prices.Time.UTC().Format("2006-01-02"),
			Gives: "types, on-demand and spot prices, zones",
		},
		Reprice: catalogue.Source{
			Name: karpenter.Path, Version: karpenter.Version, Date: repriced, Regions: slices.Sorted(maps.Keys(newerPrices())),
			Gives: "on-demand prices that have changed since",
		},
		Facts: []catalogue.Source{
			{Name: karpenter.Path, Version: karpenter.Version, Date: limits, Gives: "network limits, hypervisors"},
			{Name: "Karpenter reference, Instance Types, and EC2 DescribeInstanceTypes", Date: "2026-08-21",
				Gives: "GPU and Neuron devices, EFA, encryption in transit, clock speeds, corrections (typed into generate/facts.go and corrections.go)"},
		},
	}, nil
}
