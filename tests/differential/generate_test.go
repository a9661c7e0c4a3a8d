//go:build linux

package differential

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// A generator makes up one scenario of a seed.
type generator struct {
	*rand.Rand
	seed     uint64
	features map[feature]bool
	w        *world
}

// modes is how often each mode comes: by turns, so that the quotas do not hang on chance.
var modes = [20]mode{
	tokenMode, operatorMode, usersMode, tokenMode, accountsMode, operatorMode, accountsMode, operatorMode, usersMode, tokenMode,
	accountsMode, operatorMode, usersMode, operatorMode, accountsMode, operatorMode, usersMode, tokenMode, accountsMode, operatorMode,
}

// generate makes the scenario of a seed, and names what occurs in it.
func generate(seed uint64) (*scenario, map[feature]bool) {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), seed: seed, features: make(map[feature]bool)}
	g.w = g.world(modes[seed%uint64(len(modes))])
	s := &scenario{configs: []string{g.w.text()}}
	a := newAttempts(g)
	s.steps = a.steps(g.IntN(10) + 30)
	if g.w.reloads() && g.chance(0.5) {
		g.features[fReload] = true
		if a.change(); g.chance(0.15) {
			g.w.wrong = g.pick("nonsense: 1\n", "no_auth_user: nobody\n", "mappings: { \"m..x\": \"a\" }\n") // all stays as it was
		}
		s.configs = append(s.configs, g.w.text())
		s.steps = append(s.steps, a.step("*", "reload", "1"))
		s.steps = append(s.steps, a.steps(g.IntN(5)+10)...)
	}
	return s, g.features
}

func (g *generator) chance(p float64) bool { return g.Float64() < p }

func (g *generator) pick(from ...string) string { return from[g.IntN(len(from))] }

// mark notes a feature and passes a condition on.
func (g *generator) mark(f feature, is bool) bool {
	if is {
		g.features[f] = true
	}
	return is
}

var names = []string{"ann", "bob", "cid", "dan", "eve", "fay", "gus", "hal"}

func (g *generator) world(m mode) *world {
	w := &world{mode: m, payload: 100_000 + g.IntN(1000)}
	g.w = w
	switch m {
	case tokenMode:
		g.tokenWorld(w)
	case usersMode:
		for i := range 2 + g.IntN(3) {
			w.users = append(w.users, g.user(i))
		}
		if g.mark(fDefaults, g.chance(0.6)) {
			w.defaults = g.permissions()
		}
	case accountsMode, operatorMode:
		g.features[fAccounts] = true
		g.accounts(w)
	}
	if m != operatorMode && m != accountsMode && g.chance(0.7) {
		w.mappings = g.mappings()
	}
	if m == usersMode || m == accountsMode {
		if g.mark(fNoAuth, g.chance(0.5)) {
			w.noAuth = w.users[g.IntN(len(w.users))]
		}
	}
	if g.mark(fWrong, g.seed%7 == 0) {
		g.spoil(w)
	}
	return w
}

func (g *generator) tokenWorld(w *world) {
	if g.chance(0.15) {
		w.single = &user{name: "ann", password: "pw"}
		return
	}
	g.features[fToken] = true
	w.token = "s3cr3t"
	if g.mark(fDefaults, g.chance(0.5)) {
		w.defaults = g.permissions()
	}
}

func (g *generator) user(i int) *user {
	u := &user{name: names[i%len(names)], password: fmt.Sprint("pw", i)}
	if g.w.mode == operatorMode {
		g.jwtUser(u)
	} else if g.mark(fNKey, g.chance(0.3)) {
		u.key = newKey(userKey, fmt.Sprint(g.seed, u.name))
	} else if u.hashed = g.mark(fHashed, g.chance(0.25)); u.hashed {
		u.password = hashedPassword
	}
	if g.chance(0.85) {
		u.permissions = g.permissions()
	}
	if g.mark(fTypes, g.chance(0.15)) {
		u.types = [][]string{{"STANDARD"}, {"STANDARD", "WEBSOCKET"}, {"STANDARD", "MQTT"}, {"MQTT", "LEAFNODE"}}[g.IntN(4)]
	}
	return u
}

func (g *generator) jwtUser(u *user) {
	g.features[fJWT] = true
	u.key = newKey(userKey, fmt.Sprint(g.seed, u.name))
	u.bearer = g.mark(fBearer, g.chance(0.25))
	u.expired = g.mark(fExpired, g.chance(0.2))
	u.tags = []string{g.pick("team:a", "team:b"), "other"}[:g.IntN(3)]
	u.revoked = g.mark(fRevoked, g.chance(0.21))
	switch n := g.IntN(20); {
	case n < 4:
		u.signer = bySigningKey
		g.features[fSigning] = true
	case n < 10:
		u.signer = byScopedKey
		g.features[fScoped] = true
	case n < 11 && g.chance(0.5):
		u.signer = byStranger
	}
	if g.mark(fUserLimits, g.chance(0.2)) {
		u.subscriptions = []int{0, 3, 6}[g.IntN(3)]
		u.payload = []int{0, 100, 3}[g.IntN(3)]
	}
	if g.chance(0.1) {
		u.source = g.pick("127.0.0.0/8", "10.0.0.0/8")
	}
}

func (g *generator) permissions() *permissions {
	p := &permissions{}
	if g.chance(0.8) {
		p.publish = g.subjects(false)
	}
	if g.chance(0.8) {
		p.subscribe = g.subjects(true)
	}
	if g.mark(fResponses, g.chance(0.3)) {
		p.responses = &responses{expires: "1m"}
		if g.chance(0.5) {
			p.responses.max = 1 + g.IntN(3)
		}
	}
	return p
}

func (g *generator) subjects(queues bool) *subjects {
	s := &subjects{}
	some := func() (list []string) {
		for range 1 + g.IntN(3) {
			subject := g.filter()
			g.mark(fWildcard, strings.ContainsAny(subject, "*>"))
			if queues && g.mark(fQueue, g.chance(0.3)) {
				subject += " " + g.pick("q1", "q2", "q.*", "q.>", "q*", ">")
			}
			list = append(list, subject)
		}
		return list
	}
	form := g.IntN(10)
	if g.mark(fAllow, form < 8) {
		s.allow = some()
		if queues && g.chance(0.5) {
			s.allow = append(s.allow, "_INBOX.>")
		}
	}
	if g.mark(fDeny, form >= 5) {
		s.deny = some()
	}
	return s
}

// The words of subjects are few, so that they meet.
func (g *generator) word() string { return g.pick("x", "y", "z") }

func (g *generator) first() string { return g.pick("a", "b", "s", "m", "i") }

func (g *generator) literal() string {
	words := []string{g.first()}
	for range 1 + g.IntN(2) {
		words = append(words, g.word())
	}
	return strings.Join(words, ".")
}

// filter is a subject that may have wildcards.
func (g *generator) filter() string {
	words := strings.Split(g.literal(), ".")
	for i := range words {
		if i > 0 && g.chance(0.4) || g.chance(0.05) {
			words[i] = "*"
		}
	}
	if g.chance(0.3) {
		words[len(words)-1] = ">"
	}
	if g.chance(0.04) {
		return ">"
	}
	return strings.Join(words, ".")
}

// fill makes a subject that a filter covers.
func (g *generator) fill(filter string) string {
	words := strings.Split(filter, ".")
	for i, word := range words {
		switch {
		case word == "*" && i == 0:
			words[i] = g.first()
		case word == "*":
			words[i] = g.word()
		case word == ">" && i == 0:
			words[i] = g.literal()
		case word == ">":
			words[i] = g.pick("x", "y", "z", "x.y", "z.z")
		}
	}
	return strings.Join(words, ".")
}

func (g *generator) mappings() (list []mapping) {
	g.features[fMapping] = true
	for range 1 + g.IntN(3) {
		m := mapping{source: g.pick("m.*", "m.*.*", "m.x", "m.>", "a.x", "m.y.*", "b.*"), weight: 100}
		// Of two that match the reference takes either: it goes through them in the order of a map.
		if slices.ContainsFunc(list, func(other mapping) bool { return filtersMeet(m.source, other.source) }) {
			continue
		}
		var destinations []string
		switch strings.Count(m.source, "*") {
		case 0:
			destinations = []string{"a.y", "b.z.x", "a.z"}
			if strings.HasSuffix(m.source, ">") {
				destinations = []string{"a.>", "b.x.>"}
			}
		case 1:
			destinations = []string{"a.$1", "b.{{wildcard(1)}}.x", "a.{{partition(3,1)}}.$1", "b.x.{{partition(4,1)}}", "a.x.{{split(1,-)}}", "a.{{left(1,1)}}.y", "a.z"}
		case 2:
			destinations = []string{"a.$2.$1", "b.{{wildcard(2)}}", "a.{{partition(5,1,2)}}", "b.$1.{{partition(2,2)}}", "a.$1"}
		}
		m.destinations = []string{g.pick(destinations...)}
		g.mark(fPartition, strings.Contains(m.destinations[0], "partition"))
		if g.w.mode != operatorMode && g.chance(0.5) {
			m.weight = 0
		}
		g.mark(fWeight, m.weight != 0)
		list = append(list, m)
	}
	return list
}

// spoil makes a world wrong in one of many ways. Some are wrong for one server only if it is.
func (g *generator) spoil(w *world) {
	switch m := w.mode; {
	case m == operatorMode:
		if w.trusted = false; g.chance(0.3) {
			w.wrong = "accounts { X { users: [{user: x, password: y}] } }\n"
			return
		}
		w.wrong = g.pick("no_auth_user: nobody\n", "mappings: { \"m.*\": \"a.$2\" }\n",
			"trusted_keys: [\"OABC\"]\n", "resolver_preload: { AXX: \"x.y.z\" }\n")
	case m == accountsMode && g.chance(0.7):
		w.wrong = g.pick(
			"system_account: NOBODY\n", "system_account: A\n",
			"no_auth_user: nobody\n",
			"accounts { A { users: [{user: x1, password: y}], exports: [{stream: \"a.>\"}, {service: \"a.b\", response_type: often}] } }\n",
			"accounts { A { users: [{user: x1, password: y}], imports: [{stream: {account: B, subject: \"nothing.here\"}}] }, B {} }\n",
			"accounts { A { imports: [{service: {account: B, subject: a}}], exports: [{service: a}] }, B { imports: [{service: {account: A, subject: a}}], exports: [{service: a}] } }\n",
			"accounts { A { users: [{user: same, password: y}] }, B { users: [{user: same, password: y}] } }\n",
			"accounts { A { exports: [{stream: a, account_token_position: 1}] } }\n",
			"accounts { A { exports: [{stream: a}], limits: {max_payload: 12} }, B { imports: [{stream: {account: A, subject: a}, to: \"x.$1\"}] } }\n",
			"accounts { A { mappings: { \"a\": [{destination: b, weight: 60%}, {destination: c, weight: 60%}] } } }\n",
		)
	default:
		w.wrong = g.pick(
			"no_auth_user: nobody\n", "mappings: { \"m.*\": \"a.$2\" }\n", "mappings: { \"m..x\": \"a\" }\n",
			"mappings: { \"m\": [{destination: b, weight: 60%}, {destination: c, weight: 60%}] }\n",
			"authorization { users: [{user: a, password: b, permissions: {publish: [\"a..b\"]}}] }\n",
			"authorization { users: [{user: a, password: b, permissions: {publish: {allow: \"a\", denied: \"b\"}}}] }\n",
			"authorization { token: a, users: [{user: a, password: b}] }\n",
			"authorization { users: [{user: a, password: b}, {user: a, password: c}] }\n",
			"authorization { users: [{nkey: UABC}] }\n",
			"authorization { users: [{user: a, password: b, allowed_connection_types: [NONSENSE]}] }\n",
			"authorization { users: [{user: a, password: b, permissions: {subscribe: [\"a b c\"]}}] }\n",
			"nonsense: 1\n",
		)
	}
}
