//go:build linux

package peers

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/edgebus-io/edgebus/tests/process"
)

// A desk is a callout's service, made as anybody makes one: it listens where a server asks, reads the
// request's JWT and answers with another. What it has been asked is noted and so compared.
type desk struct {
	*play
	office
	requests chan *nats.Msg

	// The test's. Requests come while the test waits for what becomes of a login.
	mu   sync.Mutex
	rule func(r *ruling)
}

// An office is what a desk needs to be one.
type office struct {
	issuer key           // signs its answers
	curve  key           // unseals requests, if there is one
	as     nats.Option   // as whom it connects
	limits time.Duration // that requests say they are good for; zero: the default's
}

// A ruling is one answer on its way. Rules change it.
type ruling struct {
	request *jwt.AuthorizationRequestClaims
	user    *jwt.UserClaims
	answer  *jwt.AuthorizationResponseClaims

	signer, userSigner key
	clear              bool          // not sealed, though the request was
	seal               key           // not zero: sealed with this one
	raw                []byte        // not nil: this instead
	late               time.Duration // how long it takes
}

const calloutSubject = "$SYS.REQ.USER.AUTH"

// defaultAuthTimeout is what a request says of itself where nothing is configured.
const defaultAuthTimeout = 2 * time.Second

func curveKey() key { return key{must(nkeys.CreateCurveKeys())} }

// attend plays a story with nats.go, against both servers, each with a desk of its own.
func attend(t *testing.T, config string, o office, story func(d *desk)) {
	t.Helper()
	libraries[0].tell(t, process.Options{Config: config}, func(p *play) {
		d := &desk{play: p, office: o, requests: make(chan *nats.Msg, linesKept)}
		if o.as != nil {
			d.open(t)
		}
		story(d)
	})
}

// open begins to answer, until the test ends or close.
func (d *desk) open(t *testing.T) (nc *nats.Conn) {
	t.Helper()
	nc = connect(d.T, d.s, d.as, nats.Name("desk"))
	_, err := nc.QueueSubscribe(calloutSubject, "desks", func(m *nats.Msg) {
		d.requests <- m
		d.mu.Lock()
		rule := d.rule
		d.mu.Unlock()
		if err := d.reply(m, rule); err != nil && !nc.IsClosed() {
			d.Errorf("the desk: %v", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	flush(d.T, nc)
	return nc
}

// ruled sets what the answers to come are like; nil: as they are made.
func (d *desk) ruled(rule func(*ruling)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rule = rule
}

func (d *desk) sealed() bool { return d.curve.KeyPair != nil }

// read is the request in a message.
func (d *desk) read(m *nats.Msg) (*jwt.AuthorizationRequestClaims, error) {
	data := m.Data
	if d.sealed() {
		var err error
		if data, err = d.curve.Open(data, m.Header.Get("Nats-Server-Xkey")); err != nil {
			return nil, err
		}
	}
	return jwt.DecodeAuthorizationRequestClaims(string(data))
}

func (d *desk) reply(m *nats.Msg, rule func(*ruling)) error {
	request, err := d.read(m)
	if err != nil {
		return err
	}
	r := &ruling{request: request, signer: d.issuer, userSigner: d.issuer}
	r.user = jwt.NewUserClaims(request.UserNkey)
	r.user.Audience = "APP" // of no meaning in operator mode
	r.answer = jwt.NewAuthorizationResponseClaims(request.UserNkey)
	r.answer.Audience = request.Server.ID
	if rule != nil {
		rule(r)
	}
	time.Sleep(r.late)
	if r.raw != nil {
		return m.Respond(r.raw)
	}
	if r.answer.Error == "" {
		if r.answer.Jwt, err = r.user.Encode(r.userSigner); err != nil {
			return err
		}
	}
	text, err := r.answer.Encode(r.signer)
	if err != nil {
		return err
	}
	data := []byte(text)
	if seal := r.seal; d.sealed() && !r.clear {
		if seal.KeyPair == nil {
			seal = d.curve
		}
		if data, err = seal.Seal(data, request.Server.XKey); err != nil {
			return err
		}
	}
	return m.Respond(data)
}

// try is login with a rule for the answer, and notes what the desk was asked.
func (d *desk) try(what, want string, rule func(*ruling), settings ...string) {
	d.Helper()
	d.ruled(rule)
	d.login(what, want, settings...)
	d.noteRequests()
}

// noteRequests notes what the desk has been asked so far.
func (d *desk) noteRequests() {
	d.Helper()
	for {
		select {
		case m := <-d.requests:
			d.note("asked: " + d.shown(m))
		default:
			return
		}
	}
}

// noteRequest waits for a request and notes it.
func (d *desk) noteRequest() {
	d.Helper()
	d.note("asked: " + d.shown(receive(d.T, d.requests, "request")))
}

// shown is a request, field by field, without what differs from run to run and has been looked at.
func (d *desk) shown(m *nats.Msg) string {
	d.Helper()
	request, err := d.read(m)
	if err != nil {
		d.Fatal(err)
	}
	good := d.limits
	if good == 0 {
		good = defaultAuthTimeout
	}
	// Both are whole seconds, of a clock that may have gone on between them.
	if left := time.Duration(request.Expires-request.IssuedAt) * time.Second; left < good-time.Second || left > good {
		d.Errorf("the request is good for %v, want %v", left, good)
	}
	if request.Issuer != request.Server.ID || request.ID == "" || request.ClientInformation.ID == 0 {
		d.Errorf("signed by %q, server %q, id %q, client %d", request.Issuer, request.Server.ID, request.ID, request.ClientInformation.ID)
	}
	if (request.Server.XKey != "") != d.sealed() || m.Header.Get("Nats-Server-Xkey") != request.Server.XKey {
		d.Errorf("key %q, header %v", request.Server.XKey, m.Header)
	}
	reply := strings.Split(m.Reply, ".")
	for i := 2; i < len(reply); i++ {
		reply[i] = "*"
	}
	var all map[string]any
	if err := json.Unmarshal(must(json.Marshal(request)), &all); err != nil {
		d.Fatal(err)
	}
	hide(all, "exp", "iat", "jti", "iss")
	claims := all["nats"].(map[string]any)
	hide(claims, "user_nkey")
	hide(claims["server_id"].(map[string]any), "id", "xkey", "version")
	hide(claims["client_info"].(map[string]any), "id", "nonce")
	hide(claims["connect_opts"].(map[string]any), "sig")
	return strings.Join(reply, ".") + " " + string(must(json.Marshal(all)))
}

// hide leaves of values that they are there.
func hide(in map[string]any, names ...string) {
	for _, name := range names {
		if _, ok := in[name]; ok {
			in[name] = "*"
		}
	}
}

// wire is what a server says, byte by byte, to a client that says no more than the CONNECT and PING:
// to the PONG, or to the end.
func (d *desk) wire(what, connect string, rule func(*ruling)) {
	d.Helper()
	d.listen(what, connect, "PONG", rule)
}

// wireToEnd is wire that goes on behind the PONG.
func (d *desk) wireToEnd(what, connect string, rule func(*ruling)) {
	d.Helper()
	d.listen(what, connect, "", rule)
}

func (d *desk) listen(what, connect, last string, rule func(*ruling)) {
	d.Helper()
	d.ruled(rule)
	d.note("wire: " + what)
	conn, err := d.s.Dial()
	if err != nil {
		d.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, "CONNECT "+connect+"\r\nPING\r\n"); err != nil {
		d.Fatal(err)
	}
	for in := bufio.NewScanner(conn); in.Scan(); {
		line := in.Text()
		if strings.HasPrefix(line, "INFO ") || line == "PING" {
			continue
		}
		d.note("server: " + line)
		if line == last {
			break
		}
	}
	d.noteRequests()
}

// noteConnections notes what monitoring shows of who is there, asked by a user of the system account.
func (d *desk) noteConnections(who nats.Option) {
	d.Helper()
	sys := connect(d.T, d.s, who, nats.Name("root"))
	defer sys.Close()
	m, err := sys.Request("$SYS.REQ.SERVER.PING.CONNZ", []byte(`{"auth":true}`), patience)
	if err != nil {
		d.Fatal(err)
	}
	var answer struct {
		Data struct{ Connections []map[string]any }
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		d.Fatal(err)
	}
	var lines []string
	for _, each := range answer.Data.Connections {
		line := ""
		for _, key := range []string{"name", "kind", "type", "account", "authorized_user", "issuer_key", "name_tag", "tags"} {
			line += fmt.Sprintf(" %s=%v", key, each[key])
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	for _, line := range lines {
		d.note("there is" + line)
	}
}
