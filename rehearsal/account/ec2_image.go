package account

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// imageOwner is the account that publishes the EKS optimized AMIs (DescribeImages shows it as
// their owner in the commercial regions).
const imageOwner = "602401143452"

// Image is an AMI that Amazon publishes for EKS nodes.
type Image struct {
	ID, Name string
	// Architecture is x86_64 or arm64.
	Architecture string
	// Version is the Kubernetes version it is for, Release the day of its release: v20260714.
	Version, Release string
	OwnerID          string
	Created          time.Time
	// RootDevice is the device name of the root volume, SnapshotID what it is made from and
	// VolumeSize the least size of it, in GiB.
	RootDevice, SnapshotID string
	VolumeSize             int
}

// imageKind is a family of EKS optimized AMIs: how its names are made and where its SSM
// parameters are.
type imageKind struct {
	// amiType is the managed node group's name for it.
	amiType string
	// name and path are formats of Kubernetes version and, for name, release.
	name, path string
	arch       string
	// lastVersion and lastRelease end the family; "" where it goes on.
	lastVersion, lastRelease string
	volumeSize               int
}

// imageKinds are the families Karpenter's aliases al2@… and al2023@… resolve to (its
// pkg/providers/amifamily) and managed node groups boot. Names and parameters are documented in
// the EKS User Guide, "Retrieve recommended Amazon Linux AMI IDs".
func imageKinds() []imageKind {
	const al2, al2023 = "/aws/service/eks/optimized-ami/%s/amazon-linux-2", "/aws/service/eks/optimized-ami/%s/amazon-linux-2023"
	return []imageKind{
		{"AL2_x86_64", "amazon-eks-node-%s-%s", al2, "x86_64", "1.32", "v20251120", 20},
		{"AL2_ARM_64", "amazon-eks-arm64-node-%s-%s", al2 + "-arm64", "arm64", "1.32", "v20251120", 20},
		{"AL2_x86_64_GPU", "amazon-eks-gpu-node-%s-%s", al2 + "-gpu", "x86_64", "1.32", "v20251120", 20},
		{"AL2023_x86_64_STANDARD", "amazon-eks-node-al2023-x86_64-standard-%s-%s", al2023 + "/x86_64/standard", "x86_64", "", "", 20},
		{"AL2023_ARM_64_STANDARD", "amazon-eks-node-al2023-arm64-standard-%s-%s", al2023 + "/arm64/standard", "arm64", "", "", 20},
		{"AL2023_x86_64_NVIDIA", "amazon-eks-node-al2023-x86_64-nvidia-%s-%s", al2023 + "/x86_64/nvidia", "x86_64", "", "", 20},
		{"AL2023_ARM_64_NVIDIA", "amazon-eks-node-al2023-arm64-nvidia-%s-%s", al2023 + "/arm64/nvidia", "arm64", "", "", 20},
		{"AL2023_x86_64_NEURON", "amazon-eks-node-al2023-x86_64-neuron-%s-%s", al2023 + "/x86_64/neuron", "x86_64", "", "", 20},
	}
}

// imageReleases are the AMI releases from October 2025 to July 2026, newest last: the tags of
// awslabs/amazon-eks-ami. A pin of another day is a parameter that does not exist.
func imageReleases() []string {
	return []string{
		"v20251002", "v20251007", "v20251016", "v20251023", "v20251029", "v20251103", "v20251108", "v20251112", "v20251120",
		"v20251209", "v20251217", "v20260107", "v20260114", "v20260116", "v20260120", "v20260128", "v20260129", "v20260209",
		"v20260224", "v20260304", "v20260310", "v20260311", "v20260318", "v20260403", "v20260409", "v20260415", "v20260423",
		"v20260505", "v20260512", "v20260520", "v20260523", "v20260527", "v20260529", "v20260610", "v20260618", "v20260625",
		"v20260707", "v20260709", "v20260714",
	}
}

// releases are those of a kind for a Kubernetes version: from the version's release to the end of
// its extended support, newest last.
func (k imageKind) releases(v ClusterVersion) []string {
	if k.lastVersion != "" && minor(v.Version) > minor(k.lastVersion) {
		return nil
	}
	return slices.DeleteFunc(imageReleases(), func(r string) bool {
		day := strings.TrimPrefix(r, "v")
		return day < v.Released.Format("20060102") || day > v.ExtendedUntil.Format("20060102") || k.lastRelease != "" && r > k.lastRelease
	})
}

func (k imageKind) image(version, release string) Image {
	name := fmt.Sprintf(k.name, version, release)
	created, err := time.Parse("v20060102", release)
	if err != nil {
		created = time.Time{} // imageReleases holds nothing else
	}
	return Image{
		ID: hashID("ami", name), Name: name, Architecture: k.arch, Version: version, Release: release,
		OwnerID: imageOwner, Created: created, RootDevice: "/dev/xvda", SnapshotID: hashID("snap", name), VolumeSize: k.volumeSize,
	}
}

// hashID is an ID that always is the same for the same name.
func hashID(prefix, name string) string {
	sum := sha256.Sum256([]byte(name))
	return prefix + "-0" + hex.EncodeToString(sum[:])[:16]
}

// publishedImages are all there are, by name.
func (a *Account) publishedImages() ([]Image, error) {
	versions, err := a.DescribeClusterVersions(true)
	if err != nil {
		return nil, err
	}
	var out []Image
	for _, k := range imageKinds() {
		for _, v := range versions {
			for _, r := range k.releases(v) {
				out = append(out, k.image(v.Version, r))
			}
		}
	}
	slices.SortFunc(out, func(x, y Image) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

// DescribeImages lists images by name; owners "" or several: IDs, amazon or self. Filters:
// image-id, name, architecture, state, owner-id, owner-alias, is-public, tag:KEY, tag-key.
func (a *Account) DescribeImages(ids, owners []string, filters ...Filter) ([]Image, error) {
	all := a.compute.images
	var out []Image
	for _, i := range all {
		if len(ids) > 0 && !slices.Contains(ids, i.ID) || len(owners) > 0 && !slices.Contains(owners, i.OwnerID) && !slices.Contains(owners, "amazon") {
			continue
		}
		ok, err := fields{
			"image-id": {i.ID}, "name": {i.Name}, "architecture": {i.Architecture}, "state": {"available"},
			"owner-id": {i.OwnerID}, "owner-alias": {"amazon"}, "is-public": {"true"}, "image-type": {"machine"},
			"root-device-type": {"ebs"}, "virtualization-type": {"hvm"},
		}.match(filters, nil)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, i)
		}
	}
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(i Image) bool { return i.ID == id }) {
			return nil, refuse("InvalidAMIID.NotFound", "The image id '[%s]' does not exist", id)
		}
	}
	return out, nil
}

// image finds an image by ID.
func (a *Account) image(id string) (Image, error) {
	images, err := a.DescribeImages([]string{id}, nil)
	if err != nil {
		return Image{}, err
	}
	return images[0], nil
}

// nodegroupImage is the image a managed node group boots.
func (a *Account) nodegroupImage(n *Nodegroup) (Image, error) {
	for _, k := range imageKinds() {
		if k.amiType == n.AMIType {
			_, day, _ := strings.Cut(n.ReleaseVersion, "-")
			return k.image(n.Version, "v"+day), nil
		}
	}
	return Image{}, refuse("InvalidParameterException", "The rehearsal has no image of AMI type %s; it has %s", n.AMIType, strings.Join(imageTypes(), ", "))
}

func imageTypes() []string {
	var out []string
	for _, k := range imageKinds() {
		out = append(out, k.amiType)
	}
	return out
}

// Parameter is an SSM parameter.
type Parameter struct {
	Name, ARN, Value string
	Modified         time.Time
}

// GetParameter finds one of Amazon's public parameters: the ID of an EKS optimized AMI, by its
// name or as the recommended one ("Retrieve recommended Amazon Linux AMI IDs").
func (a *Account) GetParameter(name string) (Parameter, error) {
	missing := refuse("ParameterNotFound", "")
	m := regexp.MustCompile(`^/aws/service/eks/optimized-ami/([0-9.]+)/.+/([^/]+)/image_id$`).FindStringSubmatch(name)
	if m == nil {
		return Parameter{}, missing
	}
	version, known := a.known(m[1])
	if !known {
		return Parameter{}, missing
	}
	for _, k := range imageKinds() {
		releases := k.releases(version)
		if fmt.Sprintf(k.path, version.Version)+"/"+m[2]+"/image_id" != name || len(releases) == 0 {
			continue
		}
		for i, r := range releases {
			image := k.image(version.Version, r)
			if m[2] == image.Name || m[2] == "recommended" && i == len(releases)-1 {
				return Parameter{
					Name: name, ARN: parameterARN(a.region, name), Value: image.ID, Modified: image.Created,
				}, nil
			}
		}
	}
	return Parameter{}, missing
}

// parameterARN is the ARN of a parameter; Amazon's own bear no account.
func parameterARN(region, name string) string {
	account := ID
	if strings.HasPrefix(name, "/aws/") {
		account = ""
	}
	return fmt.Sprintf("arn:aws:ssm:%s:%s:parameter/%s", region, account, strings.TrimPrefix(name, "/"))
}

// ParameterARN is the ARN that IAM checks ssm:GetParameter on.
func (a *Account) ParameterARN(name string) string { return parameterARN(a.region, name) }
