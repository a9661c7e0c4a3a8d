package leafnode

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
)

func TestHandshakesAsTheTranscriptsHaveThem(t *testing.T) {
	for _, file := range []string{"testdata/solicit.txt", "testdata/accept.txt"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range strings.Split(string(text), "\n== ")[1:] {
			name, steps, _ := strings.Cut(part, "\n")
			t.Run(name, func(t *testing.T) { play(t, steps) })
		}
	}
}

// A handshakePlay has one of the two machines, and what it has done that the transcript has not come to yet.
type handshakePlay struct {
	t        *testing.T
	near     *solicitor
	far      *acceptor
	rtt      time.Duration
	nonce    string // that must be signed
	produced []string
}

func play(t *testing.T, steps string) {
	p := &handshakePlay{t: t}
	for _, line := range strings.Split(steps, "\n") {
		kind, rest, _ := strings.Cut(line, " ")
		switch kind {
		case "", "#":
		case "solicit", "accept":
			p.quiet()
			p.begin(kind, rest)
		case "<":
			p.quiet()
			p.hear(rest)
		case "!":
			p.quiet()
			p.welcome(strings.Fields(rest)[1:])
		case ">", "*":
			p.expect(kind, rest)
		default:
			t.Fatalf("no step: %s", line)
		}
	}
	p.quiet()
}

func (p *handshakePlay) quiet() {
	p.t.Helper()
	if len(p.produced) > 0 {
		p.t.Fatalf("not in the transcript: %q", p.produced)
	}
}

func (p *handshakePlay) begin(role, words string) {
	with := map[string]string{}
	for _, word := range strings.Fields(words) {
		key, value, _ := strings.Cut(word, "=")
		with[key] = value
	}
	mode, err := parseMode(with["mode"])
	if err != nil {
		p.t.Fatal(err)
	}
	compression := Compression{Mode: mode}
	p.near, p.far = nil, nil
	if role == "accept" {
		p.far = newAcceptor(acceptConfig{
			serverID: "NEDGE", name: "edge1", version: "2.10.0", host: "127.0.0.1", port: 7422, id: 7, nonce: "abcdefghijklmno",
			urls: []string{"127.0.0.1:7422"}, maxPayload: 1 << 20, compression: compression, minVersion: with["min"], cluster: with["cluster"],
			domain: with["domain"], jetstream: with["jetstream"] != "", tlsRequired: with["tls"] != "", tlsVerify: with["tls"] != "",
		})
		p.produced = append(p.produced, ">"+string(p.far.hello()))
		return
	}
	user := with["user"] + "@"
	if user == "-@" {
		user = ""
	}
	u, err := url.Parse("nats-leaf://" + user + "hub:7422")
	if err != nil {
		p.t.Fatal(err)
	}
	sign, err := loadCredentials(&Remote{NKey: with["nkey"]}, u)
	if err != nil {
		p.t.Fatal(err)
	}
	c := solicitConfig{
		serverID: "NEDGE", name: "edge1", cluster: "edge1", version: "2.10.0", account: "$G", compression: compression, sign: sign,
		hub: with["hub"] != "", isolate: with["isolate"] != "", jetstream: with["jetstream"] != "", domain: with["domain"],
	}
	if with["deny"] != "" {
		c.denyImports = strings.Split(with["deny"], ",")
	}
	p.rtt, _ = time.ParseDuration(with["rtt"])
	p.near = newSolicitor(c)
}

// hear has the other side say something.
func (p *handshakePlay) hear(line string) {
	word, text, _ := strings.Cut(line, " ")
	if word == "CONNECT" {
		c, err := parseConnect([]byte(text))
		if err == nil {
			err = p.far.connect(&c)
		}
		if err == nil {
			p.produced = append(p.produced, "*fine, mode "+p.far.mode().String())
		}
		p.failed(err)
		return
	}
	i, err := parseInfo([]byte(text))
	if err != nil {
		p.t.Fatal(err)
	}
	var a action
	if p.near != nil {
		a, err = p.near.info(&i, p.rtt)
		p.nonce = i.Nonce
	} else {
		a, err = p.far.info(&i)
	}
	p.failed(err)
	for _, one := range []struct {
		is   bool
		what string
	}{
		{a.send != nil, ">" + string(a.send)}, {a.input, "*input is S2"}, {a.output, "*output is S2"}, {a.then != nil, ">" + string(a.then)},
		{a.up, "*up" + p.state()},
	} {
		if one.is {
			p.produced = append(p.produced, one.what)
		}
	}
}

// state is what is known of the link when it is up.
func (p *handshakePlay) state() string {
	if p.near == nil {
		return ""
	}
	i := p.near.remote()
	text := ", mode " + p.near.mode().String() + ", account " + i.RemoteAccount
	for _, one := range []struct {
		name string
		list *subjectList
	}{{"import", i.Import}, {"export", i.Export}} {
		if l := one.list.limits(); l.closed {
			text += ", " + one.name + " " + strings.Join(l.allow, " ")
			if len(l.deny) > 0 {
				text += " but " + strings.Join(l.deny, " ")
			}
		}
	}
	return strings.TrimSpace(text)
}

func (p *handshakePlay) failed(err error) {
	if err == nil {
		return
	}
	var why *closing
	if !errors.As(err, &why) {
		p.t.Fatalf("no closing: %v", err)
	}
	if why.remedy == "" {
		p.t.Errorf("%q has no remedy", why.reason)
	}
	p.produced = append(p.produced, "*closed: "+why.reason)
	if why.wire != "" {
		p.produced = append(p.produced, ">-ERR '"+why.wire+"'\r\n")
	}
}

// welcome lets the leaf in: an account, and what may go down and up.
func (p *handshakePlay) welcome(words []string) {
	var lists [2]*limits
	for n, word := range words[1:] {
		lists[n] = &limits{}
		for _, one := range strings.Split(word, ",") {
			if name, denied := strings.CutPrefix(one, "-"); denied {
				lists[n].deny = append(lists[n].deny, name)
				continue
			}
			lists[n].closed = true
			if one != "none" {
				lists[n].allow = append(lists[n].allow, one)
			}
		}
	}
	p.produced = append(p.produced, ">"+string(p.far.welcome(words[0], words[0] == "$SYS", lists[0], lists[1])))
}

func (p *handshakePlay) expect(kind, want string) {
	p.t.Helper()
	if len(p.produced) == 0 {
		p.t.Fatalf("nothing comes, want %s %s", kind, want)
	}
	got := p.produced[0]
	p.produced = p.produced[1:]
	if kind == ">" {
		var whole bool
		if got, whole = strings.CutSuffix(got, "\r\n"); !whole {
			p.t.Fatalf("not a whole line: %q", got)
		}
	}
	got, ours := strings.CutPrefix(got, kind)
	if !ours {
		p.t.Fatalf("comes %q, want %s %s", got, kind, want)
	}
	if !strings.Contains(want, " {") {
		if got != want {
			p.t.Fatalf("comes %q, want %q", got, want)
		}
		return
	}
	p.compare(got, want)
}

// compare looks at a verb and its members.
func (p *handshakePlay) compare(got, want string) {
	p.t.Helper()
	want, more := strings.CutSuffix(want, " ...")
	gotVerb, gotText, _ := strings.Cut(got, " ")
	wantVerb, wantText, _ := strings.Cut(want, " ")
	var have, must map[string]any
	if err := errors.Join(json.Unmarshal([]byte(gotText), &have), json.Unmarshal([]byte(wantText), &must)); err != nil || gotVerb != wantVerb {
		p.t.Fatalf("comes %q, want %q: %v", got, want, err)
	}
	left := maps.Clone(have)
	for key, value := range must {
		delete(left, key)
		switch value {
		case "(absent)":
			if _, there := have[key]; there {
				p.t.Errorf("%s is there: %s", key, got)
			}
		case "(go)":
			if text, _ := have[key].(string); !strings.HasPrefix(text, "go") && !strings.HasPrefix(text, "devel") {
				p.t.Errorf("go is %v", have[key])
			}
		case "(signature)":
			public, _ := have["nkey"].(string)
			text, _ := have[key].(string)
			signature, err := base64.RawURLEncoding.DecodeString(text)
			user, bad := nkeys.FromPublicKey(public)
			if err != nil || bad != nil || user.Verify([]byte(p.nonce), signature) != nil {
				p.t.Errorf("%q is no signature of the nonce by %q", text, public)
			}
		default:
			if !reflect.DeepEqual(have[key], value) {
				p.t.Errorf("%s is %v, want %v", key, have[key], value)
			}
		}
	}
	if !more && len(left) > 0 {
		p.t.Errorf("members that are not in the transcript: %v", left)
	}
}
