//go:build linux

package peers

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/tests/process"
)

// chaosMemory is what a gateway may use, and is told so.
const chaosMemory = 64 << 20

const chaosGateway = `memory_limit: 64MB
%s
accounts {
  SITE { users: [ { user: site, password: s } ] }
  PLANT { users: [ { user: plant, password: p } ] }
}`

// A chaos is a hub with two gateways, lines between them, and clients.
type chaos struct {
	t       *testing.T
	trouble *trouble
	flows   []*flow
	writers sync.WaitGroup
	ctx     context.Context // of the clients' trouble
	ending  context.Context // of their last messages
	clients []func()        // closes them

	hub      *node
	mortal   *node // is killed as well
	enduring *node // never is: what grows in it has all the time to do so

	toMortal, toEnduring *line // from the gateways to the hub
	atMortal, atEnduring *line // from bad clients to the gateways

	ofMortal, ofEnduring counted
}

// TestMixedClientsSurviveRandomFaults plays clients of four kinds on two gateways that are leaves of a stock
// hub, while servers are killed, stopped, restarted and reloaded and lines break. EDGEBUS_SEED
// repeats the faults of a run, EDGEBUS_LONG=1 plays for 30 minutes, EDGEBUS_CHAOS=5m for another time.
func TestMixedClientsSurviveRandomFaults(t *testing.T) {
	t.Parallel()
	length := inForm(5*time.Second, 30*time.Minute)
	if text := os.Getenv("EDGEBUS_CHAOS"); text != "" {
		length = must(time.ParseDuration(text))
	}
	pace := pace{pause: 600 * time.Millisecond, outage: 300 * time.Millisecond, long: 600 * time.Millisecond}
	if length > time.Minute {
		pace.pause, pace.outage, pace.long = 8*time.Second, 3*time.Second, 40*time.Second
	}
	seed := rand.Uint64()
	if text := os.Getenv("EDGEBUS_SEED"); text != "" {
		seed = must(strconv.ParseUint(text, 10, 64))
	}
	t.Logf("EDGEBUS_SEED=%d", seed)

	c := &chaos{t: t, trouble: &trouble{t: t, seed: seed, pace: pace, began: time.Now(), counts: map[string]int{}, ends: map[string][]time.Time{}}}
	c.build()
	playing, stop := context.WithCancel(context.Background())
	ending, giveUp := context.WithCancel(context.Background())
	c.ctx, c.ending = playing, ending
	bad := c.newPlague(playing)
	defer func() { // a test that fails in the middle too
		stop()
		giveUp()
		c.trouble.wg.Wait()
		bad.wg.Wait()
		c.writers.Wait()
	}()
	c.traffic()
	for _, each := range []*node{c.mortal, c.enduring} {
		each.awaitLinks(t, 1)
	}
	bad.begin(c)
	c.makeTrouble(playing)
	c.watch(length)

	stop()
	c.trouble.wg.Wait()
	bad.wg.Wait()
	limit := time.AfterFunc(4*patience, giveUp) // a link may wait for half a minute before it tries again
	defer limit.Stop()
	c.writers.Wait()
	c.verdict(bad)
	c.leftovers()
}

func (c *chaos) build() {
	t := c.t
	c.hub = layout{kind: process.Reference, hub: true, name: "hub"}.start(t)
	c.toMortal, c.toEnduring = newLine(t, c.hub.leafs, weather{}), newLine(t, c.hub.leafs, weather{})
	// A short run has no time to fill more.
	config := fmt.Sprintf(chaosGateway, inForm("max_pending: 2MB", ""))
	gateway := func(name string, l *line) *node {
		return layout{kind: process.Edgebus, hub: true, name: name, config: config, block: inForm(quickly(process.Edgebus), ""),
			remotes: []string{remote(l.addr, "account: PLANT", "ignore_discovered_servers: true", `deny_exports: [ "never.>" ]`)}}.start(t)
	}
	c.mortal, c.enduring = gateway("mortal", c.toMortal), gateway("enduring", c.toEnduring)
	c.atMortal, c.atEnduring = newLine(t, c.mortal.Addr(), weather{}), newLine(t, c.enduring.Addr(), weather{})
}

// makeTrouble begins all faults.
func (c *chaos) makeTrouble(ctx context.Context) {
	tr, none := c.trouble, func() {}
	before := func() { c.ofMortal.read(c.t, c.mortal); c.ofMortal.life() }
	// The hub more seldom: its ends excuse what is missing meanwhile.
	tr.at(ctx, "hub", 1, 3, tr.stops(c.hub), tr.killed(c.hub, none), tr.restarted(c.hub, none))
	tr.at(ctx, "mortal", 2, 1, tr.killed(c.mortal, before), tr.stops(c.mortal), tr.reloaded(c.mortal), tr.killed(c.mortal, before), tr.restarted(c.mortal, before))
	tr.at(ctx, "enduring", 3, 1, tr.stops(c.enduring), tr.reloaded(c.enduring))
	tr.at(ctx, "line mortal-hub", 4, 1, tr.breaks(c.toMortal)...)
	tr.at(ctx, "line enduring-hub", 5, 1, tr.breaks(c.toEnduring)...)
	tr.at(ctx, "line client-mortal", 6, 1, tr.breaks(c.atMortal)...)
	tr.at(ctx, "line client-enduring", 7, 1, tr.breaks(c.atEnduring)...)
}

// theirs connects with nats.go and ours with the SDK; both come back for ever.
func (c *chaos) theirs(where, user, password string) *nats.Conn {
	c.t.Helper()
	nc, err := nats.Connect("nats://"+where, nats.UserInfo(user, password), nats.Timeout(2*time.Second), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true),
		nats.ReconnectWait(20*time.Millisecond), nats.ReconnectJitter(5*time.Millisecond, 5*time.Millisecond), nats.IgnoreAuthErrorAbort(), nats.ErrorHandler(quiet))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	c.clients = append(c.clients, nc.Close)
	return nc
}

func (c *chaos) ours(where, user, password string, options ...client.Option) *client.Conn {
	c.t.Helper()
	options = append(options, client.UserPassword(user, password), client.Timeout(2*time.Second), client.ReconnectWait(10*time.Millisecond, 50*time.Millisecond))
	conn, err := client.Connect(sdkSoon(c.t), "nats://"+where, options...)
	if err != nil {
		c.t.Fatal(err)
	}
	end := func() {
		conn.Close()
		<-conn.Done()
	}
	c.t.Cleanup(end)
	c.clients = append(c.clients, end)
	return conn
}

// traffic starts all flows: the subscribers first.
func (c *chaos) traffic() {
	t := c.t
	hub, mortal, enduring := c.hub.Addr(), c.mortal.Addr(), c.enduring.Addr()
	site, plant := [2]string{"site", "s"}, [2]string{"plant", "p"}
	theirs := func(where string, user [2]string) *nats.Conn { return c.theirs(where, user[0], user[1]) }
	ours := func(where string, user [2]string, options ...client.Option) *client.Conn {
		return c.ours(where, user[0], user[1], options...)
	}
	box := client.WithOutbox(client.OutboxOptions{Policy: client.Block})
	none := [2]string{}

	atHub, atHubToo := theirs(hub, none), ours(hub, none)
	atSite, atSiteToo := theirs(enduring, site), ours(enduring, site)
	atMortal, atMortalToo := theirs(mortal, site), ours(mortal, site)
	atPlant, atPlantToo := theirs(enduring, plant), ours(mortal, plant)

	killed, hubEnds, hubTook := c.trouble.endOf(c.mortal), c.trouble.endOf(c.hub), c.trouble.atEndOf(c.hub)
	linked := newLink(c.toEnduring)
	for _, f := range []struct {
		flow *flow
		to   any
		by   func(f *flow) func(ctx context.Context, size int)
	}{
		// Who publishes and who subscribes is on one server that never ends: nothing may be missing.
		{&flow{name: "plain"}, atSite, func(f *flow) func(context.Context, int) { return f.byNats(theirs(enduring, site)) }},
		{&flow{name: "cut", breaks: true}, atSiteToo, func(f *flow) func(context.Context, int) { return f.byNats(theirs(c.atEnduring.addr, site)) }},
		{&flow{name: "sync", breaks: true}, atSiteToo, func(f *flow) func(context.Context, int) { return f.bySync(t, ours(c.atEnduring.addr, site)) }},
		{&flow{name: "outbox", repeats: true}, atSite, func(f *flow) func(context.Context, int) { return f.byOutbox(t, ours(c.atEnduring.addr, site, box)) }},
		// One server that ends now and then.
		{&flow{name: "m.plain", excused: killed}, atMortalToo, func(f *flow) func(context.Context, int) { return f.byNats(theirs(mortal, site)) }},
		{&flow{name: "m.sync", excused: killed}, atMortal, func(f *flow) func(context.Context, int) { return f.bySync(t, ours(mortal, site)) }},
		{&flow{name: "m.outbox", repeats: true, excused: killed}, atMortal, func(f *flow) func(context.Context, int) { return f.byOutbox(t, ours(c.atMortal.addr, site, box)) }},
		// From gateways to the hub: what is missing has been counted by the gateway.
		{&flow{name: "up", excused: hubTook, counts: &c.ofEnduring}, atHub, func(f *flow) func(context.Context, int) { return f.byNats(theirs(enduring, plant)) }},
		{&flow{name: "up.sync", excused: hubTook, counts: &c.ofEnduring}, atHubToo, func(f *flow) func(context.Context, int) { return f.bySync(t, ours(enduring, plant)) }},
		{&flow{name: "m.up", excused: either(hubTook, killed), counts: &c.ofMortal}, atHub, func(f *flow) func(context.Context, int) { return f.byNats(theirs(mortal, plant)) }},
		// From the hub to gateways, and from one gateway to the other: the hub does not say what it loses with a link.
		// What the gateway had dropped before is counted there.
		{&flow{name: "down", excused: either(hubEnds, linked)}, atPlant, func(f *flow) func(context.Context, int) { return f.byNats(theirs(hub, none)) }},
		{&flow{name: "m.down", excused: either(hubEnds, killed, newLink(c.toMortal))}, atPlantToo, func(f *flow) func(context.Context, int) { return f.bySync(t, ours(hub, none)) }},
		{&flow{name: "across", excused: either(hubEnds, killed, linked, newLink(c.toMortal)), counts: &c.ofMortal}, atPlant, func(f *flow) func(context.Context, int) { return f.byNats(theirs(mortal, plant)) }},
	} {
		switch to := f.to.(type) {
		case *nats.Conn:
			sub := must(to.Subscribe(f.flow.subject(), func(m *nats.Msg) { f.flow.take(m.Data) }))
			sub.SetPendingLimits(-1, -1)
			flush(t, to)
		case *client.Conn:
			must(to.Subscribe(f.flow.subject(), func(m *client.Msg) { f.flow.take(m.Data) }, client.Limit(1<<20, 1<<30)))
			sdkFlush(t, to)
		}
		random := rand.New(rand.NewPCG(c.trouble.seed, 100+uint64(len(c.flows))))
		c.flows = append(c.flows, f.flow)
		batch := f.by(f.flow)
		c.writers.Go(func() { f.flow.publishing(c.ctx, c.ending, random, batch) })
	}
}
