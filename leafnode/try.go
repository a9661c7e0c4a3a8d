package leafnode

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// tryPing is when a hub is asked that has let us in. Some refuse right behind their welcome, and what they
// say would be lost if we wrote to a connection that they have closed.
const tryPing = 300 * time.Millisecond

// A Trial is how one attempt to join a hub went.
type Trial struct {
	URL     string // without secrets
	Account string // ours
	Up      bool

	// If it is up.
	Hub          string // its name
	HubVersion   string
	TheirAccount string
	Address      string // that the URL's name led to
	Secure       bool
	Compression  string
	RTT          time.Duration

	// If it is not.
	Reason, Remedy string
}

// Try joins each URL of the remotes once, one after the other, and leaves again: the links carry nothing,
// and have a name of their own, so that a server which runs with the same options is not disturbed.
func Try(ctx context.Context, o Options) ([]Trial, error) {
	remotes := o.Remotes
	o.Remotes = nil
	var random [4]byte
	rand.Read(random[:])
	o.ServerName = fmt.Sprintf("%s-check-%x", o.ServerName, random)
	o.ServerID = o.ServerName
	var all []Trial
	for i := range remotes {
		for _, text := range remotes[i].URLs {
			r := remotes[i]
			r.URLs, r.NoRandomize, r.IgnoreDiscovered, r.Disabled = Texts{text}, true, true, false
			t, err := try(ctx, o, r)
			if err != nil {
				return all, err
			}
			all = append(all, t)
		}
	}
	return all, nil
}

// try joins one hub in a world of its own.
func try(ctx context.Context, o Options, r Remote) (t Trial, err error) {
	b := broker.New(broker.Options{})
	e, err := engine.New(engine.Options{
		Loops: 1, Local: func() any { return b.NewLane() }, TurnEnd: func(lane any) { lane.(*broker.Lane).Flush() },
	})
	if err != nil {
		return t, err
	}
	defer e.Shutdown(context.WithoutCancel(ctx))
	nobody, err := auth.New(auth.Options{})
	if err != nil {
		return t, err
	}
	n, err := New(o, b, e, nobody, nil)
	if err != nil {
		return t, err
	}
	one, err := newRemote(n, &r)
	if err != nil {
		return t, err
	}
	one.tried = make(chan struct{}, 1)
	u := one.pool.next()
	t.URL, t.Account = hideSecrets(u), r.account()
	ended := make(chan error, 1)
	go func() { ended <- one.attempt(u) }()
	select {
	case err := <-ended:
		t.Reason, t.Remedy = explain(err)
		if why := r.flaw(err, u, n.settings.Load().Clock()); why != "" {
			t.Remedy = why
		}
		return t, nil
	case <-one.tried:
		t.fill(n)
	case <-ctx.Done():
		err = ctx.Err()
	}
	one.stop(errShutdown)
	<-ended
	return t, err
}

// fill takes from the one link of n what is to be shown.
func (t *Trial) fill(n *Node) {
	for _, k := range n.all() {
		f := &k.facts
		t.Up, t.Hub, t.HubVersion, t.TheirAccount, t.Address = true, f.name, f.version, f.theirs, f.address
		k.mu.Lock()
		t.RTT, t.Compression, t.Secure = k.rtt, f.mode.String(), f.secure
		k.mu.Unlock()
	}
}
