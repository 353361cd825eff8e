package engine_test

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// process is one of the machine's.
type process struct {
	pid  int
	name string
}

func (p process) alive() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// descendants are the processes that a process has started, directly or not,
// and that have the work area in their environment.
func descendants(t *testing.T, of int, area string) []process {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int][]int{}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended since
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		children[parent] = append(children[parent], pid)
	}
	var found []process
	for todo := []int{of}; len(todo) > 0; todo = todo[1:] {
		todo = append(todo, children[todo[0]]...)
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", todo[0]))
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", todo[0]))
		if todo[0] != of && strings.Contains(string(env), area) {
			found = append(found, process{todo[0], filepath.Base(exe)})
		}
	}
	return found
}

// socket is one that listens.
type socket struct {
	process  process
	address  string
	loopback bool
}

// listeners are the listening TCP sockets of the processes (proc(5), net/tcp).
func listeners(t *testing.T, of []process) []socket {
	t.Helper()
	inodes := map[string]process{}
	for _, p := range of {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.pid))
		for _, f := range files {
			if link, err := os.Readlink(f); err == nil && strings.HasPrefix(link, "socket:[") {
				inodes[strings.Trim(link, "socket:[]")] = p
			}
		}
	}
	var found []socket
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // a machine without that protocol
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			const listen = "0A"
			if len(fields) < 10 || fields[3] != listen {
				continue
			}
			if p, ours := inodes[fields[9]]; ours {
				address := decode(t, fields[1])
				found = append(found, socket{p, address.String(), address.Addr().Unmap().IsLoopback()})
			}
		}
	}
	if len(found) < len(of) {
		t.Errorf("only %d listening sockets of %d processes: %v", len(found), len(of), found)
	}
	return found
}

// decode reads an address as the kernel prints it: words of the machine's byte
// order, which is little-endian wherever these tests run.
func decode(t *testing.T, text string) netip.AddrPort {
	t.Helper()
	host, port, _ := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	if err != nil {
		t.Fatal(err)
	}
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	addr, ok := netip.AddrFromSlice(raw)
	number, err := strconv.ParseUint(port, 16, 16)
	if err != nil || !ok {
		t.Fatalf("address %q: %v", text, err)
	}
	return netip.AddrPortFrom(addr, uint16(number))
}
