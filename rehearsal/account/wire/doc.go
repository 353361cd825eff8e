// Package wire serves a simulated account over HTTP to whatever speaks AWS: the Karpenter
// controller, the AWS CLI, any SDK with AWS_ENDPOINT_URL set to the handler's address.
//
// One listener stands for all services; the service is read from the credential scope of the
// request's signature. Protocols: EC2 query (ec2), AWS query (iam, sts), REST JSON (eks, eks-auth),
// JSON 1.1 (ssm, pricing, events, kms, logs), JSON 1.0 (sqs).
//
// Every request is authenticated by Signature Version 4, checked with the AWS SDK's own signer, and
// authorised by package authz against the policies in the account. What is denied is answered as
// each service answers it and is recorded: see [Handler.Denied] and [Handler.Calls].
//
// Gotchas:
//   - It must listen on loopback only and speaks plain HTTP. Requests count as made over TLS
//     (aws:SecureTransport is true), because AWS's own endpoints are; a policy that denies plain
//     HTTP would otherwise deny everything.
//   - A parameter that an operation does not know is refused (UnknownParameter and the like), never
//     ignored. An operation that is not here is InvalidAction, and recorded like any other call.
//   - EC2 and the rest are of one region; IAM, STS and pricing answer whatever region the caller
//     signs for, as their endpoints are where AWS has them.
//   - CreateFleet answers type instant only, and picks by price (see account.CreateFleet).
//   - A request meets the account's faults (account.Faults) once it is known who makes it, and before
//     IAM is asked.
//   - The same ClientToken gives the same answer, so the SDK's retries do not launch twice.
//
// # Pod Identity
//
// [Handler.PodIdentityAgent] is the agent that runs on every node: it takes a pod's projected token
// (audience pods.eks.amazonaws.com), has EKS Auth check it against the keys of the cluster's API
// server, and answers with the credentials of the associated role. The pod finds it by
// AWS_CONTAINER_CREDENTIALS_FULL_URI and AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.
//
// # Who is who in Kubernetes
//
// [Handler.Authenticator] is the webhook that tells the API server which AWS principal is behind a
// token of `aws eks get-token`, and by the cluster's access entries which Kubernetes user that is.
// [Token] makes such a token.
package wire
