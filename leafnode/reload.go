package leafnode

import (
	"cmp"
	"slices"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
)

// What a reload does to links that are up. What can be changed in place is; what both sides have to
// agree on is by a new link, which the side that has dialled makes by itself.

// Reload replaces options and directory. Remotes that have changed are dialled anew, leaves that may
// not stay are closed; the others notice nothing.
func (n *Node) Reload(o Options, d *auth.Directory) error {
	set, err := newSettings(o, d)
	if err != nil {
		return err
	}
	n.install(set)
	n.changes.Add(1)
	n.mu.Lock()
	n.startLocked(set)
	links := n.linksLocked()
	n.mu.Unlock()
	for _, k := range links {
		k.conn.Post(func(*engine.Loop) { k.doReload() })
	}
	return nil
}

// accountChanged has the leaves of an account looked at, once operator mode knows more of it.
func (n *Node) accountChanged(a *auth.Account) {
	n.changes.Add(1)
	n.mu.Lock()
	links := slices.DeleteFunc(n.linksLocked(), func(k *link) bool { return k.door == nil || !k.isIn(a.Name) })
	n.mu.Unlock()
	for _, k := range links {
		k.conn.Post(func(*engine.Loop) { k.doReload() })
	}
}

// doReload has a link go by the newest settings, or closes it if it may not stay as it is.
func (k *link) doReload() {
	if k.peer == nil {
		return // it takes them when it comes up
	}
	set := k.node.settings.Load()
	why := k.recheck(set)
	if why == nil {
		why = k.conform(set)
	}
	if why != nil {
		k.close(why)
	}
}

// recheck finds out what has become of a leaf's user. Whose permissions are others begins anew.
func (k *link) recheck(set *settings) *closing {
	if k.door == nil {
		return nil
	}
	id, err := set.directory.Recheck(k.identity)
	if err != nil || !id.Admits(auth.LeafNode) || k.node.broker.Account(cmp.Or(id.Account, set.DefaultAccount)) != k.peer.Account() {
		return errNoLonger
	}
	if !id.Perms.Equal(k.identity.Perms) {
		return errNewPermissions
	}
	k.identity = id
	return k.bound(set)
}

// conform has a link that is up go by what settings say of all links.
func (k *link) conform(set *settings) *closing {
	f := &k.facts
	if k.door != nil && set.tooOld(f.version) {
		return tooOld(set.MinVersion, f.version)
	}
	if isolated := k.isIsolated(set); isolated != f.isolated {
		k.mu.Lock()
		f.isolated = isolated
		k.mu.Unlock()
		k.member.setIsolated(isolated)
	}
	if k.door != nil && set.MaxPayload != f.toldPayload {
		f.toldPayload = set.MaxPayload
		// What is on its way may be as long as was right when it left.
		k.parser.MaxPayload = max(k.parser.MaxPayload, set.MaxPayload)
		k.say(string(newAcceptor(k.door.acceptConfig(set, k.conn.ID(), "")).update()))
	}
	return k.recompress(k.compression())
}

// tooOld reports whether min_version keeps a leaf of this version out.
func (set *settings) tooOld(version string) bool {
	return set.MinVersion != "" && !atLeast(version, set.MinVersion)
}

// isIsolated reports whether the other side is to be told nothing of what other links want.
func (k *link) isIsolated(set *settings) bool {
	r := k.remote
	if r == nil {
		return set.Isolate || k.facts.alone
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.options.Isolate
}

// recompress goes by other options of compression. From one level of S2 to another each side goes when it
// likes; to S2, and away from it, they go together, while they shake hands.
func (k *link) recompress(c Compression) *closing {
	f := &k.facts
	if c.Same(f.own) {
		return nil
	}
	if !f.offers {
		// A leaf that was told "off" has not said what it could do.
		if c.Mode.framed() || c.Mode == ModeAccept {
			return errRenegotiate
		}
		return nil
	}
	mode, err := agree(c.Mode, f.offered)
	if err != nil || mode.framed() != f.mode.framed() {
		return errRenegotiate
	}
	f.own = c
	if mode.framed() {
		k.mu.Lock()
		k.level = newLevel(c, mode, k.rtt)
		k.mu.Unlock()
	}
	return nil
}
