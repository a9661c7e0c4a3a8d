package client

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
)

// A server is one address the connection may use.
type server struct {
	address        string // host:port
	user, password string
	token          string
	tlsName        string // what its certificate must name
	tls            bool   // asked for by tls://
	discovered     bool   // announced by a server, not given by the caller
}

// servers is the list of addresses in the order they are tried. It belongs to whoever makes
// the connection: Connect first, the connection's reader from then on.
type servers struct {
	list    []*server
	current *server // the one in use, or used last
}

func parseServers(text string, random bool) (*servers, error) {
	pool := new(servers)
	for word := range strings.SplitSeq(text, ",") {
		word = strings.TrimSpace(word)
		if word == "" {
			continue
		}
		s, err := parseServer(word)
		if err != nil {
			return nil, err
		}
		pool.list = append(pool.list, s)
	}
	if len(pool.list) == 0 {
		return nil, ErrNoServers
	}
	if random {
		rand.Shuffle(len(pool.list), func(i, j int) { pool.list[i], pool.list[j] = pool.list[j], pool.list[i] })
	}
	return pool, nil
}

// parseServer takes nats://user:password@host:port and everything shorter, down to a host.
func parseServer(text string) (*server, error) {
	full := text
	if !strings.Contains(full, "://") {
		full = "nats://" + full
	}
	u, err := url.Parse(full)
	if err != nil {
		// The error of url.Parse repeats the address, password and all.
		return nil, fmt.Errorf("%w: write nats://host:port", ErrAddress)
	}
	switch u.Scheme {
	case "nats", "tcp", "tls":
	case "ws", "wss":
		return nil, fmt.Errorf("%w: %s:// is not supported yet, use nats://", ErrAddress, u.Scheme)
	default:
		return nil, fmt.Errorf("%w: unknown scheme %q, use nats://", ErrAddress, cut(u.Scheme))
	}
	host, port := u.Hostname(), u.Port()
	if host == "" {
		return nil, fmt.Errorf("%w: no host in it, write nats://host:port", ErrAddress)
	}
	if port == "" {
		port = DefaultPort
	}
	s := &server{address: net.JoinHostPort(host, port), tlsName: host, tls: u.Scheme == "tls"}
	if u.User != nil {
		password, has := u.User.Password()
		if has {
			s.user, s.password = u.User.Username(), password
		} else {
			s.token = u.User.Username()
		}
	}
	return s, nil
}

// used notes that s is the one in use now; it is tried last when the line breaks.
func (p *servers) used(s *server) {
	p.current = s
	for i, other := range p.list {
		if other == s {
			p.list = append(append(p.list[:i:i], p.list[i+1:]...), s)
			return
		}
	}
}

// others reports whether there is a server besides the one in use.
func (p *servers) others() bool {
	for _, s := range p.list {
		if s != p.current {
			return true
		}
	}
	return false
}

// announced takes over the addresses a server knows of: new ones are added at a random place before the one in use,
// discovered ones that are gone are forgotten. It returns the new ones.
func (p *servers) announced(addresses []string) (added []string) {
	if len(addresses) == 0 {
		return nil
	}
	named := make(map[string]bool, len(addresses))
	for _, a := range addresses {
		if s, err := parseServer(a); err == nil {
			named[s.address] = true
		}
	}
	kept := p.list[:0:0]
	for _, s := range p.list {
		if s.discovered && s != p.current && !named[s.address] {
			continue
		}
		kept = append(kept, s)
		delete(named, s.address)
	}
	p.list = kept
	for a := range named {
		added = append(added, a)
		at := rand.IntN(len(p.list) + 1)
		if at == len(p.list) && at > 0 && p.list[at-1] == p.current {
			at-- // the one in use stays last
		}
		p.list = append(p.list, nil)
		copy(p.list[at+1:], p.list[at:])
		p.list[at] = p.discovered(a)
	}
	return added
}

// discovered makes a server of an announced address. Its siblings know who is known to the announcing
// one. Clusters announce numbers where certificates hold names: the name that led to the announcing
// server stands for its siblings.
func (p *servers) discovered(address string) *server {
	host, _, _ := net.SplitHostPort(address)
	s := &server{address: address, tlsName: host, discovered: true}
	if p.current != nil {
		s.tls = p.current.tls
		s.user, s.password, s.token = p.current.user, p.current.password, p.current.token
		if net.ParseIP(host) != nil && net.ParseIP(p.current.tlsName) == nil {
			s.tlsName = p.current.tlsName
		}
	}
	return s
}
