// Package rendered holds the program's rendered objects and policies
// (../testdata/rendered) against the types of those who read them: Karpenter's
// own API, Kubernetes', and the parser of NVIDIA's device plugin. It lives in
// the rehearsal's module so that the program need not compile them.
package rendered
