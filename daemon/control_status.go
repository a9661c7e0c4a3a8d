package daemon

import (
	"os"

	"github.com/edgebus-io/edgebus/monitor"
)

// A Status is what the control socket says of a running server: where it can be reached, and whether its
// hubs are joined.
type Status struct {
	PID        int            `json:"pid"`
	Name       string         `json:"server_name"`
	Version    string         `json:"version,omitempty"`
	Config     string         `json:"config,omitempty"`
	Clients    []string       `json:"clients"` // URLs, for all addresses of the machine each of them
	Monitoring []string       `json:"monitoring,omitempty"`
	Leafnodes  []string       `json:"leafnodes,omitempty"`
	Remotes    []RemoteStatus `json:"remotes,omitempty"`
}

// A RemoteStatus is one hub to be joined.
type RemoteStatus struct {
	URL     string `json:"url"` // without its password
	Account string `json:"account"`
	Up      bool   `json:"up"`
	Reason  string `json:"reason,omitempty"` // that it is not up; empty while the first attempt runs
	Remedy  string `json:"remedy,omitempty"`
}

func (d *Daemon) status() Status {
	d.mu.Lock()
	ports := d.ports()
	s := Status{
		PID: os.Getpid(), Name: d.server.Name(), Version: d.options.Version, Config: d.options.ConfigFile,
		Clients: ports["nats"], Monitoring: ports["monitoring"], Leafnodes: ports["leafnodes"],
	}
	d.mu.Unlock()
	for _, r := range (pages{d}).leafz(monitor.LeafzOptions{}).Remotes {
		s.Remotes = append(s.Remotes, RemoteStatus{URL: r.URL, Account: r.Account, Up: r.Up, Reason: r.Reason, Remedy: r.Remedy})
	}
	return s
}
