//go:build linux

package differential

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// attempts makes up what peers try, mostly about subjects that the world says something of.
type attempts struct {
	*generator
	number  int
	inbox   int
	peers   []*attempting
	asked   int // steps since the last request
	entries []string
	queues  map[string]bool // names that have been used
	wanted  []string        // filters that somebody has subscribed to
}

// attempting is a peer and what it has subscribed to.
type attempting struct {
	name string
	user *user // nil: whoever no_auth_user or a token makes it
	sids []int
	bare bool // has not asked for headers
}

func newAttempts(g *generator) *attempts {
	a := &attempts{generator: g, asked: 100, queues: make(map[string]bool)}
	a.note()
	return a
}

func (a *attempts) step(peer, verb string, words ...string) step {
	a.number++
	return step{number: a.number, peer: peer, verb: verb, words: words}
}

// note remembers all permission entries that there are, see arrowHidden.
func (a *attempts) note() {
	var sets []*permissions
	sets = append(sets, a.w.defaults)
	for _, u := range a.w.users {
		sets = append(sets, u.permissions)
	}
	for _, account := range a.w.accounts {
		sets = append(sets, account.defaults, account.template)
	}
	for _, p := range sets {
		if p == nil {
			continue
		}
		for _, s := range []*subjects{p.publish, p.subscribe} {
			if s != nil {
				a.entries = append(append(a.entries, s.allow...), s.deny...)
			}
		}
	}
}

func (a *attempts) steps(n int) (steps []step) {
	if len(a.peers) == 0 {
		steps = a.arrive()
	}
	for range n {
		if a.chance(0.12) {
			steps = append(steps, a.story()...)
		}
		steps = append(steps, a.next())
	}
	return steps
}

// story goes through one import from end to end: chance alone seldom gets so far.
func (a *attempts) story() (steps []step) {
	if len(a.w.accounts) == 0 {
		return nil
	}
	account := a.w.accounts[a.IntN(len(a.w.accounts))]
	if len(account.imports) == 0 {
		return nil
	}
	i := account.imports[a.IntN(len(account.imports))]
	importer, exporter := a.member(account), a.member(i.from)
	if importer == nil || exporter == nil {
		return nil
	}
	if !i.service {
		return append(steps, a.subscribe(importer, i.localFilter()), a.step(exporter.name, a.verb(exporter), a.fill(i.subject)))
	}
	a.inbox++
	inbox := fmt.Sprintf("_INBOX.%s.%d", importer.name, a.inbox)
	local := a.fill(i.localFilter())
	return append(steps, a.subscribe(exporter, i.subject), a.step(importer.name, a.verb(importer), local, inbox), a.step("*", "answer"))
}

func (a *attempts) member(account *account) *attempting {
	var list []*attempting
	for _, p := range a.peers {
		if p.user != nil && p.user.account == account {
			list = append(list, p)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[a.IntN(len(list))]
}

// arrive lets everybody in who can come in, and some who cannot.
func (a *attempts) arrive() (steps []step) {
	for i, u := range a.w.users {
		p := &attempting{name: fmt.Sprint("p", i), user: u}
		a.peers = append(a.peers, p)
		steps = append(steps, a.login(p, a.chance(0.15)))
		if a.chance(0.3) {
			second := &attempting{name: fmt.Sprint("p", i, "b"), user: u}
			a.peers = append(a.peers, second)
			steps = append(steps, a.login(second, a.chance(0.3)))
		}
	}
	for i := range max(1, 3-len(a.peers)) {
		p := &attempting{name: fmt.Sprint("n", i)}
		a.peers = append(a.peers, p)
		steps = append(steps, a.login(p, a.chance(0.3)))
	}
	for _, p := range a.peers {
		steps = append(steps, a.subscribe(p, "_INBOX."+p.name+".*"))
	}
	for range 2 * len(a.peers) {
		p := a.peers[a.IntN(len(a.peers))]
		steps = append(steps, a.subscribe(p, a.interest(p)))
	}
	return steps
}

func (a *attempts) login(p *attempting, wrong bool) step {
	fields := map[string]any{"verbose": false, "pedantic": false, "protocol": 1, "headers": true, "no_responders": true, "name": p.name}
	if p.bare = a.chance(0.1); p.bare {
		fields["headers"], fields["no_responders"] = false, false
	}
	if a.chance(0.1) {
		fields["echo"] = false
	}
	switch u := p.user; {
	case u == nil && a.w.single != nil:
		fields["user"], fields["pass"] = a.w.single.name, a.w.single.password
	case u == nil && a.w.token != "":
		fields["auth_token"] = a.w.token
	case u == nil:
		// no credentials at all
	case a.w.mode == operatorMode:
		fields["jwt"] = u.jwt()
		if !u.bearer || a.chance(0.5) {
			fields["seed"] = u.key.seed()
		}
	case u.key != nil:
		fields["nkey"], fields["seed"] = u.key.public(), u.key.seed()
	default:
		fields["user"], fields["pass"] = u.name, u.password
	}
	if wrong {
		a.falsify(fields)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	return a.step(p.name, "login", string(text))
}

func (a *attempts) falsify(fields map[string]any) {
	stranger := newKey(userKey, "stranger")
	switch a.IntN(6) {
	case 0:
		for _, name := range []string{"pass", "seed", "auth_token", "jwt"} {
			delete(fields, name)
		}
	case 1:
		delete(fields, "auth_token")
		delete(fields, "jwt")
		fields["user"], fields["pass"] = "nobody", "pw0"
	case 2:
		fields["pass"], fields["auth_token"] = "wrong", "wrong"
	case 3:
		fields["seed"] = stranger.seed()
	case 4:
		if !slices.ContainsFunc(a.w.users, func(u *user) bool { return u.key != nil }) {
			return // nobody looks at keys then, until a reload does
		}
		for _, name := range []string{"user", "pass", "auth_token", "jwt"} {
			delete(fields, name)
		}
		fields["nkey"], fields["seed"] = stranger.public(), stranger.seed()
	case 5:
		fields["jwt"] = "eyJ0eXAiOiJKV1QifQ.e30.AAAA"
	}
}

// next is one attempt of anybody.
func (a *attempts) next() step {
	p := a.peers[a.IntN(len(a.peers))]
	a.asked++
	if a.asked <= 2 && a.chance(0.6) {
		return a.step("*", "answer")
	}
	switch n := a.IntN(20); {
	case n < 6:
		return a.subscribe(p, a.interest(p))
	case n < 7 && len(p.sids) > 0:
		words := []string{fmt.Sprint(p.sids[a.IntN(len(p.sids))])}
		if a.chance(0.4) && !a.importsStreams(p) { // with an import the reference never comes to the end
			words = append(words, fmt.Sprint(1+a.IntN(3)))
		}
		return a.step(p.name, "unsub", words...)
	case n < 13:
		return a.step(p.name, a.verb(p), a.target(p))
	case n < 18:
		a.asked, a.inbox = 0, a.inbox+1
		return a.step(p.name, a.verb(p), a.target(p), fmt.Sprintf("_INBOX.%s.%d", p.name, a.inbox))
	case n < 19 && a.chance(0.3):
		return a.step(p.name, "big", a.target(p))
	case n < 19:
		return a.step(p.name, "answer")
	}
	if a.chance(0.4) {
		p.sids = nil
		return a.login(p, a.chance(0.3))
	}
	return a.step(p.name, "pub", a.target(p), a.literal())
}

func (a *attempts) verb(p *attempting) string {
	if a.chance(0.15) && !p.bare { // who publishes headers all the same is let go

		return "hpub"
	}
	return "pub"
}

func (a *attempts) subscribe(p *attempting, filter string) step {
	if a.arrowHidden(filter) {
		filter = strings.TrimSuffix(filter, ">") + "x"
	}
	words := []string{filter}
	switch n := a.IntN(10); {
	case n < 1:
		words = append(words, fmt.Sprint("q.u", a.number)) // alone in its queue: one can say what it gets
	case n < 4:
		words = append(words, a.pick("q1", "q2", "q.a", "q.a.b"))
	}
	if len(words) == 2 {
		a.mark(fSharedQueue, a.queues[words[1]])
		a.queues[words[1]] = true
	}
	if !strings.HasPrefix(filter, "_INBOX") {
		a.wanted = append(a.wanted, filter)
	}
	s := a.step(p.name, "sub", words...)
	p.sids = append(p.sids, s.number)
	return s
}

// arrowHidden reports a filter that ends in > where a permission has a star: the reference takes the
// star for anything, the arrow included; the differences page of the transcripts says why edgebus
// does not.
func (a *attempts) arrowHidden(filter string) bool {
	if !strings.HasSuffix(filter, ">") {
		return false
	}
	at := strings.Count(filter, ".")
	for _, entry := range a.entries {
		entry, _, _ = strings.Cut(entry, " ")
		if words := strings.Split(entry, "."); at < len(words) && words[at] == "*" {
			return true
		}
	}
	return false
}

// interest is what a peer may want to subscribe to.
func (a *attempts) interest(p *attempting) string {
	list := a.known()
	if own := a.own(p); len(own) > 0 && a.chance(0.6) {
		list = own
	}
	switch {
	case a.chance(0.15):
		return a.filter()
	case a.chance(0.3):
		return a.fill(list[a.IntN(len(list))])
	}
	return list[a.IntN(len(list))]
}

// target is what a peer may want to publish to.
func (a *attempts) target(p *attempting) string {
	own, known := a.own(p), a.known()
	switch {
	case a.chance(0.4) && len(own) > 0:
		return a.fill(own[a.IntN(len(own))])
	case a.chance(0.5) && len(a.wanted) > 0:
		return a.fill(a.wanted[a.IntN(len(a.wanted))])
	case a.chance(0.8):
		return a.fill(known[a.IntN(len(known))])
	}
	return a.literal()
}

// account is where a peer belongs; nil if there are no accounts.
func (a *attempts) account(p *attempting) *account {
	switch {
	case p.user != nil:
		return p.user.account
	case a.w.noAuth != nil:
		return a.w.noAuth.account
	}
	return nil
}

func (a *attempts) own(p *attempting) []string {
	if account := a.account(p); account != nil {
		return account.own()
	}
	return nil
}

// importsStreams also holds for who may turn into a user of any account by failing to be its own.
func (a *attempts) importsStreams(p *attempting) bool {
	account := a.account(p)
	return account != nil && (len(account.imports) > 0 || a.w.noAuth != nil)
}

// known are the filters that occur in the world.
func (a *attempts) known() []string {
	list := []string{"a.x", "s.x", "m.x"}
	for _, entry := range a.entries {
		entry, _, _ = strings.Cut(entry, " ")
		if !strings.ContainsAny(entry, "{") {
			list = append(list, entry)
		}
	}
	for _, m := range a.w.mappings {
		list = append(list, m.source)
	}
	for _, account := range a.w.accounts {
		list = append(list, account.own()...)
	}
	return list
}

// starred writes references as the wildcards that they stand for.
func starred(subject string) string {
	words := strings.Split(subject, ".")
	for i, word := range words {
		if strings.HasPrefix(word, "$") {
			words[i] = "*"
		}
	}
	return strings.Join(words, ".")
}

// change makes the world another one, for a reload.
func (a *attempts) change() {
	w := a.w
	for range 1 + a.IntN(3) {
		switch n := a.IntN(8); {
		case n < 3 && len(w.users) > 0:
			w.users[a.IntN(len(w.users))].permissions = a.permissions()
		case n == 3 && len(w.users) > 1 && w.mode != operatorMode:
			a.remove(w.users[a.IntN(len(w.users))])
		case n == 4 && len(w.users) > 0:
			u := w.users[a.IntN(len(w.users))]
			u.password += "!"
			u.revoked = true
		case n == 5 && len(w.accounts) > 0:
			if account := w.accounts[a.IntN(len(w.accounts))]; len(account.imports) > 0 {
				account.imports = account.imports[1:]
			}
		case n == 6 && len(w.accounts) > 0:
			w.accounts[a.IntN(len(w.accounts))].mappings = a.mappings()
		case w.mode == tokenMode && w.token != "" && a.chance(0.5):
			w.token += "!"
		case w.mode == usersMode || w.mode == tokenMode:
			w.mappings = a.mappings()
		}
	}
	w.payload++
	a.note()
}

func (a *attempts) remove(u *user) {
	w := a.w
	if u == w.noAuth || u.account != nil && len(u.account.users) < 2 {
		return
	}
	is := func(each *user) bool { return each == u }
	w.users = slices.DeleteFunc(slices.Clone(w.users), is)
	if u.account != nil {
		u.account.users = slices.DeleteFunc(slices.Clone(u.account.users), is)
	}
}
