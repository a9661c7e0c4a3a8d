package daemon

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/leafnode"
	"github.com/edgebus-io/edgebus/monitor"
)

var _ adapter = (*leafnode.Node)(nil)

// makeLeaf makes the part that has the leaf links. It dials nobody yet.
func (d *Daemon) makeLeaf() (err error) {
	d.introduceLeaf(&d.options)
	d.leaf, err = leafnode.New(d.options.Leaf.Options, d.broker, d.engine, d.leafDirectory, d.logger)
	return err
}

// introduceLeaf says who we are.
func (d *Daemon) introduceLeaf(o *Options) {
	n := &o.Leaf.Options
	n.ServerName, n.ServerID, n.Version = d.server.Name(), d.server.ID(), d.server.Status().Version
	n.Slowdown, n.Turnstile, n.Events = &d.slowdown, &d.turnstile, leafEvents{d}
}

// listenLeaf takes the address for leaves, if there is to be one.
func (d *Daemon) listenLeaf() error {
	o := &d.options.Leaf
	if o.Port == 0 {
		return nil
	}
	host := d.options.leafHost()
	if o.Host == "" && host == loopbackHost {
		d.logger.Info("Only this machine can join as a leaf, because no authorization is configured: add leafnodes.authorization, or a host to leafnodes.listen")
	}
	ln, err := d.openDoor(doorLeafnodes, host, o.Port)
	if err != nil {
		return fmt.Errorf("leafnodes: %w (%s)", err, listenRemedy(err))
	}
	d.leafListener = ln
	d.sockets = append(d.sockets, socket{doorLeafnodes, ln})
	shown := ln.Addr().String()
	if tcp, ok := ln.Addr().(*net.TCPAddr); ok {
		shown = net.JoinHostPort(host, strconv.Itoa(tcp.Port))
	}
	d.logger.Info("Listening for leafnode connections on " + shown)
	if warning := d.options.unguardedLeaf(); warning != "" {
		d.logger.Warn(warning)
	}
	return nil
}

// serveLeaf lets leaves in and begins to dial hubs.
func (d *Daemon) serveLeaf(ctx context.Context) {
	d.leaf.Start()
	if d.leafListener == nil {
		return
	}
	d.leafServing = true
	d.serveLeafOn(ctx, d.leafListener)
}

// serveLeafOn lets leaves in at a socket.
func (d *Daemon) serveLeafOn(ctx context.Context, ln net.Listener) {
	d.doors.Go(func() {
		if err := d.leaf.Serve(ctx, ln); err != nil {
			d.logger.Error("Leaves cannot join any more", "error", err)
		}
	})
}

// closeLeaf ends all links, after the clients' door and before the engine.
func (d *Daemon) closeLeaf(ctx context.Context) error {
	if d.leafListener != nil && !d.leafServing {
		d.leafListener.Close()
	}
	if d.leaf == nil {
		return nil
	}
	return d.leaf.Shutdown(ctx)
}

// reloadLeaf applies the block's changes.
func (d *Daemon) reloadLeaf(o *Options, next *Loaded) error {
	d.introduceLeaf(o)
	return d.leaf.Reload(o.Leaf.Options, next.leafDirectory)
}

// leafVarz is what /varz says of the block.
func (o *Options) leafVarz(port int) (v monitor.LeafVarz) {
	l := &o.Leaf
	if l.Port != 0 {
		v.Host, v.Port, v.AuthTimeout = cmp.Or(l.Host, anyHost), port, cmp.Or(l.Auth.Timeout, l.HandshakeTimeout, leafnode.DefaultHandshakeTimeout).Seconds()
		if t := l.Options.TLS; t != nil {
			v.TLSRequired, v.TLSVerify, v.TLSTimeout = true, t.Verify, t.Security.Timeout.Seconds()
		}
	}
	for i := range l.Remotes {
		r := &l.Remotes[i]
		row := monitor.RemoteVarz{Account: cmp.Or(r.Account, auth.GlobalAccount), URLs: leafnode.ShownURLs(r.URLs)}
		if r.TLS != nil {
			row.TLSTimeout = r.TLS.Timeout.Seconds()
		}
		if len(r.DenyImports)+len(r.DenyExports) > 0 {
			row.Deny = &monitor.DenyRules{Exports: r.DenyExports, Imports: r.DenyImports}
		}
		v.Remotes = append(v.Remotes, row)
	}
	return v
}

// leafPort is the port that leaves join at; 0: none.
func (d *Daemon) leafPort() int {
	if d.leafListener == nil {
		return 0
	}
	tcp, ok := d.leafListener.Addr().(*net.TCPAddr)
	if !ok {
		return 0
	}
	return tcp.Port
}

// leafz is the page of leaf links.
func (p pages) leafz(o monitor.LeafzOptions) *monitor.Leafz {
	page := &monitor.Leafz{ServerID: p.d.server.ID(), Now: time.Now().UTC(), Leafs: []monitor.Leaf{}}
	s := p.d.leaf.Links(o.Subscriptions)
	for i := range s.Links {
		if k := &s.Links[i]; o.Account == "" || k.Account == o.Account {
			row := leafRow(k)
			for _, sub := range k.Subs {
				row.Subs = append(row.Subs, sub.Subject)
			}
			page.Leafs = append(page.Leafs, row)
		}
	}
	page.Count = len(page.Leafs)
	page.TooBig, page.LostWaiting, page.LostUnconfirmed = s.TooBig, s.LostWaiting, s.LostUnconfirmed
	for i := range s.Remotes {
		page.Remotes = append(page.Remotes, remoteRow(&s.Remotes[i]))
	}
	return page
}

// leafRow is one link. What follows Compression is ours, the rest is nats-server's.
func leafRow(k *leafnode.LinkSnapshot) monitor.Leaf {
	return monitor.Leaf{
		ID: k.ID, Name: k.Name, IsSpoke: k.Spoke, IsIsolated: k.Isolated, Account: k.Account,
		IP: k.Remote.Addr().String(), Port: int(k.Remote.Port()), RTT: k.RTT.String(),
		InMsgs: int64(k.InMsgs), OutMsgs: int64(k.OutMsgs), InBytes: int64(k.InBytes), OutBytes: int64(k.OutBytes),
		Subscriptions: uint32(k.Subscriptions), Compression: k.Compression,
		Link: &monitor.LeafLink{
			Solicited: k.Solicited, TheirAccount: k.TheirAccount, Uptime: time.Since(k.Start).Round(time.Second).String(), Announced: k.Announced,
			WaitingMsgs: k.WaitingMsgs, WaitingBytes: k.WaitingBytes, UnconfirmedMsgs: k.UnconfirmedMsgs, UnconfirmedBytes: k.UnconfirmedBytes,
			Window: k.Window, ReceiptAge: shownAge(k.ReceiptAge), LastIn: shownAge(k.LastIn), Dropped: k.Dropped,
			RawIn: k.RawIn, WireIn: k.WireIn, RawOut: k.RawOut, WireOut: k.WireOut,
		},
	}
}

// shownAge is a time ago; nothing if there was none.
func shownAge(d time.Duration) string {
	if d < 0 {
		return ""
	}
	return d.Round(time.Millisecond).String()
}

func remoteRow(r *leafnode.RemoteSnapshot) monitor.LeafRemote {
	row := monitor.LeafRemote{
		URL: r.URL, Account: r.Account, Up: r.Up, Since: r.Since.UTC(), Attempts: r.Attempts, Reason: r.Reason, Remedy: r.Remedy,
	}
	if !r.Up && !r.RetryAt.IsZero() {
		retry := r.RetryAt.UTC()
		row.RetryAt = &retry
	}
	return row
}
