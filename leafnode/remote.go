package leafnode

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/edgebus-io/edgebus/engine"
)

// A remote is a hub that we want to be joined with: it dials, waits for the link's end, and dials again.
type remote struct {
	// Set when made, never written again.
	node *Node
	ctx  context.Context
	end  context.CancelCauseFunc

	tried chan struct{} // told when the hub has let us in and answered a PING, for Try; nil: nobody waits

	over bool // nobody dials any more; under node.mu

	// run's alone.
	pool    *pool
	backoff backoff

	mu      sync.Mutex
	options Remote      // under mu
	link    *link       // that is up or on its way; under mu
	state   remoteState // under mu
	upAt    int64       // when the last link came up, on the engine's scale; 0: it did not; under mu
	learned []string    // other addresses of the hub; under mu
	given   *[2]limits  // what the hub let in and out last; nil: we have never joined it; under mu
}

// remoteState is what there is to say about a remote.
type remoteState struct {
	url      string // that is or was tried last, without secrets
	up       bool
	since    time.Time // when it came up, or went down
	attempts int       // since it was up
	reason   string    // why it is down
	remedy   string
	retryAt  time.Time
}

func newRemote(n *Node, o *Remote) (*remote, error) {
	set := n.settings.Load()
	p, err := newPool(o.URLs, o.NoRandomize, o.IgnoreDiscovered, rand.Shuffle)
	if err != nil {
		return nil, err
	}
	r := &remote{node: n, options: *o, pool: p, backoff: backoff{fixed: set.Reconnect}}
	r.ctx, r.end = context.WithCancelCause(context.Background())
	r.state.since = time.Now()
	return r, nil
}

// same reports whether o is this remote still, as far as the link depends on it.
func (r *remote) same(o *Remote) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine, theirs := r.options, *o
	// These change in place, see link.conform.
	mine.Compression, mine.Isolate = theirs.Compression, theirs.Isolate
	// Functions cannot be compared: what they make is read from files again at each attempt.
	mine.TLS, theirs.TLS, mine.Proxy.TLS, theirs.Proxy.TLS = nil, nil, nil, nil
	return !o.Disabled && (r.options.TLS == nil) == (o.TLS == nil) && reflect.DeepEqual(mine, theirs)
}

// renew takes what may change without a new link.
func (r *remote) renew(o *Remote) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.options = *o
}

// stop ends the remote and its link. It does not wait.
func (r *remote) stop(why error) { r.end(why) }

func (r *remote) compression(set *settings) Compression {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.options.Compression.Mode == ModeUnset {
		return set.Compression
	}
	return r.options.Compression
}

// account is the local account.
func (o *Remote) account() string { return cmp.Or(o.Account, "$G") }

// run dials until the remote is stopped.
func (r *remote) run() {
	for !r.isOver() {
		u := r.pool.next()
		drift := r.drift()
		err := r.attempt(u)
		if r.ctx.Err() != nil {
			return
		}
		var why *closing
		if errors.As(err, &why) && why.delay > 0 {
			r.backoff.atLeast(why.delay)
		}
		r.heed(u)
		if r.backoff.isUp {
			drift = r.drift() // a clock may drift far while a link is up
		}
		wait := r.backoff.failed(engine.Now(), rand.Int64N)
		r.note(u, err, wait)
		r.wait(wait, drift)
	}
}

// isOver reports whether nobody is to be dialled any more. Return looks at what it notes.
func (r *remote) isOver() bool {
	r.node.mu.Lock()
	defer r.node.mu.Unlock()
	r.over = r.ctx.Err() != nil || r.node.lame.Load()
	return r.over
}

const (
	// clockEvery is how often it is looked whether the clock was set while there is no link, and clockJump
	// what counts as that: attempts may have failed because certificates seemed not to be valid.
	clockEvery = 2 * time.Second
	clockJump  = time.Minute
)

// drift is how far the clock of the wall is ahead of the engine's, which nobody sets.
func (r *remote) drift() time.Duration {
	return time.Duration(r.node.settings.Load().Clock().UnixNano() - engine.Now())
}

// wait passes the time until the next attempt, or until the clock is set: its drift was another one when
// the last attempt began.
func (r *remote) wait(d, drift time.Duration) {
	for end := engine.Now() + int64(d); ; {
		if jump := r.drift() - drift; jump.Abs() >= clockJump {
			r.backoff.anew()
			r.node.log.Info("the clock was set: the hub is dialled at once", "by", jump.Round(time.Second))
			return
		}
		left := time.Duration(end - engine.Now())
		if left <= 0 {
			return
		}
		timer := time.NewTimer(min(left, clockEvery))
		select {
		case <-r.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// heed takes what the last link has brought: other addresses, and when it came up.
func (r *remote) heed(u *url.URL) {
	r.mu.Lock()
	learned, upAt := r.learned, r.upAt
	r.learned, r.upAt = nil, 0
	r.mu.Unlock()
	if len(learned) > 0 {
		r.pool.learn(learned, u)
	}
	if upAt != 0 {
		r.backoff.up(upAt)
	}
}

// attempt makes a link and returns when it has ended, or why there is none.
func (r *remote) attempt(u *url.URL) error {
	r.mu.Lock()
	o := r.options
	r.state.attempts++
	r.state.url = hideSecrets(u)
	r.mu.Unlock()
	set := r.node.settings.Load()
	sign, err := loadCredentials(&o, u)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.ctx, set.HandshakeTimeout)
	how := o.dialOptions(set)
	how.serverName = r.pool.serverName(u)
	d, err := dial(ctx, how, u)
	cancel()
	if err != nil {
		return err
	}
	k := &link{node: r.node, remote: r, started: time.Now(), rtt: d.rtt}
	k.ended, k.opened = make(chan error, 1), make(chan struct{})
	k.facts.address, k.facts.secure = d.address, d.tls != nil
	k.solicitor = newSolicitor(solicitConfig{
		serverID: set.ServerID, name: set.ServerName, cluster: set.cluster(), version: set.Version, account: o.account(), domain: set.Domain,
		hub: o.Hub, isolate: o.RequestIsolation, jetstream: set.JetStream, denyImports: o.DenyImports, compression: r.compression(set), sign: sign,
	})
	nc := d.conn
	if len(d.leftover) > 0 {
		nc = &prefixed{Conn: nc, first: d.leftover}
	}
	if err := r.node.engine.Adopt(nc, func(c *engine.Conn) engine.Session { return k.begin(c, set, d.info) }); err != nil {
		return err
	}
	select {
	case err = <-k.ended:
	case <-r.ctx.Done():
		select {
		case <-k.opened:
			k.conn.Close(context.Cause(r.ctx))
			err = <-k.ended
		case <-time.After(set.HandshakeTimeout): // the engine is being shut down
		}
	}
	return err
}

// dialOptions are what the hub is reached with.
func (o *Remote) dialOptions(set *settings) dialOptions {
	d := dialOptions{
		connect: cmp.Or(o.DialTimeout, set.DialTimeout), firstInfo: cmp.Or(o.FirstInfoTimeout, set.HandshakeTimeout), budget: set.HandshakeTimeout,
		clock: set.Clock, tls: o.TLS, tlsTimeout: o.TLSTimeout, secure: o.Secure, handshakeFirst: o.HandshakeFirst,
	}
	if o.Proxy.URL != "" {
		d.proxy = &o.Proxy
	}
	return d
}

// begin is the start of a link that we have dialled.
func (k *link) begin(c *engine.Conn, set *settings, first *info) engine.Session {
	defer close(k.opened)
	k.conn = c
	now := engine.Now()
	k.lastIn.Store(now)
	k.until = now + int64(set.HandshakeTimeout)
	k.parser = set.parser(first.MaxPayload)
	k.arm()
	if !k.node.admit(k) {
		c.Close(errShutdown)
		return k
	}
	k.remote.mu.Lock()
	k.remote.link = k
	k.remote.mu.Unlock()
	if err := k.heed(first); err != nil {
		c.Close(err)
	}
	return k
}

// linkUp notes that a link is up.
func (r *remote) linkUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.upAt = engine.Now()
	r.state.up, r.state.since, r.state.attempts, r.state.reason, r.state.remedy = true, time.Now(), 0, "", ""
}

// linkEnded lets run go on.
func (r *remote) linkEnded(k *link, reason error) {
	r.mu.Lock()
	r.link = nil
	wasUp := r.state.up
	r.state.up = false
	if wasUp {
		r.state.since = time.Now()
	}
	r.mu.Unlock()
	k.ended <- reason
}

// note remembers and tells why there is no link.
func (r *remote) note(u *url.URL, err error, wait time.Duration) {
	reason, remedy := explain(err)
	r.mu.Lock()
	o := r.options
	r.mu.Unlock()
	if why := o.flaw(err, u, r.node.settings.Load().Clock()); why != "" {
		remedy = why
	}
	r.mu.Lock()
	again := r.state.reason == reason && r.state.remedy == remedy
	r.state.reason, r.state.remedy, r.state.retryAt = reason, remedy, time.Now().Add(wait)
	attempts := r.state.attempts
	r.mu.Unlock()
	r.node.tellNoLink(r, u, reason, remedy, attempts, wait, again)
}

// flaw looks closer at what a hub refuses us for. Empty: there is nothing more to say.
func (o *Remote) flaw(err error, u *url.URL, now time.Time) string {
	var why *closing
	if errors.As(err, &why) {
		if why.reason == "Authentication Failure" {
			return credentialsFlaw(o, now)
		}
		return ""
	}
	var dialing *dialError
	var alert tls.AlertError
	if !errors.As(err, &dialing) && (errors.As(err, &alert) || strings.Contains(err.Error(), "remote error: tls")) {
		return explainTLS(err, u.Hostname(), now)
	}
	return ""
}

// explain splits an error into what is the matter and what to do.
func explain(err error) (reason, remedy string) {
	var why *closing
	var dialing *dialError
	switch {
	case err == nil:
		return "closed", ""
	case errors.As(err, &why):
		return why.reason, why.remedy
	case errors.As(err, &dialing):
		return dialing.stage + ": " + dialing.err.Error(), dialing.remedy
	case errors.Is(err, engine.ErrHandshake):
		return "TLS Handshake Failure", handshakeRemedy(err, time.Now())
	case errors.Is(err, engine.ErrPeerClosed):
		return "Connection Closed", "the other side, or something in between, closed the connection without a word"
	}
	return err.Error(), ""
}

// prefixed is a connection of which a little has been read already.
type prefixed struct {
	net.Conn
	first []byte
}

// NetConn is what it stands on.
func (p *prefixed) NetConn() net.Conn { return p.Conn }

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.first) > 0 {
		n := copy(b, p.first)
		p.first = p.first[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}
