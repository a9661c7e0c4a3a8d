package daemon

import (
	"fmt"
	"slices"
	"strings"

	"github.com/edgebus-io/edgebus/auth"
)

// MonitorOptions say where pages with the server's state are, and what is said of it there and in answers
// of the system account.
type MonitorOptions struct {
	// HTTP is where pages are served, host:port or a port alone, in place of HTTPPort. Default: nowhere.
	// Without User everybody who reaches them may look: 127.0.0.1, or a network that is yours.
	HTTP Address `conf:"http"`

	// HTTPS is the same, encrypted with the certificate of the tls block.
	HTTPS Address `conf:"https"`

	// HTTPPort and HTTPSPort are ports at the host where clients connect. 0: there is none; -1: any free one.
	HTTPPort  int `conf:"http_port,alias=monitor_port"`
	HTTPSPort int `conf:"https_port"`

	// BasePath stands in front of every page's path. Default: nothing.
	BasePath string `conf:"http_base_path"`

	// User and Password are asked for by HTTP's basic authentication; nats-server has no such keys.
	// Password may be a bcrypt hash. Default: nobody is asked. Over http they travel for everybody on
	// the network to read.
	User     string `conf:"http_user"`
	Password string `conf:"http_password"`

	// Tags and Metadata describe this server. Requests of the system account may choose servers by tag.
	Tags     []string          `conf:"server_tags"`
	Metadata map[string]string `conf:"server_metadata"`
}

// fold turns the two addresses into hosts with ports.
func (m *MonitorOptions) fold() {
	if m.HTTP.Port == 0 {
		m.HTTP.Port = m.HTTPPort
	}
	if m.HTTPS.Port == 0 {
		m.HTTPS.Port = m.HTTPSPort
	}
	m.HTTPPort, m.HTTPSPort = 0, 0
	m.Tags = foldTags(m.Tags)
}

// foldTags makes tags what they are everywhere: in small letters, without blanks, each once.
func foldTags(tags []string) (folded []string) {
	for _, tag := range tags {
		if tag = strings.ToLower(strings.TrimSpace(tag)); tag != "" && !slices.Contains(folded, tag) {
			folded = append(folded, tag)
		}
	}
	return folded
}

// viewers is who may look at the pages; nil: everybody.
func (m *MonitorOptions) viewers() (*auth.Directory, error) {
	if m.User == "" {
		return nil, nil
	}
	return auth.New(auth.Options{User: m.User, Password: m.Password})
}

func (o *Options) checkMonitor() (problems OptionErrors) {
	m := &o.Monitor
	for key, port := range map[string]int{"http": m.HTTP.Port, "https": m.HTTPS.Port} {
		if port < randomPort || port > 65535 {
			problems = append(problems, optionError{key, fmt.Errorf("%s: port %d is not between 1 and 65535, nor -1 for any free one", key, port)})
		}
	}
	if _, err := m.viewers(); err != nil {
		problems = append(problems, optionError{"http_password", fmt.Errorf("http_user, http_password: %w", err)})
	}
	switch {
	case m.HTTP.Port != 0 && m.HTTPS.Port != 0:
		problems = append(problems, optionError{"https", fmt.Errorf("http and https: only one of them is possible")})
	case (m.User == "") != (m.Password == ""):
		problems = append(problems, optionError{"http_user", fmt.Errorf("http_user and http_password go together: one of them is missing")})
	case m.HTTPS.Port != 0 && o.TLS == nil:
		problems = append(problems, optionError{"https", fmt.Errorf("https needs a tls block with a certificate")})
	}
	return problems
}
