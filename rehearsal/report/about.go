package report

import (
	"cmp"
	"fmt"
	"slices"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// About is how a report's figures came about. It belongs above every table of them.
type About struct {
	Stack  string `json:"stack"`
	Region string `json:"region"`
	// Workloads name what was applied, as Kind name (file).
	Workloads []string `json:"workloads"`
	// Real names what the figures were found with that runs in production too,
	// Simulated what stood in.
	Real      []string `json:"real"`
	Simulated []string `json:"simulated"`
	// PricesDate is the day of the price list, as 2006-01-02.
	PricesDate string `json:"pricesDate"`
	// Prices are those of the nodes there were, by instance type.
	Prices []Price `json:"prices"`
}

// Price is what a node costs.
type Price struct {
	InstanceType string `json:"instanceType"`
	// CapacityType is spot or on-demand.
	CapacityType string `json:"capacityType"`
	// PerHour is in USD, for Linux; 0 where no source knows it.
	PerHour float64 `json:"perHour"`
	// Assumed is true where no source states the price for the region, so that it was
	// derived.
	Assumed bool `json:"assumed"`
	// Source says where the figure is from, and of which day.
	Source string `json:"source"`
}

// NewAbout is about a stack in a region of which nothing else is known yet.
func NewAbout(stack, region string) About {
	return About{Stack: stack, Region: region, Workloads: []string{}, Real: []string{}, Simulated: []string{}, Prices: []Price{}}
}

// AddPrices notes where the prices of nodes are from. The error is one of the
// catalogue's, for a region that it does not cover.
func (a *About) AddPrices(nodes []Node) error {
	types, err := catalogue.Default()
	if err != nil {
		return err
	}
	if _, err := types.Region(a.Region); err != nil {
		return err
	}
	a.PricesDate = types.Header().PriceList.Date
	for _, n := range nodes {
		if slices.ContainsFunc(a.Prices, func(p Price) bool { return p.InstanceType == n.InstanceType && p.CapacityType == n.CapacityType }) {
			continue
		}
		p, err := types.OnDemand(a.Region, n.InstanceType)
		if n.CapacityType == Spot {
			p, err = types.Spot(a.Region, n.Zone, n.InstanceType)
		}
		if err != nil {
			p = catalogue.Price{Source: fmt.Sprintf("unknown: %v", err)}
		}
		a.Prices = append(a.Prices, Price{n.InstanceType, n.CapacityType, p.USDPerHour, p.Assumed, p.Source})
	}
	slices.SortFunc(a.Prices, func(x, y Price) int {
		return cmp.Or(cmp.Compare(x.InstanceType, y.InstanceType), cmp.Compare(x.CapacityType, y.CapacityType))
	})
	return nil
}

// sliceMemory is the GPU memory for each of the slices that a node offers, in MiB,
// and 0 for a node without.
func sliceMemory(n Node) int64 {
	_, mib := gpusOf(n)
	if n.GPUSlices == 0 {
		return 0
	}
	return mib / n.GPUSlices
}

// gpusOf is how many physical GPUs a node has, and the memory of all in MiB.
func gpusOf(n Node) (count, mib int64) {
	types, err := catalogue.Default()
	if err != nil {
		return 0, 0
	}
	t, _ := types.Type(n.InstanceType)
	for _, gpu := range t.GPUs {
		count += int64(gpu.Count)
		mib += int64(gpu.Count) * int64(gpu.MemoryMiB)
	}
	return count, mib
}
