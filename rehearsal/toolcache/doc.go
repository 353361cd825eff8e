// Package toolcache builds the programs that a command of the rehearsal needs,
// the first time it needs them, and keeps them in the user's cache folder under
// a hash of what they are built from. A second checkout, or the same one after
// a change that was taken back, builds nothing.
//
// A Go program is a [Tool]; adding one is adding a value. It is found again by
// two keys. The cheap one covers the Go version, the flags, the module's go.mod
// and go.sum and, for code of the module itself, the source files that the
// program imports, with what they embed. Where it is new, the exact one is
// worked out with `go list`: it covers only those modules that the program
// links, so a requirement of another tool's rebuilds nothing.
//
// Gotchas:
//
//   - Builds do not use -trimpath: it would compile every package a second time
//     for developers, whose Go build cache is filled by `go test`. A stack trace
//     of a tool may therefore name the checkout that built it first.
//   - An entry appears by one rename under a lock held between processes, so a
//     reader needs no lock, and the cache may be read-only once it is filled.
package toolcache
