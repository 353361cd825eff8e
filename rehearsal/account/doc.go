// Package account is the state of one simulated AWS account in one region:
// plain Go structs, and methods named after the AWS API actions that read and
// change them. It is what the Pulumi stand-in works on in-process.
//
// What AWS refuses is refused, with AWS's code and words in an [*Error]:
// references that do not exist, names that are taken, policies that are
// malformed or too large, orders of deletion that leave something behind.
// Every answer's shape is that of the AWS API reference (IAM 2010-05-08, EC2
// 2016-11-15, EKS 2017-11-01, SQS 2012-11-05, EventBridge 2015-10-07,
// CloudWatch Logs 2014-03-28) unless a comment names another source.
//
// Gotchas:
//
//   - EKS 1.28 is offered by default, although AWS has created no 1.28 clusters
//     since November 2025: the rehearsal is of a system that was asked for in
//     1.28. The world "no-1.28" is AWS as it is today. See [Worlds].
//   - Nothing takes time: a cluster is ACTIVE when CreateCluster returns. Instances
//     alone may be told to, see [Delays], and add-ons are ready when their software
//     is: see [AddonSoftware].
//   - What a method returns is a copy; changing it changes nothing here.
//   - Methods do not ask whether the caller may call them; package authz does.
//   - Nothing fails by itself. What AWS may refuse or lose is broken on purpose: see
//     [Account.Faults].
//   - IDs are made from a counter, so the same calls in the same order give the
//     same IDs, and the network an account is born with is the same every time.
//   - Like the real one, EKS makes things that nobody asked for and some of them
//     stay: see CreateCluster, CreateNodegroup and CreateLogGroup.
package account
