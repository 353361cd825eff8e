// Package kubernetes stands in for the Pulumi Kubernetes provider, in [Version],
// behaving as it does wherever a program or its user could notice: names,
// namespaces, what a change replaces, what a preview shows, what is waited for
// and what an unreachable cluster means.
//
// The package itself knows no Kubernetes client. It works out inputs, diffs and
// state, and does the rest through a [Cluster], which the package live makes
// with client-go and the Helm library. Without one a provider can preview, as
// the real one can while its cluster does not exist yet.
//
// Where a rule was looked up, a comment names the file of pulumi-kubernetes it is
// from.
//
// Gotchas:
//
//   - While a provider's configuration holds an unknown (the kubeconfig of a
//     cluster that is yet to be created) the engine calls neither Check nor
//     Create: the preview shows the program's inputs as they are. Nothing in
//     this package runs then.
//   - The state of an object is the live object plus __inputs, __fieldManager
//     and __initialApiVersion. Diff compares the new inputs with the live object
//     reduced to what the old inputs named, so a field that only the API server
//     sets is never a difference.
//   - An Update that the API server refuses is an initialization error, as in
//     the real provider: the resource keeps the new inputs in the state and the
//     next update tries again.
//   - Creating an object that exists already is an error, of an up only: its
//     preview shows a create. Before 4.29 the object was taken over, and later
//     deleted with the stack. The setting upsertExistingObjects, which brings that
//     back, is refused here.
//   - Server-side apply is always on, for updates.
//   - Environment variables (PULUMI_K8S_…, KUBECONFIG) are not read, and neither
//     is a kubeconfig file: a rehearsal must not find its way to a real cluster.
package kubernetes
