package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/engine"
)

// An issuer is an operator with one account.
type issuer struct {
	t        *testing.T
	operator nkeys.KeyPair
	account  nkeys.KeyPair
	claims   *jwt.AccountClaims
}

func newIssuer(t *testing.T) *issuer {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{t: t, operator: operator, account: account, claims: jwt.NewAccountClaims(publicKey(t, account))}
	i.claims.Name = "ACC"
	return i
}

func publicKey(t *testing.T, pair nkeys.KeyPair) string {
	public, err := pair.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return public
}

func (i *issuer) encode(claims jwt.Claims, by nkeys.KeyPair) string {
	i.t.Helper()
	token, err := claims.Encode(by)
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

// options are those of a server that knows the account.
func (i *issuer) options() (o auth.Options) {
	o.Operator.TrustedKeys = []string{publicKey(i.t, i.operator)}
	o.Operator.Resolver.Type = "MEMORY"
	system, err := nkeys.CreateAccount()
	if err != nil {
		i.t.Fatal(err)
	}
	o.SystemAccount = publicKey(i.t, system)
	o.Operator.Preload = map[string]string{
		i.claims.Subject: i.encode(i.claims, i.operator),
		o.SystemAccount:  i.encode(jwt.NewAccountClaims(o.SystemAccount), i.operator),
	}
	return o
}

// push shows the server what the account is now.
func (i *issuer) push(r *rig) {
	i.t.Helper()
	r.server.settings.Load().directory.AnswerClaims("$SYS.REQ.CLAIMS.UPDATE", []byte(i.encode(i.claims, i.operator)), func(answer auth.ClaimsReply) {
		if answer.Error != nil {
			i.t.Fatalf("%+v", answer.Error)
		}
	})
}

// join connects a user of the account, and says its public key.
func (i *issuer) join(r *rig, edit func(*jwt.UserClaims)) (c *client, public string) {
	i.t.Helper()
	c, public = i.send(r, edit)
	c.expect("PONG\r\n")
	c.readInfo()
	return c, public
}

func (i *issuer) send(r *rig, edit func(*jwt.UserClaims)) (c *client, public string) {
	i.t.Helper()
	user, public := keyPair(i.t)
	claims := jwt.NewUserClaims(public)
	claims.Name = "worker"
	claims.Tags.Add("shift:2")
	if edit != nil {
		edit(claims)
	}
	c = r.dial()
	c.send(c.sign(user, fmt.Sprintf(`"jwt":%q`, i.encode(claims, i.account))) + "PING\r\n")
	return c, public
}

func startOperator(t *testing.T, i *issuer) *rig {
	r := start(t, Options{}, i.options(), broker.Options{})
	t.Cleanup(r.server.settings.Load().directory.Close)
	return r
}

func TestJWTUserIsShown(t *testing.T) {
	i := newIssuer(t)
	r := startOperator(t, i)
	c, public := i.join(r, nil)
	c.talks()
	all := r.server.Clients(Query{Account: i.claims.Subject})
	if len(all) != 1 || all[0].User != public || all[0].NameTag != "worker" || all[0].Issuer != i.claims.Subject ||
		len(all[0].Tags) != 1 || all[0].Tags[0] != "shift:2" {
		t.Errorf("shown as %+v", all)
	}
	c.conn.Close()
	eventually(t, "it is remembered, without its permissions", func() bool {
		graves := r.server.graves.list()
		return len(graves) == 1 && graves[0].about.identity.User == public && graves[0].about.identity.Perms == nil
	})
}

func TestExpiryClosesInTime(t *testing.T) {
	i := newIssuer(t)
	r := startOperator(t, i)
	end := time.Now().Add(1500*time.Millisecond).Unix() + 1
	c, _ := i.join(r, func(u *jwt.UserClaims) { u.Expires = end })
	stays, _ := i.join(r, nil)
	c.expectClosed("-ERR 'User Authentication Expired'\r\n")
	if late := time.Since(time.Unix(end, 0)); late < 0 || late > patience/2 {
		t.Errorf("closed %v after its time", late)
	}
	stays.send("PING\r\n")
	stays.expect("PONG\r\n")
	late, _ := i.send(r, func(u *jwt.UserClaims) { u.Expires = end })
	late.expectClosed("-ERR 'User Authentication Expired'\r\n")
}

func TestAccountExpiryClosesEverybodyOfIt(t *testing.T) {
	i := newIssuer(t)
	r := startOperator(t, i)
	c, _ := i.join(r, nil)
	i.claims.Expires = time.Now().Add(time.Second).Unix() + 1
	i.push(r)
	c.expectClosed("-ERR 'Account Authentication Expired'\r\n")
}

func TestPushedRevocationTakesEffectAtOnce(t *testing.T) {
	i := newIssuer(t)
	r := startOperator(t, i)
	goes, public := i.join(r, nil)
	stays, _ := i.join(r, nil)
	i.claims.Revoke(public)
	i.push(r)
	goes.expectClosed("-ERR 'User Authentication Revoked'\r\n")
	stays.send("PING\r\n")
	stays.expect("PONG\r\n")
}

func TestPushedLimitsTakeEffectAtOnce(t *testing.T) {
	i := newIssuer(t)
	r := startOperator(t, i)
	first, _ := i.join(r, nil)
	i.claims.Limits.Payload = 4
	i.push(r)
	s := r.sessionOf(first)
	eventually(t, "the limit is there", func() (there bool) {
		s.onOwner(func(*engine.Loop) { there = s.about.parser != nil })
		return there
	})
	first.send("SUB a 1\r\nPUB a 4\r\n1234\r\n")
	first.expect("MSG a 1 4\r\n1234\r\n")
	first.send("PUB a 5\r\n12345\r\n")
	first.expectClosed("-ERR 'Maximum Payload Violation'\r\n")
	second, _ := i.join(r, nil)
	third, _ := i.join(r, nil)
	eventually(t, "the first is gone", func() bool { return len(r.server.all()) == 2 })
	i.claims.Limits.Conn = 1
	i.push(r)
	// Mostly it is the one that came last, but they are on two loops.
	eventually(t, "one of them is closed", func() bool { return len(r.server.all()) == 1 })
	closed := 0
	for _, c := range []*client{second, third} {
		io.WriteString(c.conn, "PING\r\n") // which may fail
		if line, _ := c.in.ReadString('\n'); line == accountFull {
			closed++
		} else if line != "PONG\r\n" {
			t.Errorf("got %q", line)
		}
	}
	if closed != 1 {
		t.Errorf("%d were closed", closed)
	}
	fourth, _ := i.send(r, nil)
	fourth.expectClosed(accountFull)
}

func TestBearersAreToldWhenTheyMayNotStay(t *testing.T) {
	i := newIssuer(t)
	r := startOperator(t, i)
	goes, _ := i.join(r, func(u *jwt.UserClaims) { u.BearerToken = true })
	stays, _ := i.join(r, nil)
	i.claims.Limits.DisallowBearer = true
	i.push(r)
	goes.expectClosed(violationLine)
	stays.send("PING\r\n")
	stays.expect("PONG\r\n")
}

// What services are told of who asks; the key of a user stands for its account where no JWT says more.
func TestClientInfoIsThatOfTheUser(t *testing.T) {
	i := newIssuer(t)
	other, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	for _, share := range []bool{false, true} {
		i.claims.Imports = nil
		i.claims.Imports.Add(&jwt.Import{Name: "s", Subject: "svc", Account: publicKey(t, other), Type: jwt.Service, Share: share})
		o := i.options()
		exporter := jwt.NewAccountClaims(publicKey(t, other))
		exporter.Exports.Add(&jwt.Export{Name: "s", Subject: "svc", Type: jwt.Service})
		o.Operator.Preload[exporter.Subject] = i.encode(exporter, i.operator)
		r := start(t, Options{ServerName: "srv"}, o, broker.Options{})
		t.Cleanup(r.server.settings.Load().directory.Close)
		c, public := i.join(r, nil)
		for _, when := range []string{"at first", "after a push"} {
			var all, little broker.ClientInfo
			r.sessionOf(c).onOwner(func(*engine.Loop) {
				all, little = r.sessionOf(c).ClientInfo(true), r.sessionOf(c).ClientInfo(false)
			})
			if all.User != public || all.NameTag != "worker" || all.IssuerKey != i.claims.Subject || len(all.Tags) != 1 ||
				all.Account != i.claims.Subject || all.Kind != "Client" || all.ClientType != "nats" || all.Host != "127.0.0.1" ||
				all.ID == 0 || all.Server != "srv" || all.RTT == 0 || time.Since(*all.Start) > time.Minute {
				t.Errorf("%s: %+v", when, all)
			}
			if (all.JWT != "") != share {
				t.Errorf("%s, share %v: the JWT is %q", when, share, all.JWT)
			}
			if share {
				if claims, err := jwt.DecodeUserClaims(all.JWT); err != nil || claims.Subject != public || claims.Issuer != i.claims.Subject {
					t.Errorf("%s: the JWT is another's: %+v, %v", when, claims, err)
				}
			}
			if little.RTT == 0 || little.Server != "srv" || little.User != "" || little.Start != nil || little.JWT != "" {
				t.Errorf("%s: without details %+v", when, little)
			}
			i.claims.Limits.Subs++
			i.push(r)
			c.send("PING\r\n")
			c.expect("PONG\r\n")
		}
	}
}

func TestOutagesAreNoFailedLogins(t *testing.T) {
	failures := func(r *rig) (n int) {
		here := &auth.Credentials{User: "nobody", Remote: netip.MustParseAddr("127.0.0.1")}
		wait, _ := r.server.slowdown.Begin(here, 1, engine.Now())
		if wait > 0 {
			r.server.slowdown.Waited(here.Remote)
		}
		return int(wait / slowStep)
	}
	t.Run("resolver", func(t *testing.T) {
		i := newIssuer(t)
		down := make(chan struct{})
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			select {
			case <-down:
				w.WriteHeader(http.StatusServiceUnavailable)
			default:
				w.Write([]byte(i.encode(jwt.NewAccountClaims(path.Base(q.URL.Path)), i.operator))) // the system account's, at start
			}
		}))
		defer server.Close()
		o := i.options()
		o.Operator.Preload, o.Operator.Resolver = nil, auth.ResolverOptions{Type: "URL", URL: server.URL}
		r := start(t, Options{}, o, broker.Options{})
		r.t = t
		t.Cleanup(r.server.settings.Load().directory.Close)
		close(down)
		for range 3 {
			c, _ := i.send(r, nil)
			c.expectClosed(violationLine)
		}
		if n := failures(r); n != 0 {
			t.Errorf("%d logins have failed", n)
		}
		if log := r.logs.String(); !strings.Contains(log, "503") {
			t.Errorf("the log does not say why: %s", log)
		}
	})
	t.Run("callout", func(t *testing.T) {
		_, service := keyPair(t)
		issuer, err := nkeys.CreateAccount()
		if err != nil {
			t.Fatal(err)
		}
		o := listed(pair("service", "pw"))
		o.Timeout = 500 * time.Millisecond // who says something at once is in time on a slow machine too
		o.Callout = &auth.CalloutOptions{Issuer: publicKey(t, issuer), Account: auth.GlobalAccount, AuthUsers: []string{"service", service}}
		r := start(t, Options{}, o, broker.Options{})
		r.t = t
		r.server.settings.Load().directory.SetCaller(func(context.Context, string, string, map[string]string, []byte) ([]byte, map[string]string, error) {
			return nil, nil, errors.New("nobody is there")
		})
		for range 3 {
			c := r.dial()
			begin := time.Now()
			c.send(asA + "PING\r\n")
			c.expectClosed(violationLine)
			if after := time.Since(begin); after < o.Timeout {
				t.Errorf("refused after %v: nobody could have come back in that time", after)
			}
		}
		if n := failures(r); n != 0 {
			t.Errorf("%d logins have failed", n)
		}
		c := r.dial()
		c.send(`CONNECT {"user":"service","pass":"guess"}` + "\r\n")
		c.expectClosed(violationLine)
		if n := failures(r); n != 1 {
			t.Errorf("%d logins have failed, and one was a guess", n)
		}
	})
}

// An account that nobody has loaded before may come in while the configuration is replaced. The new
// directory has not heard of it, and finds out.
func TestLoginsThatReloadsOvertakeGetIn(t *testing.T) {
	i := newIssuer(t)
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	resolver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if path.Base(q.URL.Path) == i.claims.Subject {
			select {
			case asked <- struct{}{}:
			default:
			}
			<-answer
			w.Write([]byte(i.encode(i.claims, i.operator)))
			return
		}
		w.Write([]byte(i.encode(jwt.NewAccountClaims(path.Base(q.URL.Path)), i.operator)))
	}))
	defer resolver.Close()
	o := i.options()
	o.Operator.Preload, o.Operator.Resolver = nil, auth.ResolverOptions{Type: "URL", URL: resolver.URL}
	r := start(t, Options{}, o, broker.Options{})
	t.Cleanup(r.server.settings.Load().directory.Close)
	c, _ := i.send(r, nil)
	<-asked
	next, err := auth.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(next.Close)
	if err := r.server.Reload(Options{}, next); err != nil {
		t.Fatal(err)
	}
	close(answer)
	c.expect("PONG\r\n")
}
