// Package aws stands in for the Pulumi AWS provider: the engine plans and makes
// the program's resources in a simulated account ([account.Account]) instead of
// on AWS.
//
// It behaves as pulumi-aws does where that shows: which inputs are required,
// what a change replaces, what a preview knows, names made up where none is
// given, default tags, what a refresh sees, and the words of its errors. Those
// come from terraform-provider-aws 5.100, which pulumi-aws 6.83 is made of
// (internal/service/<service>/<resource>.go), and from pulumi-terraform-bridge.
//
// Gotchas:
//
//   - A resource type, function or input that is not implemented is an error
//     that names it. Nothing is accepted and then ignored; the exception are
//     provider settings about credentials and endpoints, which have no meaning
//     here.
//   - One provider value answers one connection, that is one provider instance
//     of the program; all of them work on the account given to [New].
//   - A provider for another region than the account's is refused: a simulated
//     account has one region.
//   - What is created is ready. Time passes only where the account has faults
//     (account.Faults): calls are tried again as the AWS SDK and
//     terraform-provider-aws try them again, at the same intervals. So they are
//     where AWS says no for good in words that it also says for a while, such as
//     a role that does not exist: such an error takes two minutes.
package aws
