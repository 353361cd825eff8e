package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/karpenter-provider-aws/pkg/providers/pricing"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// repriceRegion is the region whose price in Karpenter's table tells whether a
// type's price has changed since the price list.
const repriceRegion = "us-east-1"

// newerPrices is Karpenter's own on-demand prices, by region.
func newerPrices() map[string]map[ec2types.InstanceType]float64 {
	prices := map[string]map[ec2types.InstanceType]float64{}
	maps.Copy(prices, pricing.InitialOnDemandPricesAWS)
	maps.Copy(prices, pricing.InitialOnDemandPricesUSGov)
	return prices
}

// priceChange returns by what factor the type's on-demand price has changed
// since the price list; 1 when it has not. Metal sizes are left alone: for
// those Karpenter's table holds the price of dedicated tenancy.
func priceChange(in instance, newer map[string]map[ec2types.InstanceType]float64) float64 {
	was := float64(in.Pricing[repriceRegion].Linux.OnDemand)
	is := newer[repriceRegion][ec2types.InstanceType(in.InstanceType)]
	if was == 0 || is == 0 || strings.Contains(in.InstanceType, ".metal") || round(was) == round(is) {
		return 1
	}
	return is / was
}

// buildOffers returns what each region of the catalogue asks for an instance,
// and whether its on-demand price has changed since the price list.
func buildOffers(in instance, regions []catalogue.Region, spotless map[string]bool, newer map[string]map[ec2types.InstanceType]float64) (catalogue.Offers, bool, error) {
	change := priceChange(in, newer)
	offers := catalogue.Offers{}
	for _, region := range regions {
		linux := in.Pricing[region.Name].Linux
		was := float64(linux.OnDemand)
		if was == 0 {
			continue
		}
		offer := catalogue.Offer{OnDemand: round(was)}
		if change != 1 {
			if price, ok := newer[region.Name][ec2types.InstanceType(in.InstanceType)]; ok {
				offer.OnDemand = round(price)
			} else {
				offer.OnDemand, offer.OnDemandAssumed = round(was*change), true
			}
		}
		switch {
		case len(linux.Spot) > 0:
			offer.Spot = round(mean(linux.Spot))
		case linux.SpotAverage > 0:
			offer.Spot, offer.SpotAssumed = round(float64(linux.SpotAverage)), true
		case spotless[region.Name]:
			offer.Spot = round(was * spotRatio(in))
			offer.SpotAssumed = offer.Spot > 0
		}
		if offer.Spot > offer.OnDemand { // no request pays more than on demand unless it says so
			offer.Spot, offer.SpotAssumed = offer.OnDemand, true
		}
		var err error
		if offer.Zones, err = zoneDigits(in.AvailabilityZones[region.Name], region); err != nil {
			return nil, false, err
		}
		offers[region.Name] = offer
	}
	return offers, change != 1, nil
}

// regionsWithoutSpot returns the regions in which the price source knows no
// spot price at all, so that its silence on one type says nothing.
func regionsWithoutSpot(instances []instance, regions []catalogue.Region) map[string]bool {
	spotless := map[string]bool{}
	for _, region := range regions {
		spotless[region.Name] = !slices.ContainsFunc(instances, func(in instance) bool {
			linux := in.Pricing[region.Name].Linux
			return len(linux.Spot) > 0 || linux.SpotAverage > 0
		})
	}
	return spotless
}

// spotRatio returns the mean of the type's spot to on-demand price over the
// regions whose spot prices are known; 0 when there is none.
func spotRatio(in instance) float64 {
	sum, n := 0.0, 0
	for _, region := range slices.Sorted(maps.Keys(in.Pricing)) { // a sum of floats depends on the order
		linux := in.Pricing[region].Linux
		if len(linux.Spot) > 0 && linux.OnDemand > 0 {
			sum += mean(linux.Spot) / float64(linux.OnDemand)
			n++
		}
	}
	if n == 0 {
		return 0
	}
	return sum / float64(n)
}

// zoneDigits returns the last digits of zone IDs in ascending order.
func zoneDigits(ids []string, region catalogue.Region) (string, error) {
	var digits []byte
	for _, id := range ids {
		if !slices.ContainsFunc(region.Zones, func(z catalogue.Zone) bool { return z.ID == id }) {
			return "", fmt.Errorf("zone %s of %s is missing in zones.go", id, region.Name)
		}
		digits = append(digits, id[len(id)-1])
	}
	slices.Sort(digits)
	return string(digits), nil
}

func mean(prices []decimal) float64 {
	sum := 0.0
	for _, price := range prices {
		sum += float64(price)
	}
	return sum / float64(len(prices))
}

// round drops what six decimals, the precision of the sources, cannot hold.
func round(usd float64) float64 { return math.Round(usd*1e6) / 1e6 }
