package daemon

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
)

const (
	loopbackHost = "127.0.0.1"
	anyHost      = "0.0.0.0"
)

// splitAddress reads "host:port", ":port", "port" and "host".
func splitAddress(text string) (host string, port int, err error) {
	if n, err := strconv.Atoi(text); err == nil {
		if n < randomPort || n > 65535 {
			return "", 0, fmt.Errorf("%d is no port", n)
		}
		return "", n, nil
	}
	if !strings.Contains(text, ":") {
		return text, 0, nil
	}
	if addr, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		return addr.String(), 0, nil // an IPv6 address alone
	}
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not host:port (an IPv6 address wants brackets: \"[::1]:4222\")", cut(text))
	}
	port, err = strconv.Atoi(digits)
	if err != nil || port < randomPort || port > 65535 {
		return "", 0, fmt.Errorf("%q: %q is no port", cut(text), cut(digits))
	}
	return host, port, nil
}

// listenHost decides where to listen, and what the operator is to be told about it. Nobody who
// just starts the program should find his bus open to the whole network.
func (o *Options) listenHost() (host, info, warning string) {
	switch {
	case o.Host != "" && o.open() && !isLoopback(o.Host):
		return o.Host, "", fmt.Sprintf("anybody who reaches %s may read and write everything: add an authorization block, or -user and -pass", o.Host)
	case o.Host != "":
		return o.Host, "", ""
	case !o.open():
		return anyHost, "", ""
	case o.NATSServerDefaults:
		return anyHost, "", "listening on all addresses without authorization, as nats-server does: anybody who reaches this machine may read and write everything; add an authorization block, or -a 127.0.0.1"
	}
	return loopbackHost, "Only this machine can connect, because no authorization is configured: add an authorization block (or -user and -pass), or open it to everybody with -a 0.0.0.0", ""
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// listenRemedy says what to do about an address that could not be listened on.
func listenRemedy(err error) string {
	var lookup *net.DNSError
	switch {
	case errors.Is(err, errTooWide):
		return "say in the configuration who may connect, or name a host; or have the socket made for 127.0.0.1"
	case errors.As(err, &lookup):
		return "-a and host take an address of this machine, without a port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine does not have that address: choose one that it has with -a, 0.0.0.0 for all"
	case errors.Is(err, os.ErrPermission):
		return "ports below 1024 may need privileges: choose another with -p"
	}
	return "is another server running there? choose a port with -p, an address with -a"
}

// listenAddress is what net.Listen is given.
func listenAddress(host string, port int) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(max(port, 0)))
}
