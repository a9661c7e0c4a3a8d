//go:build linux

package peers

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/tests/process"
)

const signalLameDuck = syscall.SIGUSR2

// sdkRefused connects where that must fail.
func sdkRefused(t *testing.T, s *process.Server, want error, options ...client.Option) {
	t.Helper()
	conn, err := client.Connect(sdkSoon(t), s.URL(), options...)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestSDKLogsInByPasswordTokenAndKey(t *testing.T) {
	known, other := userKey(), userKey()
	config := fmt.Sprintf(`authorization { users: [ {user: plain, password: p1}, {user: crypted, password: "%s"}, {nkey: %s} ] }`,
		hashed("p2"), known.public())
	onEach(t, config, func(t *testing.T, s *process.Server) {
		sdk(t, s.URL(), client.UserPassword("plain", "p1"))
		sdk(t, s.URL(), client.UserPassword("crypted", "p2"))
		sdk(t, strings.Replace(s.URL(), "//", "//plain:p1@", 1))
		sdk(t, s.URL(), client.NKey(write(t, "seed", known.seed())))
		sdk(t, s.URL(), client.Signed("", known.public(), known.Sign))
		sdkRefused(t, s, client.ErrAuthorization)
		sdkRefused(t, s, client.ErrAuthorization, client.UserPassword("plain", "p2"))
		sdkRefused(t, s, client.ErrAuthorization, client.NKey(write(t, "seed", other.seed())))
		sdkRefused(t, s, client.ErrCredentials, client.NKey(write(t, "seed", accountKey().seed())))
	})
	onEach(t, `authorization { token: "t0ken" }`, func(t *testing.T, s *process.Server) {
		sdk(t, s.URL(), client.Token("t0ken"))
		sdkRefused(t, s, client.ErrAuthorization, client.Token("other"))
	})
}

func TestSDKLogsInByCredentialsFile(t *testing.T) {
	r := newRealm()
	a := r.account("A")
	ann := a.user("ann", nil)
	file, wrong := ann.creds(t), ann.creds(t, userKey())
	onEach(t, r.trust(r.account("SYS"))+r.preload(), func(t *testing.T, s *process.Server) {
		sdk(t, s.URL(), client.Creds(file))
		sdkRefused(t, s, client.ErrAuthorization, client.Creds(wrong))
		sdkRefused(t, s, client.ErrAuthorization)
	})
}

func TestSDKSpeaksTLS(t *testing.T) {
	p := newPapers(t)
	onEach(t, files(p.hub, nil), func(t *testing.T, s *process.Server) {
		conn := sdk(t, s.URL(), client.RootCAs(p.ours.file))
		if err := conn.PublishSync(sdkSoon(t), "a", make([]byte, 100_000)); err != nil {
			t.Error(err)
		}
		sdk(t, strings.Replace(s.URL(), "nats:", "tls:", 1), client.RootCAs(p.ours.file))
		sdkRefused(t, s, client.ErrTLSMissing)
		if _, err := client.Connect(sdkSoon(t), s.URL(), client.RootCAs(p.others.file)); err == nil || !strings.Contains(err.Error(), "unknown authority") {
			t.Errorf("of another authority: %v", err)
		}
	})
	onEach(t, files(p.hub, p.ours, "verify: true"), func(t *testing.T, s *process.Server) {
		sdk(t, s.URL(), client.RootCAs(p.ours.file), client.ClientCert(p.edge.file, p.edge.key))
		if conn, err := client.Connect(sdkSoon(t), s.URL(), client.RootCAs(p.ours.file)); err == nil {
			conn.Close()
			t.Error("connected without a certificate")
		}
	})
	// Those who wait for an INFO get one, a little later.
	onEach(t, files(p.hub, nil, "handshake_first: '300ms'"), func(t *testing.T, s *process.Server) {
		sdk(t, s.URL(), client.RootCAs(p.ours.file), client.TLSFirst())
	})
	onEach(t, "", func(t *testing.T, s *process.Server) {
		sdkRefused(t, s, client.ErrTLSRefused, client.TLS(nil))
	})
}
