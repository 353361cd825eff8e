// Package authz decides, as AWS IAM does, whether a call is allowed: it parses policy documents
// strictly, evaluates them against a request, and knows which resources and condition keys the
// calls of this stack and of Karpenter are authorised on.
//
// The rules are those of the IAM User Guide: "Policy evaluation logic", "Grammar of the IAM JSON
// policy language", "Condition operators", "Multivalued context keys", "Variables and tags". The
// tests quote the guide's own cases. Action tables follow the Service Authorization Reference.
//
// Gotchas:
//   - Evaluate looks at ONE resource. A call that touches several (RunInstances: image, subnet,
//     instance, …) is one [Check] each, and every check must be allowed: see [Call.Checks].
//   - A context key that is missing makes a positive operator false and a negated one true;
//     ForAllValues is then true. That is AWS's rule, and why ForAllValues under Allow needs care.
//   - A key with several values matches a plain operator never: it needs ForAllValues or ForAnyValue.
//   - An empty string in the context is AWS's "null": Null takes it for absent.
//   - Policy variables exist in version 2012-10-17 only; in an older document they are plain text.
//   - Policy sizes are the account's business, not this package's.
//   - Permissions boundaries, session policies and organisation policies are not modelled: nothing
//     in this project makes one. Federated and canonical-user principals parse and match nobody.
//
// No Go library serves: the one complete evaluator (nsiow/yams) is not to be had from the module
// registry and links the AWS SDK; the others cover types or a few operators.
package authz
