package account

import (
	"fmt"
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// World is a kind of account to choose from.
type World struct {
	// Name is what it is chosen by.
	Name string
	// Description says in one line what is different about it.
	Description string
}

// world is what a World is made of. The zero value is plain.
type world struct {
	name, description string

	noDefaultVPC bool
	// oneZone leaves the default VPC one subnet.
	oneZone bool
	// refusedZone adds, to the zones that EKS takes, one that it does not.
	refusedZone bool
	// withdrawn is an EKS version that is not offered.
	withdrawn string
	// noFamily is an instance family that the region does not have.
	noFamily   string
	noSpotRole bool
	// standing is a cluster that stands; nil is none.
	standing *standing
}

func worlds() []world {
	return append([]world{
		{
			name:        "plain",
			description: "An account in order: a default VPC, EKS 1.28 still offered, the spot role there.",
		},
		{
			name:         "no-default-vpc",
			description:  "The default VPC has been deleted.",
			noDefaultVPC: true,
		},
		{
			name:        "one-zone",
			description: "The default VPC has a subnet in one zone only.",
			oneZone:     true,
		},
		{
			name:        "refused-zone",
			description: "The default VPC has a subnet in a zone that EKS refuses, beside good ones.",
			refusedZone: true,
		},
		{
			name:        "no-1.28",
			description: "EKS no longer offers 1.28, as AWS has done since November 2025.",
			withdrawn:   "1.28",
		},
		{
			name:        "no-g4dn",
			description: "The region has no g4dn instance types.",
			noFamily:    "g4dn",
		},
		{
			name:        "no-spot-role",
			description: "The account has never used spot: AWSServiceRoleForEC2Spot is missing.",
			noSpotRole:  true,
		},
		{
			name:        "own-1.30",
			description: "The stack's cluster gpu-slicing stands, on Kubernetes 1.30. For previews of its next version.",
			standing:    &standing{own: "1.30", mode: AuthAPI},
		},
	}, standingWorlds()...)
}

// Worlds lists the accounts to choose from, the default first.
func Worlds() []World {
	var out []World
	for _, w := range worlds() {
		out = append(out, World{Name: w.name, Description: w.description})
	}
	return out
}

func findWorld(name string) (world, error) {
	all := worlds()
	if name == "" {
		return all[0], nil
	}
	var names []string
	for _, w := range all {
		if w.name == name {
			return w, nil
		}
		names = append(names, w.name)
	}
	return world{}, fmt.Errorf("world %q is not known; choose one of %s", name, strings.Join(names, ", "))
}

// serviceRoles are the services whose linked roles the account is born with:
// those an account has once it has used EC2 Auto Scaling, EKS and spot.
func (w world) serviceRoles() []string {
	services := []string{"autoscaling.amazonaws.com"}
	if !w.noSpotRole {
		services = append(services, "spot.amazonaws.com")
	}
	return services
}

// offersType tells whether the region has the instance type.
func (w world) offersType(name string) bool {
	family, _, _ := strings.Cut(name, ".")
	return w.noFamily == "" || family != w.noFamily
}

// zones are the zones the account sees in the region.
func (w world) zones(region catalogue.Region) []catalogue.Zone {
	zones := slices.Clone(region.Zones)
	if !w.refusedZone {
		return zones
	}
	all := append(zones, region.LegacyZones...)
	if slices.ContainsFunc(all, func(z catalogue.Zone) bool { return z.RefusedByEKS }) {
		return all
	}
	// No zone of this region is known to be refused: the last one is short of
	// capacity today, which EKS answers likewise.
	zones[len(zones)-1].RefusedByEKS = true
	return zones
}
