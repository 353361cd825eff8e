package child

import "syscall"

// groupAttr puts a child in its own process group, and has the kernel kill it
// when this process dies, even by SIGKILL.
func groupAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
