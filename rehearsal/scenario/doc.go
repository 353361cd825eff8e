// Package scenario holds the stories that the product promises, each run as a
// user runs it: through the rehearse command, on the real Pulumi engine.
package scenario
