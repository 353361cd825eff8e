package account

import (
	"slices"
	"strings"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// customAMI is the AMI type of a node group whose launch template names the
// image.
const customAMI = "CUSTOM"

// AMIType is a kind of image that managed node groups boot.
type AMIType struct {
	Name string
	// Arch is x86_64 or arm64; "" for CUSTOM.
	Arch string
	// NVIDIA types boot on instances with NVIDIA GPUs only.
	NVIDIA bool
	// LastVersion is the last Kubernetes version it exists for; "" where there
	// is no last.
	LastVersion string
}

// AMITypes are the types of EKS SDK v1.88's AMITypes that EKS makes node groups
// of; Amazon Linux 2 ends with Kubernetes 1.32.
func AMITypes() []AMIType {
	return []AMIType{
		{"AL2_x86_64", "x86_64", false, "1.32"},
		{"AL2_x86_64_GPU", "x86_64", true, "1.32"},
		{"AL2_ARM_64", "arm64", false, "1.32"},
		{customAMI, "", false, ""},
		{"BOTTLEROCKET_ARM_64", "arm64", false, ""},
		{"BOTTLEROCKET_x86_64", "x86_64", false, ""},
		{"BOTTLEROCKET_ARM_64_FIPS", "arm64", false, ""},
		{"BOTTLEROCKET_x86_64_FIPS", "x86_64", false, ""},
		{"BOTTLEROCKET_ARM_64_NVIDIA", "arm64", true, ""},
		{"BOTTLEROCKET_x86_64_NVIDIA", "x86_64", true, ""},
		{"WINDOWS_CORE_2019_x86_64", "x86_64", false, ""},
		{"WINDOWS_FULL_2019_x86_64", "x86_64", false, ""},
		{"WINDOWS_CORE_2022_x86_64", "x86_64", false, ""},
		{"WINDOWS_FULL_2022_x86_64", "x86_64", false, ""},
		{"AL2023_x86_64_STANDARD", "x86_64", false, ""},
		{"AL2023_ARM_64_STANDARD", "arm64", false, ""},
		{"AL2023_x86_64_NEURON", "x86_64", false, ""},
		{"AL2023_x86_64_NVIDIA", "x86_64", true, ""},
		{"AL2023_ARM_64_NVIDIA", "arm64", true, ""},
	}
}

// AMITypeNames are the names of [AMITypes].
func AMITypeNames() []string {
	var out []string
	for _, t := range AMITypes() {
		out = append(out, t.Name)
	}
	return out
}

// defaultAMIType is what EKS boots when nobody says: Amazon Linux 2023 since
// Kubernetes 1.30.
func defaultAMIType(version string) string {
	if minor(version) >= 30 {
		return "AL2023_x86_64_STANDARD"
	}
	return "AL2_x86_64"
}

// releaseVersion is the AMI release of a node group: the Kubernetes patch
// version and the day of the release. The days are those of one release of each
// family; nothing looks them up.
func releaseVersion(amiType string, v ClusterVersion) string {
	if strings.HasPrefix(amiType, "AL2_") {
		return v.Patch + "-20251120"
	}
	return v.Patch + "-20260714"
}

// checkAMIType refuses an AMI type that the version does not have.
func checkAMIType(name, version string) (AMIType, error) {
	all := AMITypes()
	i := slices.IndexFunc(all, func(t AMIType) bool { return t.Name == name })
	if i < 0 {
		return AMIType{}, refuse("InvalidParameterException", "AMI Type %s is not one of %s", name, strings.Join(AMITypeNames(), ", "))
	}
	if last := all[i].LastVersion; last != "" && minor(version) > minor(last) {
		return AMIType{}, refuse("InvalidParameterException", "AMI Type %s is only supported for kubernetes versions %s or earlier", name, last)
	}
	return all[i], nil
}

// fits tells whether the AMI boots on the instance type.
func (t AMIType) fits(it catalogue.Type) bool {
	if t.Name == customAMI {
		return true
	}
	return slices.Contains(it.Architectures, t.Arch) &&
		(!t.NVIDIA || slices.ContainsFunc(it.GPUs, func(g catalogue.GPU) bool { return g.Manufacturer == "NVIDIA" }))
}
