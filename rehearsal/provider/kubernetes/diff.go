package kubernetes

import (
	"context"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"eks-gpu-slicing/rehearsal/provider"
)

// replacing lists by API group and kind the paths whose change Kubernetes
// refuses, and which therefore replace the object (diff.go, forceNew).
// ConfigMaps and Secrets depend on settings, see replacePaths.
var replacing = map[string]map[string][]string{
	"": {
		"PersistentVolume": {
			"spec.awsElasticBlockStore", "spec.azureDisk", "spec.azureFile", "spec.cephfs", "spec.cinder", "spec.csi",
			"spec.fc", "spec.flexVolume", "spec.flocker", "spec.gcePersistentDisk", "spec.glusterfs", "spec.hostPath",
			"spec.iscsi", "spec.local", "spec.nfs", "spec.photonPersistentDisk", "spec.portworxVolume", "spec.quobyte",
			"spec.rbd", "spec.scaleIO", "spec.storageos", "spec.vsphereVolume",
		},
		"PersistentVolumeClaim": {"spec.accessModes", "spec.selector", "spec.storageClassName", "spec.volumeName"},
		"Pod":                   podPaths(),
		"ResourceQuota":         {"spec.scopes"},
		"Secret":                {"type"},
		"Service":               {"spec.clusterIP"},
	},
	"apps": {
		"DaemonSet":  {"spec.selector"},
		"Deployment": {"spec.selector"},
		"StatefulSet": {
			"spec.podManagementPolicy", "spec.revisionHistoryLimit", "spec.selector", "spec.serviceName",
			"spec.volumeClaimTemplates",
		},
	},
	"batch": {
		"Job": {"spec.completions", "spec.parallelism", "spec.selector", "spec.template"},
	},
	"rbac.authorization.k8s.io": {
		"ClusterRoleBinding": {"roleRef"},
		"RoleBinding":        {"roleRef"},
	},
	"storage.k8s.io": {
		"StorageClass": {"parameters", "provisioner"},
	},
}

func podPaths() []string {
	paths := []string{
		"spec.affinity", "spec.automountServiceAccountToken", "spec.dnsConfig", "spec.dnsPolicy",
		"spec.enableServiceLinks", "spec.hostAliases", "spec.hostIPC", "spec.hostNetwork", "spec.hostPID",
		"spec.hostname", "spec.imagePullSecrets", "spec.nodeName", "spec.nodeSelector", "spec.overhead",
		"spec.preemptionPolicy", "spec.priority", "spec.priorityClassName", "spec.readinessGates",
		"spec.restartPolicy", "spec.runtimeClassName", "spec.schedulerName", "spec.securityContext",
		"spec.serviceAccount", "spec.serviceAccountName", "spec.shareProcessNamespace", "spec.subdomain",
		"spec.terminationGracePeriodSeconds", "spec.volumes",
	}
	for _, containers := range []string{"spec.containers[*].", "spec.initContainers[*]."} {
		for _, field := range []string{
			"args", "command", "env", "image", "imagePullPolicy", "lifecycle", "livenessProbe", "ports",
			"readinessProbe", "resources", "securityContext", "stdin", "stdinOnce", "terminationMessagePath",
			"terminationMessagePolicy", "tty", "volumeDevices", "volumeMounts", "workingDir",
		} {
			paths = append(paths, containers+field)
		}
	}
	return paths
}

// replacePaths are the paths whose change replaces this object.
func (s settings) replacePaths(o Object) []string {
	kind := KindOf(o)
	immutable, _ := o["immutable"].(bool)
	paths := []string{"metadata.name", "metadata.namespace"}
	switch {
	case kind.Group == "" && kind.Kind == "Secret" && (!s.secretMutable || immutable):
		return append(paths, "type", "stringData", "data")
	case kind.Group == "" && kind.Kind == "ConfigMap" && (!s.configMapMutable || immutable):
		return append(paths, "binaryData", "data")
	}
	return append(paths, replacing[kind.Group][kind.Kind]...)
}

// Diff compares the new inputs with the live object reduced to what the old
// inputs named (provider.go, Diff).
func (p *Provider) Diff(ctx context.Context, r plugin.DiffRequest) (plugin.DiffResult, error) {
	ctx, cancel := p.Context(ctx)
	defer cancel()
	if isRelease(r.URN) {
		return diffRelease(r)
	}
	s := p.current()
	oldInputs, live := parseCheckpoint(r.OldOutputs)
	oldInputs = s.normalize(oldInputs, false)
	news := s.normalize(toObject(r.NewInputs), r.NewInputs.ContainsUnknowns())
	old := Prune(live, oldInputs)

	scope, err := s.scope(ctx, KindOf(news))
	if err != nil {
		return plugin.DiffResult{}, err
	}
	for _, o := range []Object{old, news} {
		switch {
		case scope == ScopeCluster:
			setMeta(o, "namespace", "")
		case metadata(o)["namespace"] == nil:
			setMeta(o, "namespace", "default")
		}
	}
	for _, key := range []string{"apiVersion", "kind"} {
		if old[key] == nil {
			old[key] = news[key]
		}
	}
	setMeta(old, "resourceVersion", "")
	// A program may pin the name that it was given before.
	if nameOf(news) != "" {
		setMeta(old, "name", nameOf(live))
	}

	res := provider.Diff(fromObject(old), fromObject(news), provider.Rules{
		Replace: s.settings.replacePaths(news), Ignore: r.IgnoreChanges,
	})
	// With a name of the program's choice the old object is in the new one's
	// way.
	res.DeleteBeforeReplace = res.Replace() && named(news) && annotation(news, annotationAutonamed) != "true" &&
		nameOf(news) == nameOf(live) && namespaceOf(news) == namespaceOf(live)
	return res, nil
}
