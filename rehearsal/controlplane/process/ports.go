package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// The ports that FreePorts looks among: below those that Linux gives to outgoing
// connections (net.ipv4.ip_local_port_range begins at 32768), of which a busy machine
// opens hundreds between a port's choice and its use.
const firstPort, endPort = 10000, 32768

// FreePorts finds n ports for a process to listen on, 10000 to 32767, at the address host;
// "" is all addresses. Nobody listens on them now. Another program can still be quicker:
// whoever starts the process has to expect "address already in use". The error is that
// there are no n of them, or that of another failure to listen.
func FreePorts(host string, n int) ([]int, error) {
	var found []int
	for _, offset := range rand.Perm(endPort - firstPort) {
		if len(found) == n {
			break
		}
		port := firstPort + offset
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := l.Close(); err != nil {
			return nil, err
		}
		found = append(found, port)
	}
	if len(found) < n {
		return nil, fmt.Errorf("fewer than %d of the ports %d to %d are free", n, firstPort, endPort-1)
	}
	return found, nil
}
