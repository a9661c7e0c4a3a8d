package leafnode

import (
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
)

func TestLeavesGoThroughTheTurnstile(t *testing.T) {
	for _, c := range []struct {
		limits engine.TurnstileLimits
		told   string
	}{
		{engine.TurnstileLimits{PerAddress: 2}, "-ERR 'maximum connections exceeded'"},
		{engine.TurnstileLimits{PerSecond: 2}, "-ERR 'Connection throttling is active. Please try again later.'"},
	} {
		s := newSite(t, "site", func(o *Options, _ *auth.Options) { o.Limits = c.limits })
		in, refused := []*wire(nil), 0
		for range 8 {
			w := dialSite(t, s)
			w.info() // it is greeted in any case, or it would not know who refuses it
			w.say(strings.ReplaceAll(leafConnect, `"leaf"`, `"leaf`+strings.Repeat("x", len(in))+`"`))
			w.say("PING\r\n")
			op, err := w.next()
			for err == nil && op != "PONG" && !strings.HasPrefix(op, "-ERR") {
				op, err = w.next()
			}
			switch {
			case op == "PONG":
				in = append(in, w)
			case op == c.told:
				refused++
				w.ended()
			default:
				t.Fatalf("told %q, %v", op, err)
			}
		}
		if c.limits.PerAddress > 0 && len(in) != 2 || len(in) == 0 || refused == 0 {
			t.Errorf("%+v: %d are in, %d were refused", c.limits, len(in), refused)
		}
		eventually(t, "the log says so", func() bool { return s.log.has("Maximum Connections Exceeded") })
		if c.limits.PerAddress == 0 {
			continue
		}
		in[0].conn.Close()
		s.links(1)
		eventually(t, "its place is free", func() bool {
			w := dialSite(t, s)
			w.info()
			w.say(leafConnect)
			w.say("PING\r\n")
			op, err := w.next()
			for err == nil && op != "PONG" {
				op, err = w.next()
			}
			return err == nil
		})
	}
}
