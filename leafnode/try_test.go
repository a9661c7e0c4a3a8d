package leafnode

import (
	"context"
	"testing"
)

// A nats-server that wants a newer leaf lets it in first, and says so then.
func TestTryTellsWhyAHubRefusesAfterItsWelcome(t *testing.T) {
	h := newHub(t)
	trials := make(chan []Trial)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		all, err := Try(ctx, Options{ServerName: "edge", Version: "2.10.0", Remotes: []Remote{h.remote()}})
		if err != nil {
			t.Error(err)
		}
		trials <- all
	}()
	w := h.join("")
	w.quiet = true
	w.until("PING")
	w.say("-ERR 'connection rejected since minimum version required is \"2.11.0\"'\r\n")
	w.conn.Close()
	all := <-trials
	if len(all) != 1 || all[0].Up || all[0].Reason != "Minimum Version Required" || all[0].Remedy == "" {
		t.Errorf("%+v", all)
	}
}
