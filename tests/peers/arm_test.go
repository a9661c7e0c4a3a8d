//go:build linux

package peers

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// A board and its hub: edgebus built for ARM v6, run by an emulator, joins a stock nats-server as a leaf and
// serves clients that know nothing of either. On 32-bit ARM a counter of 64 bits at a wrong address, or a
// length that is taken for an int, ends a server or a link; so what is counted and what is long comes by here.
func TestLeafOnARMServesClients(t *testing.T) {
	t.Parallel()
	hub := layout{kind: process.Reference, hub: true}.start(t)
	board := layout{kind: process.EdgebusARM, block: quickly(process.EdgebusARM), remotes: []string{remote(hub.leafs)}}.start(t)
	above, sensor := hub.client(t), board.client(t)
	agree(t, above, sensor)

	t.Run("requests are answered both ways", func(t *testing.T) {
		for from, to := range map[*nats.Conn]*nats.Conn{above: sensor, sensor: above} {
			m := nats.NewMsg("valve." + nats.NewInbox())
			if _, err := to.Subscribe(m.Subject, func(m *nats.Msg) { m.RespondMsg(&nats.Msg{Header: m.Header, Data: m.Data}) }); err != nil {
				t.Fatal(err)
			}
			agree(t, from, to)
			m.Header.Set("Unit", "°C")
			m.Data = []byte("21.5")
			answer, err := from.RequestMsg(m, patience)
			if err != nil || string(answer.Data) != "21.5" || answer.Header.Get("Unit") != "°C" {
				t.Errorf("got %v, %v", answer, err)
			}
		}
	})
	t.Run("order is kept", func(t *testing.T) {
		for name, each := range map[string][2]*nats.Conn{"up": {sensor, above}, "down": {above, sensor}} {
			sub := subscribe(t, each[1], name)
			agree(t, each[0], each[1])
			const messages = 2000
			for n := range messages {
				publish(t, each[0], name, strconv.Itoa(n))
			}
			for n := range messages {
				expect(t, sub, name, strconv.Itoa(n))
			}
		}
	})
	t.Run("the largest message passes", func(t *testing.T) {
		sub := subscribe(t, above, "picture")
		agree(t, sensor, above)
		want := bytes.Repeat([]byte("\r\n0\x00"), 1<<20/4)
		publish(t, sensor, "picture", string(want))
		if m, err := sub.NextMsg(patience); err != nil || !bytes.Equal(m.Data, want) {
			t.Errorf("got %v, %v", m != nil, err)
		}
	})
	t.Run("one of a queue group that is at home takes each job", func(t *testing.T) {
		var here, there atomic.Int64
		count := func(nc *nats.Conn, n *atomic.Int64) {
			if _, err := nc.QueueSubscribe("jobs", "workers", func(m *nats.Msg) { n.Add(1); m.Respond(nil) }); err != nil {
				t.Fatal(err)
			}
		}
		count(sensor, &here)
		count(above, &there)
		agree(t, above, sensor)
		const jobs = 50
		for range jobs {
			if _, err := sensor.Request("jobs", nil, patience); err != nil {
				t.Fatal(err)
			}
		}
		if here.Load() != jobs || there.Load() != 0 {
			t.Errorf("%d jobs were done at home and %d above, want %d and 0", here.Load(), there.Load(), jobs)
		}
	})
	t.Run("pages count", func(t *testing.T) {
		var page struct {
			InMsgs  int64 `json:"in_msgs"`
			InBytes int64 `json:"in_bytes"`
			Leafs   int   `json:"leafnodes"`
		}
		board.page(t, "/varz", &page)
		if page.InMsgs < 2000 || page.InBytes < 1<<20 || page.Leafs != 1 {
			t.Errorf("the page says %+v", page)
		}
	})
	t.Run("the link is back after the hub was", func(t *testing.T) {
		hub.restart(func(*layout) {})
		agree(t, hub.client(t), sensor)
	})
	t.Run("it reloads and ends as told", func(t *testing.T) {
		board.SetConfig(board.text() + "max_payload: 1000")
		board.Signal(syscall.SIGHUP)
		board.awaitLog(t, "Reloaded server configuration")
		if code := board.Stop(); code != 0 {
			t.Errorf("it ended with %d", code)
		}
	})
}
