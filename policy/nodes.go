package main

import (
	"fmt"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
)

// Types of what becomes an instance with volumes and a metadata service.
const (
	launchTemplateType      = tokens.Type("aws:ec2/launchTemplate:LaunchTemplate")
	launchConfigurationType = tokens.Type("aws:ec2/launchConfiguration:LaunchConfiguration")
	instanceType            = tokens.Type("aws:ec2/instance:Instance")
	volumeType              = tokens.Type("aws:ebs/volume:Volume")
	nodeGroupType           = tokens.Type("aws:eks/nodeGroup:NodeGroup")
	nodeClassType           = tokens.Type("kubernetes:karpenter.k8s.aws/v1:EC2NodeClass")
)

func encryptedVolumes() rule {
	return rule{
		name:  "encrypted-volumes",
		title: "Every volume is encrypted, whatever the account's default says.",
		mend:  "Set encrypted on each volume; a node group needs a launch template of its own for it.",
		resource: byType(map[tokens.Type]func(resource.PropertyValue, *report){
			launchTemplateType:      func(in resource.PropertyValue, r *report) { mappings(in, "", r) },
			launchConfigurationType: blockDevices,
			instanceType:            blockDevices,
			volumeType:              func(in resource.PropertyValue, r *report) { wantEncrypted(in, "", r) },
			nodeGroupType: func(in resource.PropertyValue, r *report) {
				wantLaunchTemplate(in, "EKS gives the nodes a root volume that is encrypted only if the account's default says so", r)
			},
			nodeClassType: func(in resource.PropertyValue, r *report) {
				spec := at(in, "spec")
				// Karpenter encrypts the volumes that it chooses itself, which it does
				// for every family but Custom (karpenter-provider-aws,
				// pkg/providers/amifamily/resolver.go, DefaultEBS).
				if at(spec, "blockDeviceMappings").IsNull() && text(at(spec, "amiFamily")) != "Custom" {
					return
				}
				mappings(spec, "spec.", r)
			},
		}),
	}
}

func wantEncrypted(v resource.PropertyValue, path string, r *report) {
	r.want(at(v, "encrypted"), path+"encrypted", isTrue, "true")
}

func wantLaunchTemplate(group resource.PropertyValue, why string, r *report) {
	if at(group, "launchTemplate").IsNull() {
		r.violated("launchTemplate is not set: %s", why)
	}
}

// mappings judges the block devices of a launch template or an EC2NodeClass. A
// mapping of an instance's own disk, or of none, is no volume.
func mappings(v resource.PropertyValue, path string, r *report) {
	const key = "blockDeviceMappings"
	all := at(v, key)
	if unknown(all) {
		r.later(path + key)
		return
	}
	volumes := 0
	for i, m := range items(all) {
		if known := !unknown(m); known && (!at(m, "noDevice").IsNull() || !at(m, "virtualName").IsNull()) {
			continue
		}
		volumes++
		wantEncrypted(at(m, "ebs"), fmt.Sprintf("%s%s[%d].ebs.", path, key, i), r)
	}
	if volumes == 0 {
		r.violated("%s%s names no volume: the image's own root volume is encrypted only if the account's default says so", path, key)
	}
}

// blockDevices judges an instance or a launch configuration.
func blockDevices(v resource.PropertyValue, r *report) {
	root := at(v, "rootBlockDevice")
	// Without one it is the launch template's, which is judged by itself.
	if !root.IsNull() || at(v, "launchTemplate").IsNull() {
		wantEncrypted(root, "rootBlockDevice.", r)
	}
	if unknown(at(v, "ebsBlockDevices")) {
		r.later("ebsBlockDevices")
	}
	for i, device := range items(at(v, "ebsBlockDevices")) {
		wantEncrypted(device, fmt.Sprintf("ebsBlockDevices[%d].", i), r)
	}
}

func imdsv2() rule {
	return rule{
		name:  "imdsv2",
		title: "The instance metadata service takes tokens only, and answers one hop away: pods reach no node credentials.",
		mend:  "Set metadataOptions.httpTokens to \"required\" and metadataOptions.httpPutResponseHopLimit to 1, or httpEndpoint to \"disabled\".",
		resource: byType(map[tokens.Type]func(resource.PropertyValue, *report){
			launchTemplateType:      metadataOptions,
			launchConfigurationType: metadataOptions,
			instanceType: func(in resource.PropertyValue, r *report) {
				if at(in, "metadataOptions").IsNull() && !at(in, "launchTemplate").IsNull() {
					return // the launch template's, which is judged by itself
				}
				metadataOptions(in, r)
			},
			nodeGroupType: func(in resource.PropertyValue, r *report) {
				wantLaunchTemplate(in, "EKS gives the nodes a metadata service that answers two hops away, where pods are", r)
			},
			nodeClassType: func(in resource.PropertyValue, r *report) {
				// The CRD's own defaults are "required" and 1.
				metadataService(at(in, "spec"), "spec.", orNothing(isText("required")), orNothing(isNumber(1)), r)
			},
		}),
	}
}

// metadataOptions judges what has no defaults but the account's and the image's,
// which allow two hops.
func metadataOptions(v resource.PropertyValue, r *report) {
	metadataService(v, "", isText("required"), isNumber(1), r)
}

func metadataService(v resource.PropertyValue, path string, tokens, hops func(resource.PropertyValue) bool, r *report) {
	options := at(v, "metadataOptions")
	path += "metadataOptions."
	switch endpoint := at(options, "httpEndpoint"); {
	case unknown(endpoint):
		r.later(path + "httpEndpoint")
		return
	case text(endpoint) == "disabled":
		return
	}
	r.want(at(options, "httpTokens"), path+"httpTokens", tokens, `"required"`)
	r.want(at(options, "httpPutResponseHopLimit"), path+"httpPutResponseHopLimit", hops, "1")
}
