package leafnode

import (
	"math"
	"reflect"
	"time"

	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// joinHub is the end of the handshake where we have dialled.
func (k *link) joinHub() error {
	i, r := k.solicitor.remote(), k.remote
	r.mu.Lock()
	o := r.options
	r.mu.Unlock()
	set := k.node.settings.Load()
	account := k.node.broker.Account(o.account())
	f := &k.facts
	f.account, f.system = account.Name(), account.Name() == set.directory.SystemAccount()
	f.name, f.serverID, f.cluster, f.version, f.theirs = i.ServerName, i.ServerID, i.Cluster, i.Version, i.RemoteAccount
	f.hub, f.isolated, f.headers, f.mode = !o.Hub, o.Isolate, i.Headers, k.solicitor.mode()
	k.takes(i)
	f.own, f.offered, f.offers = k.solicitor.config.compression, k.solicitor.offered, true
	var err error
	if k.filter, err = filterOf(i, &o, f.system); err != nil {
		return k.failWith(err)
	}
	k.given = i.limits()
	if r.gives(k.given) {
		k.node.tellGiven(k)
	}
	if other := k.node.circular(k); other != nil {
		if !other.yieldsTo(set.ServerID) {
			return k.fail(loopOf(f.account))
		}
		other.mu.Lock()
		other.over = true // nothing goes out by both
		other.mu.Unlock()
		other.conn.Post(func(*engine.Loop) { other.close(loopOf(f.account)) })
	}
	if err := k.settle(account); err != nil {
		return err
	}
	if err := k.enter(account); err != nil {
		return err
	}
	r.learn(i)
	r.linkUp()
	if r.tried != nil {
		k.careAt = engine.Now() + int64(tryPing)
		k.arm()
	}
	return nil
}

// filterOf is what may cross a link to a hub.
func filterOf(i *info, o *Remote, system bool) (*filter, error) {
	return newFilter(i.Import.limits(), i.Export.limits(), o.DenyImports, o.DenyExports, system, false)
}

// limits are what the hub lets in and out, by its INFO.
func (i *info) limits() [2]limits { return [2]limits{i.Import.limits(), i.Export.limits()} }

// sameMoment is how young a link is that was made while we dialled the other way.
const sameMoment = 5 * time.Second

// yieldsTo reports whether a leaf's link makes way for ours to the same server. Of two that dial each other at
// the same moment one has to keep its link, or both cut what they have and stay apart for 30 s. A leaf that
// was let in before we dialled anybody was told of no cluster: by its link it would tell us our own mark over ours.
func (k *link) yieldsTo(serverID string) bool {
	return k.facts.toldCluster != "" && serverID < k.facts.serverID && time.Since(k.started) < sameMoment
}

// circular is the link by which the hub that we join has joined us, in the same account; nil: there is
// none. Neither side would see its own mark come back, since marks are not told to those that they come from.
func (n *Node) circular(k *link) *link {
	if k.facts.cluster == "" {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for other := range n.links {
		if other != k && other.door != nil && other.isIn(k.facts.account) && other.facts.cluster == k.facts.cluster {
			return other
		}
	}
	return nil
}

// isIn reports whether a link has its place in an account. Under Node.mu.
func (k *link) isIn(account string) bool { return k.place == joined && k.facts.account == account }

// settle gives a link that is let in its place, before it is told so: of two servers that dial each
// other at the same moment one sees the other's link for that reason.
func (k *link) settle(account *broker.Account) error {
	old, why := k.node.settle(k, account)
	if why != nil {
		return k.fail(why)
	}
	if old != nil {
		k.node.tellDuplicate(k, old)
		old.conn.Post(func(*engine.Loop) { old.close(errDuplicate) })
	}
	return nil
}

// enter puts a link into its account: messages and interest cross from now on.
func (k *link) enter(account *broker.Account) error {
	n, f := k.node, &k.facts
	n.enterOrigin(f)
	k.peer = account.Attach(nil, k, broker.Traits{Remote: true, NoEcho: true, Up: f.hub, Origin: f.origin})
	k.member = &member{peer: k.peer, hub: f.hub, isolated: f.isolated, filter: k.filter.tell, notify: k.askFlush}
	now := engine.Now()
	set := n.settings.Load()
	if err := n.jointOf(account).join(k.member); err != nil {
		return k.failWith(err)
	}
	k.mu.Lock()
	k.receipts = newReceipts(now)
	k.pace.begin(now)
	k.up = true
	k.mu.Unlock()
	k.acceptor, k.solicitor = nil, nil
	why := k.bound(set)
	if why == nil {
		why = k.conform(set) // it may have begun before a reload
	}
	if why != nil {
		return k.fail(why)
	}
	k.careAt = now + min(int64(firstPing), int64(set.DeadAfter)/careParts)
	k.arm()
	n.tellUp(k)
	if n.events != nil {
		n.events.Joined(k.event())
	}
	k.flush()
	return nil
}

// settle looks for a link of the same name, which goes, and for limits.
func (n *Node) settle(k *link, account *broker.Account) (old *link, why *closing) {
	most := int64(0)
	if rules := account.Rules(); rules != nil {
		most = rules.Limits.MaxLeafNodes
	}
	f := &k.facts
	n.mu.Lock()
	defer n.mu.Unlock()
	count, leaves := int64(0), 0
	for other := range n.links {
		if other.door != nil && other.place == joined {
			leaves++
		}
		if other == k || !other.isIn(f.account) {
			continue
		}
		g := &other.facts
		if k.door != nil && other.door != nil && f.theirs != "" && g.name == f.name && g.cluster == f.cluster && g.theirs == f.theirs {
			old = other
			leaves--
			continue
		}
		count++
	}
	if most != 0 && count >= most {
		return nil, errMaxAccountLinks
	}
	if k.door != nil && leaves >= n.settings.Load().MaxLinks {
		return nil, errMaxLinks
	}
	if old != nil {
		n.moveLocked(old, expelled) // or the next of this name would find it once more, and leave k
	}
	if k.door != nil {
		// Not earlier: whoever is told of no cluster is there for circular before we dial anybody.
		f.toldCluster = n.settings.Load().toldCluster()
	}
	n.moveLocked(k, joined)
	return old, nil
}

// takes notes how large a message the hub takes, by its newest INFO.
func (k *link) takes(i *info) (changed bool) {
	most := int32(min(i.MaxPayload, math.MaxInt32))
	if most <= 0 || most == k.maxPayload.Load() {
		return false
	}
	k.maxPayload.Store(most)
	k.parser.MaxPayload = max(k.parser.MaxPayload, k.node.settings.Load().parser(i.MaxPayload).MaxPayload)
	return true
}

// doInfo takes an INFO of a link that is up: the hub's addresses, our permissions, or what it takes have changed.
// It is not answered.
func (k *link) doInfo(args []byte) error {
	i, err := parseInfo(args)
	if err != nil {
		return k.garbage(err)
	}
	if k.remote == nil {
		return nil
	}
	r := k.remote
	r.learn(&i)
	if k.takes(&i) {
		k.node.log.Info("the hub takes messages of another length", append(k.attrs(), "max_payload", i.MaxPayload)...)
	}
	given := i.limits()
	if i.Import == nil && i.Export == nil || reflect.DeepEqual(given, k.given) {
		return nil
	}
	if k.refused {
		return errPermissions // what was refused may be allowed now, and the hub does not say it again
	}
	k.given = given
	r.gives(given)
	k.node.tellGiven(k)
	r.mu.Lock()
	o := r.options
	r.mu.Unlock()
	f, err := filterOf(&i, &o, k.facts.system)
	if err != nil {
		return k.failWith(err)
	}
	k.mu.Lock()
	k.filter = f
	k.mu.Unlock()
	k.member.setFilter(f.tell)
	return nil
}

// gives notes what the hub lets in and out, and reports whether that was something else on the last link.
func (r *remote) gives(given [2]limits) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	changed = r.given != nil && !reflect.DeepEqual(*r.given, given)
	r.given = &given
	return changed
}

// learn notes where else the hub can be reached.
func (r *remote) learn(i *info) {
	if len(i.LeafURLs) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.learned = append(r.learned[:0], i.LeafURLs...)
}
