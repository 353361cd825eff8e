//go:build !linux

package child

import "syscall"

// groupAttr puts a child in its own process group. Other systems than Linux
// cannot tie a child's life to its parent's: there, a rehearsal that is itself
// killed with SIGKILL may leave the CLI to finish alone.
func groupAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
