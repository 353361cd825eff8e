//go:build sources

// The price source is read as a file out of its module, never linked: it would
// embed 130 MB. This import, which no build includes, keeps it in go.mod.
package main

import _ "github.com/LeanerCloud/ec2-instances-info"
