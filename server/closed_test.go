package server

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
)

func TestClosedClientsAreRemembered(t *testing.T) {
	r := start(t, Options{MaxClosedClients: 3}, users(t), broker.Options{})
	for i := range 5 {
		c := r.connect(fmt.Sprintf(`CONNECT {"verbose":false,"user":"plain","pass":"pw","name":"n%d"}`, i) + "\r\n")
		c.send("SUB a.b q 7\r\nPUB a.b 2\r\nhi\r\nPING\r\n")
		c.expect("MSG a.b 7 2\r\nhi\r\nPONG\r\n")
		c.conn.Close()
		eventually(t, "it is remembered", func() bool {
			all := r.server.Clients(Query{State: Closed})
			return len(all) == min(i+1, 3) && all[len(all)-1].Name == fmt.Sprint("n", i)
		})
	}
	all := r.server.Clients(Query{State: Closed, Subscriptions: true})
	c := all[0]
	if c.Name != "n2" || c.Reason != "Client Closed" || c.Stop.Before(c.Start) || c.User != "plain" || c.Account != "$G" ||
		c.Subscriptions != 1 || c.InMsgs != 1 || c.InBytes != 2 || c.OutMsgs != 1 || c.OutBytes != 2 {
		t.Errorf("got %+v", c)
	}
	if len(c.Subs) != 1 || c.Subs[0] != (SubSnapshot{Account: "$G", Subject: "a.b", Queue: "q", SID: "7", Msgs: 1, CID: c.ID}) {
		t.Errorf("subscriptions %+v", c.Subs)
	}
	if one := r.server.Clients(Query{State: Any, CID: all[1].ID}); len(one) != 1 || one[0].Name != "n3" || one[0].Subs != nil {
		t.Errorf("by number %+v", one)
	}
}

func TestRefusedClientsAreRememberedByWhatTheyClaim(t *testing.T) {
	r := start(t, Options{}, users(t), broker.Options{})
	r.dial().send(`CONNECT {"user":"mallory","pass":"secret-1"}` + "\r\n")
	r.dial().send(`CONNECT {"auth_token":"secret-2"}` + "\r\n")
	eventually(t, "both are there", func() bool { return len(r.server.Clients(Query{State: Closed})) == 2 })
	text := fmt.Sprintf("%+v", r.server.Clients(Query{State: Closed}))
	if strings.Contains(text, "secret") || strings.Count(text, "Authentication Failure") != 2 {
		t.Error(text)
	}
	if all := r.server.Clients(Query{State: Closed, User: "mallory"}); len(all) != 1 {
		t.Errorf("of mallory: %+v", all)
	}
}

func TestNoClosedClientIsRememberedIfNotWanted(t *testing.T) {
	r := start(t, Options{MaxClosedClients: -1}, auth.Options{}, broker.Options{})
	r.connect(quiet).conn.Close()
	eventually(t, "it is gone", func() bool { return r.server.Status().Connections == 0 })
	if n := len(r.server.graves.list()); n != 0 {
		t.Errorf("%d remembered", n)
	}
}

func TestGraveyardKeepsTheLast(t *testing.T) {
	g := &graveyard{}
	id := uint64(0)
	for _, most := range []int{4, 4, 4, 4, 4, 4, 2, 2, 5, 5, 5, 5, 5, 1} {
		id++
		g.add(&record{id: id}, most)
		all := g.list()
		if len(all) > most || all[len(all)-1].id != id {
			t.Fatalf("after %d with room for %d: %d, the last %d", id, most, len(all), all[len(all)-1].id)
		}
		for i := 1; i < len(all); i++ {
			if all[i].id != all[i-1].id+1 {
				t.Fatalf("after %d: out of order", id)
			}
		}
	}
}

// Ten thousand records of strangers who give themselves names of 4 KB would be 40 MB, and with long
// subjects a multiple of that.
func TestClosedClientsKeepLittleText(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	long := strings.Repeat("x", 900)
	c := r.connect(`CONNECT {"verbose":false,"lang":"` + long + `","name":"` + long + `","version":"` + long + `"}` + "\r\n")
	for i := range maxClosedSubs {
		c.send(fmt.Sprintf("SUB %s.%d q%s %d\r\n", long[:200], i, long[:100], i))
	}
	c.send("PING\r\n")
	c.expect("PONG\r\n")
	c.conn.Close()
	eventually(t, "it is remembered", func() bool { return len(r.server.graves.list()) == 1 })
	grave := r.server.graves.list()[0]
	if got := grave.about; !strings.HasPrefix(long, got.name) || got.name == "" {
		t.Errorf("name %q", got.name)
	}
	bytes := len(grave.about.name) + len(grave.about.lang) + len(grave.about.version)
	for _, sub := range grave.subs {
		bytes += len(sub.Subject) + len(sub.Queue) + len(sub.SID)
	}
	if bytes > maxClosedText || len(grave.subs) == 0 || grave.subscriptions != maxClosedSubs {
		t.Errorf("%d bytes, %d of %d subscriptions", bytes, len(grave.subs), grave.subscriptions)
	}
}

func TestClientsAreFoundByWhoTheyAre(t *testing.T) {
	r := start(t, Options{}, users(t), broker.Options{})
	plain := r.connect(`CONNECT {"verbose":false,"user":"plain","pass":"pw"}` + "\r\n")
	r.connect(`CONNECT {"verbose":false,"user":"some","pass":"pw"}` + "\r\n")
	plain.send("SUB a 1\r\nSUB b 2\r\nPING\r\n")
	plain.expect("PONG\r\n")
	for _, c := range []struct {
		q Query
		n int
	}{
		{Query{}, 2}, {Query{User: "plain"}, 1}, {Query{User: "nobody"}, 0}, {Query{Account: "$G"}, 2}, {Query{Account: "x"}, 0},
		{Query{State: Any}, 2}, {Query{State: Closed}, 0},
	} {
		if all := r.server.Clients(c.q); len(all) != c.n {
			t.Errorf("%+v: %d", c.q, len(all))
		}
	}
	all := r.server.Clients(Query{User: "plain", Subscriptions: true})
	if len(all) != 1 || all[0].Subscriptions != 2 || len(all[0].Subs) != 0 || all[0].Kind != "Client" || all[0].Type != "nats" {
		t.Errorf("got %+v", all)
	}
}

func TestKickClosesOne(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	a, b := r.connect(quiet), r.connect(quiet)
	id := uint64(a.info["client_id"].(float64))
	if err := r.server.Kick(id); err != nil {
		t.Fatal(err)
	}
	a.expectClosed("")
	b.talks()
	eventually(t, "it is remembered as kicked", func() bool {
		all := r.server.Clients(Query{State: Closed})
		return len(all) == 1 && all[0].Reason == "Kicked"
	})
	eventually(t, "there is nobody left to kick", func() bool { return r.server.Kick(id) == ErrNoClient })
}

func TestLameDuckNoticeToOne(t *testing.T) {
	r := start(t, Options{}, auth.Options{}, broker.Options{})
	old := r.connect(quiet)
	c := r.connect(`CONNECT {"verbose":false,"protocol":1}` + "\r\n")
	c.readInfo()
	if err := r.server.LameDuckClient(uint64(c.info["client_id"].(float64))); err != nil {
		t.Error(err)
	}
	if info := c.readInfo(); info["ldm"] != true {
		t.Errorf("INFO %v", info)
	}
	if err := r.server.LameDuckClient(uint64(old.info["client_id"].(float64))); err != ErrNotListening {
		t.Errorf("a client without protocol 1: %v", err)
	}
	if err := r.server.LameDuckClient(1 << 40); err != ErrNoClient {
		t.Errorf("nobody: %v", err)
	}
	other := r.connect(`CONNECT {"verbose":false,"protocol":1}` + "\r\n")
	if info := other.readInfo(); info["ldm"] != nil {
		t.Errorf("the notice spread: %v", info)
	}
}

// A diary writes down what it is told.
type diary struct {
	mu   sync.Mutex
	text []string
}

func (d *diary) note(what string, c ClientSnapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text = append(d.text, strings.Join([]string{what, c.User, c.Account, c.Name, c.Reason}, " "))
}

func (d *diary) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.text, "\n")
}

func (d *diary) Connected(c ClientSnapshot)    { d.note("in", c) }
func (d *diary) Disconnected(c ClientSnapshot) { d.note("out", c) }
func (d *diary) AuthFailed(c ClientSnapshot)   { d.note("refused", c) }

func TestEventsAreTold(t *testing.T) {
	d := &diary{}
	r := start(t, Options{Events: d}, users(t), broker.Options{})
	c := r.connect(`CONNECT {"verbose":false,"user":"plain","pass":"pw","name":"n"}` + "\r\n")
	c.conn.Close()
	eventually(t, "both events", func() bool { return d.String() == "in plain $G n \nout plain $G n Client Closed" })
	r.dial().send(`CONNECT {"user":"mallory","pass":"x"}` + "\r\n")
	r.dial()
	eventually(t, "the refusal and its end", func() bool {
		return strings.HasSuffix(d.String(), "refused mallory $G  Authentication Failure\nout mallory $G  Authentication Failure")
	})
}
