package leafnode

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
)

// flood is what somebody sends who has not read yet that he is not wanted: much more than fits buffers.
var flood = strings.Repeat("LS+ none.of.this.is.wanted.any.more\r\n", 60_000)

// isRefused reads a connection to its end, while more is sent on it. Every word has to arrive, and the end has
// to be one that does not throw away what was sent before: a reset does.
func (w *wire) isRefused(more, want string) {
	w.t.Helper()
	sent := make(chan struct{})
	w.patient()
	go func() {
		defer close(sent)
		w.try(more)
	}()
	var ops []string
	op, err := w.next()
	for err == nil {
		ops = append(ops, op)
		op, err = w.next()
	}
	<-sent
	if !errors.Is(err, io.EOF) || !slices.Contains(ops, "-ERR '"+want+"'") {
		w.t.Errorf("told %q, then %v; want %q", ops, err, want)
	}
}

// loop is the loop subject of the other side.
func (w *wire) loop() string {
	w.t.Helper()
	return strings.TrimPrefix(w.until("LS+ "+loopPrefix), "LS+ ")
}

func TestWhoIsRefusedGetsToReadWhy(t *testing.T) {
	a := newAuthority(t)
	const good = `CONNECT {"version":"2.15.2","user":"u","pass":"hush","name":"leaf","cluster":"leaf","remote_account":"$G"}` + "\r\n"
	for _, secure := range []bool{false, true} {
		s := newSite(t, "site", func(o *Options, users *auth.Options) {
			o.MinVersion = "2.9.0"
			if secure {
				o.TLS = &TLS{Security: &engine.Security{Config: a.valid("hub"), Timeout: patience}}
			}
			users.Users = []auth.User{{User: "u", Password: "hush"}}
		})
		dial := func() *wire {
			w := dialSite(t, s)
			w.info()
			if secure {
				config, _ := a.trusted("hub")
				w = newWire(t, tls.Client(w.conn, config))
			}
			return w
		}
		join := func() *wire {
			w := dial()
			w.say(good)
			w.info()
			return w
		}
		for range 3 {
			dial().isRefused(strings.Replace(good, "hush", "hushed", 1)+flood, "Authorization Violation")
			dial().isRefused(strings.Replace(good, "2.15.2", "2.8.4", 1)+flood, `connection rejected since minimum version required is "2.9.0"`)
			ring := join()
			ring.isRefused("LS+ "+ring.loop()+"\r\n"+flood, loopOf("$G").wire)
			first := join()
			second := join()
			first.isRefused(flood, "Duplicate Remote LeafNode Connection")
			second.conn.Close()
			eventually(t, "all are gone", func() bool { return len(s.n.all()) == 0 })
		}
	}
}

// Where we dial, TLS is with the engine's other driver.
func TestAHubThatIsRefusedGetsToReadWhy(t *testing.T) {
	a := newAuthority(t)
	for _, secure := range []bool{false, true} {
		h := newHub(t)
		edgeOf(t, h, func(_ *Options, r *Remote) {
			r.TLS = func(string) (*tls.Config, error) { return a.trusted("hub") }
		})
		w := h.accept()
		if secure {
			w.say(hubInfo(`"tls_required":true,`))
			w = newWire(t, tls.Server(w.conn, a.valid("hub")))
		} else {
			w.say(h.info)
		}
		w.until("CONNECT ")
		w.say(welcome(""))
		w.isRefused("LS+ "+w.loop()+"\r\n"+flood, loopOf("$G").wire)
		h.ln.(*net.TCPListener).Close()
	}
}
