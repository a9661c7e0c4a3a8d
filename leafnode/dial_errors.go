package leafnode

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/edgebus-io/edgebus/auth"
)

// What is wrong when nobody else says so.
var (
	errPlainHub   = errors.New("the hub offers no TLS on this port, and the remote wants it")
	errNoTLS      = errors.New("the hub wants TLS, and there is none here")
	errBeforeTLS  = errors.New("plain bytes came before TLS began")
	errNotNATS    = errors.New("this is no nats-server")
	errNotLeaf    = errors.New("this is no port for leaves")
	errLongHello  = errors.New("the first line is too long")
	errProxyReply = errors.New("the proxy refused")
)

// A dialError is why a hub was not reached. stage is "dns", "proxy", "tcp", "tls" or "info", and remedy
// one sentence that says what to do.
type dialError struct {
	stage  string
	err    error
	remedy string
}

func (e *dialError) Error() string { return e.err.Error() + ": " + e.remedy }
func (e *dialError) Unwrap() error { return e.err }

// explain finds the words for err, which came up in a stage.
func (d *dialer) explain(stage string, err error) *dialError {
	var known *dialError
	if errors.As(err, &known) {
		return known
	}
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		return &dialError{"dns", err, explainDNS(dns)}
	case errors.Is(err, context.Canceled):
		return &dialError{stage, err, "the attempt was given up because the remote or the server is going away"}
	case stage == "tls":
		return &dialError{stage, err, explainTLS(err, d.serverNameOr(), d.now())}
	}
	return &dialError{stage, err, explainTCP(err)}
}

func (d *dialer) serverNameOr() string {
	if d.serverName != "" {
		return d.serverName
	}
	return d.url.Hostname()
}

func explainDNS(err *net.DNSError) string {
	switch {
	case err.IsNotFound:
		return fmt.Sprintf("the name %q does not exist: look for a slip in the remote's url, or at the DNS server this machine uses", err.Name)
	case err.IsTimeout:
		return "no DNS server answers: is the line up, and /etc/resolv.conf right?"
	}
	return "the name cannot be looked up now: is the line up, and /etc/resolv.conf right?"
}

func explainTCP(err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(text, "refused"):
		return "the machine is there, but nothing listens on that port: is the hub running, with a leafnodes block, on this port?"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH), strings.Contains(text, "unreachable"), strings.Contains(text, "no route"):
		return "there is no way to this address: is the line up, and is there a default route?"
	case isTimeout(err):
		return "no answer: the hub is down, a firewall drops the connection, or the line is slower than dial_timeout"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), strings.Contains(text, "reset"), strings.Contains(text, "forcibly"):
		return "the connection was cut at once: a firewall or a proxy does not want it, or the hub is stopping"
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return "this process has no more files to open: raise its limit (ulimit -n)"
	case errors.Is(err, os.ErrPermission):
		return "this machine does not allow the connection: look at its firewall"
	}
	return "look at the line and at the hub"
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// explainTLS is also for what a hub says behind a handshake: with TLS 1.3 it looks at our certificate
// only then, and its answer meets the first read.
func explainTLS(err error, host string, now time.Time) string {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		record  tls.RecordHeaderError
		roots   x509.SystemRootsError
	)
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return explainTime(invalid.Cert, now)
	case errors.As(err, &unknown):
		return fmt.Sprintf("the hub's certificate is signed by %s, which is not trusted here: name that authority's file as ca_file in the remote's tls block",
			issuer(unknown.Cert))
	case errors.As(err, &invalid):
		return "the hub's certificate cannot be used: its operator has to make a new one"
	case errors.As(err, &name):
		return fmt.Sprintf("the hub's certificate is for %s and not for %q: use a name in the url that it is for", names(name.Certificate), host)
	case errors.As(err, &roots):
		return "this machine has no list of authorities: name the hub's authority as ca_file in the remote's tls block"
	case errors.As(err, &record):
		return "the hub does not speak TLS here: remove handshake_first if it greets in plain first, or look at the port"
	case isTimeout(err):
		return "the hub did not finish TLS in time: on a slow line raise handshake_timeout, and timeout in the hub's tls block"
	}
	return explainAlert(err)
}

// explainAlert is about what the hub says, which comes as text only.
func explainAlert(err error) string {
	text := err.Error()
	for _, one := range []struct{ part, remedy string }{
		{"pinned_certs", "the hub has another key than those in pinned_certs of the remote: add the new one if the hub was given a new certificate"},
		{"certificate required", "the hub wants to see a certificate of ours: name cert_file and key_file in the remote's tls block"},
		{"bad certificate", "the hub does not take our certificate, or misses one: cert_file and key_file of the remote's tls block have to be signed by the authority that the hub's ca_file names, and be for clients"},
		{"unknown certificate authority", "the hub does not know who signed our certificate: it has to be signed by the authority that the hub's ca_file names"},
		{"expired certificate", "our certificate has expired: put a new one in the place of cert_file"},
		{"protocol version", "the two sides have no version of TLS in common: look at min_version of both"},
		{"handshake failure", "the two sides have no cipher in common, or the hub wants to see a certificate of ours: look at cipher_suites and cert_file in both tls blocks"},
		{"unrecognized name", "the hub has no certificate for this name: look at the host in the remote's url"},
	} {
		if strings.Contains(text, one.part) {
			return one.remedy
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || strings.Contains(text, "forcibly") {
		return "the hub cut the connection during TLS: it may not do TLS before its greeting (remove handshake_first), or limit handshakes a second"
	}
	return "compare the tls blocks of both sides"
}

// explainTime is about a certificate that is not valid now.
func explainTime(cert *x509.Certificate, now time.Time) string {
	day := func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	flaw := auth.ClockFlaw(now)
	switch {
	case flaw != "":
		return flaw + ", which cannot be, and so the hub's certificate is not valid yet: set it, or let NTP do that; the hub is dialled again at once when it is set"
	case cert == nil:
		return "the hub's certificate is not valid now: is this machine's clock right?"
	case now.Before(cert.NotBefore):
		return fmt.Sprintf("the hub's certificate is valid from %s UTC on and this machine's clock says %s: is the clock right?", day(cert.NotBefore), day(now))
	}
	return fmt.Sprintf("the hub's certificate expired at %s UTC and this machine's clock says %s: is the clock right? If it is, the hub needs a new certificate",
		day(cert.NotAfter), day(now))
}

func issuer(cert *x509.Certificate) string {
	if cert == nil {
		return "an authority"
	}
	if name := cert.Issuer.CommonName; name != "" {
		return fmt.Sprintf("%q", cut(name))
	}
	return fmt.Sprintf("%q", cut(cert.Issuer.String()))
}

// names are those that a certificate is for, a few of them.
func names(cert *x509.Certificate) string {
	const few = 3
	all := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		all = append(all[:len(all):len(all)], ip.String())
	}
	switch {
	case len(all) == 0:
		return "no name at all"
	case len(all) > few:
		return fmt.Sprintf("%q and %d more", all[:few], len(all)-few)
	}
	return fmt.Sprintf("%q", all)
}

// explainGreeting is about a first line that is none. got is what came.
func (d *dialer) explainGreeting(got []byte, err error) *dialError {
	const (
		tlsAlert     = 0x15
		tlsHandshake = 0x16
	)
	text := string(got)
	e := &dialError{stage: "info", err: err}
	switch {
	case strings.HasPrefix(text, "HTTP/"):
		e.err, e.remedy = errNotNATS, "a web server answers: use the port of the hub's leafnodes block, 7422 unless it says otherwise"
	case strings.HasPrefix(text, "SSH-"):
		e.err, e.remedy = errNotNATS, "an SSH server answers: look at the port in the remote's url"
	case len(got) > 0 && (got[0] == tlsAlert || got[0] == tlsHandshake):
		e.err, e.remedy = errNotNATS, "the hub does TLS before its greeting: write tls { handshake_first: true } into the remote"
	case err == errNotNATS:
		e.remedy = "look at host and port of the remote: the hub's leafnodes block has the port, 7422 unless it says otherwise"
	case d.secret != nil && d.handshakeFirst && !isTimeout(err) && !errors.Is(err, io.EOF):
		e.stage, e.remedy = "tls", explainTLS(err, d.serverNameOr(), d.now())
	case errors.Is(err, context.Canceled):
		return d.explain("info", err)
	case isTimeout(err) && len(got) == 0 && d.secret == nil:
		e.remedy = "the hub says nothing: it may wait for TLS (write tls { handshake_first: true } into the remote), be no nats-server, or be slower than first_info_timeout"
	case isTimeout(err):
		e.remedy = "the hub's greeting does not get here whole: on a slow line raise first_info_timeout"
	case strings.Contains(err.Error(), "buffer full"):
		e.err, e.remedy = errLongHello, "what answers is no nats-server: look at host and port of the remote"
	default:
		e.remedy = "the hub closed the connection without a word: it may be full or stopping, or what answers is no nats-server"
	}
	return e
}

// wrongPort is about an INFO that does not come from a listener for leaves.
func wrongPort(i *info) *dialError {
	if i.ClientID != 0 {
		return &dialError{"info", errNotLeaf, "this is the hub's port for clients: use that of its leafnodes block, 7422 unless it says otherwise"}
	}
	return &dialError{"info", errNotLeaf, "this is the hub's port for routes or gateways: use that of its leafnodes block, 7422 unless it says otherwise"}
}
