package engine

import (
	"os"
	"path/filepath"
)

// inherited are the only variables of the user's that reach a child: where
// programs are, and how to write to the terminal.
var inherited = [...]string{"PATH", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "COLORTERM", "NO_COLOR"}

// area is a folder of its own in which one engine works, gone with it.
type area string

func (a area) dir(name string) string { return filepath.Join(string(a), name) }

// environment is the whole environment of a child: what it may inherit, a
// home and a temporary folder inside the area, and then set.
func (a area) environment(set ...string) []string {
	var env []string
	for _, name := range inherited {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	env = append(env, "HOME="+a.dir("home"), "TMPDIR="+a.dir("tmp"))
	return append(env, set...)
}
