package leafnode

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// Defaults of Options that others go by as well. DefaultMaxPending is about a minute of a thin link, and a moment
// of a fast one.
const (
	DefaultHandshakeTimeout = 30 * time.Second
	DefaultMaxPending       = 8 << 20
)

const (
	defaultDialTimeout = 10 * time.Second
	defaultDeadAfter   = 28 * time.Second
	leastDeadAfter     = 3 * time.Second
	defaultMaxLinks    = 1024
	defaultMaxPayload  = 1 << 20
	defaultMaxInterest = 1 << 20
)

// settings are what a Node goes by until the next Reload.
type settings struct {
	Options
	directory *auth.Directory // of leaves that join us
	drainFor  time.Duration   // drainPatience, but in tests
}

// A Node is the leaf links of one server: those to its hubs, and those of the leaves that have joined it.
type Node struct {
	// Set when made, never written again.
	broker   *broker.Broker
	engine   *engine.Engine
	log      *slog.Logger
	slowdown *auth.Slowdown // of leaves that log in; may be shared

	turnstile *engine.Turnstile // of leaves that come; may be shared
	events    Events            // nil: nobody wants to know

	// Anyone's.
	settings    atomic.Pointer[settings] // replaced by Reload, as a whole
	maxPending  atomic.Int64
	most        atomic.Int64  // bytes that may wait for all links together
	waiting     atomic.Int64  // that do, about
	tooBig      atomic.Uint64 // messages that were larger than the other side takes
	lostWaiting atomic.Uint64 // messages that waited for a link when it was cut
	lostFlying  atomic.Uint64 // messages that had been sent then, and no receipt had come for
	lame        atomic.Bool   // no more links are made
	changes     atomic.Uint64 // reloads, and accounts that have changed
	carried     atomic.Int64  // bytes of long messages that have not arrived whole, of links with compression
	interest    atomic.Int64  // subscriptions of all other sides together
	maxInterest atomic.Int64

	mu        sync.Mutex
	stopped   bool                       // under mu
	doors     map[*door]bool             // under mu
	links     map[*link]bool             // those that are up, or are being let in; under mu
	strangers int                        // of them; under mu
	remotes   []*remote                  // under mu
	joints    map[*broker.Account]*joint // never removed: their loop subjects stay; under mu
	origins   map[string]*origin         // by account and cluster, of those that have links; under mu
	numbered  uint32                     // the newest number of these; under mu
	past      map[string]Traffic         // of links that have ended, by account; under mu
	empty     chan struct{}              // closed when the last link is gone; nil unless somebody waits; under mu

	running sync.WaitGroup // of remotes

	warnings, details lines // of the log that strangers can cause; one does not take the other's place
}

// New makes a Node. d says who may join. Every Loop.Local of e must be a lane of b, flushed by e's TurnEnd.
func New(o Options, b *broker.Broker, e *engine.Engine, d *auth.Directory, log *slog.Logger) (*Node, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	set, err := newSettings(o, d)
	if err != nil {
		return nil, err
	}
	n := &Node{
		broker: b, engine: e, log: log, doors: make(map[*door]bool), links: make(map[*link]bool),
		joints: make(map[*broker.Account]*joint), origins: make(map[string]*origin),
		slowdown: cmp.Or(o.Slowdown, new(auth.Slowdown)), turnstile: cmp.Or(o.Turnstile, new(engine.Turnstile)),
		events: o.Events, past: make(map[string]Traffic),
	}
	n.install(set)
	return n, nil
}

func (n *Node) install(set *settings) {
	before := n.settings.Swap(set)
	if n.engine != nil && (before == nil || before.directory != set.directory) {
		set.directory.OnChange(n.accountChanged)
	}
	n.maxPending.Store(int64(set.MaxPending))
	n.most.Store(set.PendingTotal)
	n.maxInterest.Store(int64(set.MaxInterest))
}

// newSettings fills in defaults and checks.
func newSettings(o Options, d *auth.Directory) (*settings, error) {
	o.DialTimeout = cmp.Or(o.DialTimeout, defaultDialTimeout)
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, DefaultHandshakeTimeout)
	o.DeadAfter = cmp.Or(o.DeadAfter, defaultDeadAfter)
	o.MaxPending = cmp.Or(o.MaxPending, DefaultMaxPending)
	o.PendingTotal = cmp.Or(o.PendingTotal, 4*int64(o.MaxPending))
	o.MaxInterest = cmp.Or(o.MaxInterest, defaultMaxInterest)
	o.MaxLinks = cmp.Or(o.MaxLinks, defaultMaxLinks)
	o.MaxFailedLogins = cmp.Or(o.MaxFailedLogins, auth.DefaultMaxFailedLogins)
	o.MaxPayload = cmp.Or(o.MaxPayload, defaultMaxPayload)
	if o.Clock == nil {
		o.Clock = time.Now
	}
	switch {
	case o.DeadAfter < leastDeadAfter:
		return nil, fmt.Errorf("%w: dead_after %v is below %v: links would be given up for one lost packet", ErrOptions, o.DeadAfter, leastDeadAfter)
	case o.DialTimeout < 0 || o.HandshakeTimeout < 0 || o.Reconnect < 0:
		return nil, fmt.Errorf("%w: reconnect, dial_timeout and handshake_timeout cannot be negative", ErrOptions)
	case o.MaxPending < 0 || o.MaxLinks < 0:
		return nil, fmt.Errorf("%w: max_pending and max_links cannot be negative", ErrOptions)
	}
	if o.MinVersion != "" && !isVersion(o.MinVersion) {
		return nil, fmt.Errorf("%w: min_version %q is no version: write it as 2.9.0", ErrOptions, cut(o.MinVersion))
	}
	for i := range o.Remotes {
		r := &o.Remotes[i]
		if _, err := newPool(r.URLs, true, true, nil); err != nil {
			return nil, fmt.Errorf("%w: remotes %d: %w", ErrOptions, i+1, err)
		}
		if _, err := newFilter(limits{}, limits{}, r.DenyImports, r.DenyExports, false, false); err != nil {
			return nil, fmt.Errorf("%w: remotes %d: %w", ErrOptions, i+1, err)
		}
	}
	return &settings{Options: o, directory: d, drainFor: drainPatience}, nil
}

func isVersion(text string) bool {
	_, ok := parseVersion(text)
	return ok
}

// cluster is what we are known by as a whole, where there is no cluster.
func (set *settings) cluster() string { return cmp.Or(set.ServerName, set.ServerID) }

// Start begins to dial the remotes.
func (n *Node) Start() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.startLocked(n.settings.Load())
}

// startLocked makes the remotes those of set: what is gone or has changed ends, what is new begins.
func (n *Node) startLocked(set *settings) {
	if n.stopped {
		return
	}
	var kept []*remote
	wanted := slices.Clone(set.Remotes)
	for _, r := range n.remotes {
		at := slices.IndexFunc(wanted, func(o Remote) bool { return r.same(&o) })
		if at < 0 {
			r.stop(errReload)
			continue
		}
		r.renew(&wanted[at])
		kept = append(kept, r)
		wanted = slices.Delete(wanted, at, at+1)
	}
	for i := range wanted {
		if wanted[i].Disabled {
			continue
		}
		r, err := newRemote(n, &wanted[i])
		if err != nil { // newSettings has looked
			n.log.Error("leaf remote cannot be used", "error", err)
			continue
		}
		kept = append(kept, r)
		n.running.Go(r.run)
	}
	n.remotes = kept
}

func (n *Node) linksLocked() []*link {
	all := make([]*link, 0, len(n.links))
	for k := range n.links {
		all = append(all, k)
	}
	return all
}

// all is a copy of the list of links, in the order in which they came.
func (n *Node) all() []*link {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := n.linksLocked()
	slices.SortFunc(all, func(a, b *link) int { return cmp.Compare(a.conn.ID(), b.conn.ID()) })
	return all
}

// LameDuck closes the doors and dials no more. Links stay until Shutdown, or until the other side leaves.
func (n *Node) LameDuck() {
	n.lame.Store(true)
	n.mu.Lock()
	defer n.mu.Unlock()
	for d := range n.doors {
		d.close()
	}
}

// LetGo closes the links that LameDuck has left, but for those on which something waits: they stay until
// Shutdown.
func (n *Node) LetGo() {
	for _, k := range n.all() {
		if !k.isBehind() {
			k.conn.Close(errShutdown)
		}
	}
}

// Return takes LameDuck back: hubs are dialled again, and Serve may be called anew.
func (n *Node) Return() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lame.Store(false)
	n.remotes = slices.DeleteFunc(n.remotes, func(r *remote) bool { return r.over })
	n.startLocked(n.settings.Load())
}

const (
	// drainPatience bounds how long links may send what waits on them before they are closed. On a bad line it is
	// not enough for much, and whoever stops a server waits for it.
	drainPatience = 2 * time.Second
	// drainReserve is left of a caller's time for what he has to end after us.
	drainReserve = time.Second
)

// drain waits until nothing waits on any link, within its time.
func (n *Node) drain(ctx context.Context) {
	const again = 10 * time.Millisecond
	until := time.Now().Add(n.settings.Load().drainFor)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-drainReserve).Before(until) {
		until = deadline.Add(-drainReserve)
	}
	for slices.ContainsFunc(n.all(), (*link).isBehind) && time.Now().Before(until) && ctx.Err() == nil {
		time.Sleep(again)
	}
}

// Shutdown closes the doors, lets links send what waits on them, for 2 s at most, closes them, and returns when
// they are gone, or with ctx.
func (n *Node) Shutdown(ctx context.Context) error {
	n.mu.Lock()
	n.stopped = true
	for d := range n.doors {
		d.close()
	}
	n.mu.Unlock()
	n.drain(ctx)
	n.mu.Lock()
	for _, r := range n.remotes {
		r.stop(errShutdown)
	}
	n.remotes = nil
	for k := range n.links {
		k.conn.Close(errShutdown)
	}
	if len(n.links) > 0 && n.empty == nil {
		n.empty = make(chan struct{})
	}
	empty := n.empty
	n.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		n.running.Wait()
		if empty != nil {
			<-empty
		}
		close(gone)
	}()
	select {
	case <-gone:
		n.mu.Lock()
		joints := n.joints
		n.joints = make(map[*broker.Account]*joint)
		n.mu.Unlock()
		for _, j := range joints {
			j.close()
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("leafnode: links are still open: %w", ctx.Err())
	}
}

// admit takes a link into the list. False: no more are wanted. Of strangers there may be as many as
// there may be leaves; then the one that has been on its way for longest goes, or a few who never say
// anything would keep all others out.
func (n *Node) admit(k *link) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped {
		return false
	}
	to := dialing
	if k.door != nil {
		to = stranger
		if n.strangers >= n.settings.Load().MaxLinks {
			n.expelLocked()
		}
	}
	n.links[k] = true
	n.moveLocked(k, to)
	return true
}

// moveLocked notes how far a link has come.
func (n *Node) moveLocked(k *link, to standing) {
	if k.place == stranger {
		n.strangers--
	}
	if to == stranger {
		n.strangers++
	}
	k.place = to
}

func (n *Node) expelLocked() {
	var first *link
	for k := range n.links {
		if k.place == stranger && (first == nil || k.conn.ID() < first.conn.ID()) {
			first = k
		}
	}
	if first != nil {
		n.moveLocked(first, expelled)
		first.conn.Close(errCrowded)
	}
}

// left takes a link that is over out of the list, and tells.
func (n *Node) left(k *link, reason error, l lost) {
	if k.isCounted {
		n.turnstile.Leave(k.conn.RemoteAddr().Addr())
	}
	n.mu.Lock()
	n.moveLocked(k, nowhere)
	n.leaveOriginLocked(&k.facts)
	delete(n.links, k)
	n.keepLocked(k)
	if len(n.links) == 0 && n.empty != nil {
		close(n.empty)
		n.empty = nil
	}
	n.mu.Unlock()
	n.tellDown(k, reason, l)
	if n.events != nil && k.facts.account != "" {
		e := k.event()
		e.Stop = time.Now()
		if e.Reason, _ = explain(reason); errors.Is(reason, engine.ErrPeerClosed) {
			e.Reason = "Client Closed" // nats-server's word, of leaves too
		}
		n.events.Left(e)
	}
	if k.remote != nil {
		k.remote.linkEnded(k, reason)
	}
}

// jointOf is where an account meets its links.
func (n *Node) jointOf(a *broker.Account) *joint {
	n.mu.Lock()
	defer n.mu.Unlock()
	j := n.joints[a]
	if j == nil {
		j = newJoint(a)
		n.joints[a] = j
	}
	return j
}

// An origin is a cluster that has links to an account.
type origin struct {
	number uint32
	links  int
}

// enterOrigin numbers the cluster that a link comes from: what one of its members sends never goes to another.
// What a leaf calls itself is kept as long as it has a link, so that these are no more than there are links.
func (n *Node) enterOrigin(f *facts) {
	if f.cluster == "" {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	key := f.account + " " + f.cluster
	o := n.origins[key]
	if o == nil {
		n.numbered = max(n.numbered+1, 1) // 0 is for none
		o = &origin{number: n.numbered}
		n.origins[key] = o
	}
	o.links++
	f.origin = o.number
}

func (n *Node) leaveOriginLocked(f *facts) {
	if f.origin == 0 {
		return
	}
	key := f.account + " " + f.cluster
	if o := n.origins[key]; o.links > 1 {
		o.links--
	} else {
		delete(n.origins, key)
	}
}

// newNonce is what a leaf has to sign.
func newNonce() string {
	var b [11]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// A door is one listener.
type door struct {
	// Set before it is listened on, never written again.
	node *Node
	host string
	port int

	closed chan struct{} // Serve is to end
	once   sync.Once     // of closed
}

func (d *door) close() { d.once.Do(func() { close(d.closed) }) }

// Serve accepts leaves on ln until ctx is over or the Node is shut down. It closes ln.
func (n *Node) Serve(ctx context.Context, ln net.Listener) error {
	d := &door{node: n, closed: make(chan struct{})}
	if a, ok := ln.Addr().(*net.TCPAddr); ok {
		d.host, d.port = a.IP.String(), a.Port
	}
	n.mu.Lock()
	if n.stopped {
		n.mu.Unlock()
		ln.Close()
		return ErrStopped
	}
	n.doors[d] = true
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.doors, d)
		n.mu.Unlock()
	}()
	listener, err := n.engine.Listen(ln, d.open)
	if err != nil {
		ln.Close()
		return fmt.Errorf("leafnode: listen on %v: %w", ln.Addr(), err)
	}
	select {
	case <-ctx.Done():
	case <-d.closed:
	}
	if err := listener.Close(); err != nil {
		return fmt.Errorf("leafnode: close listener %v: %w", ln.Addr(), err)
	}
	return nil
}
