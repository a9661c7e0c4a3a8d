//go:build linux

package peers

import (
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/edgebus-io/edgebus/tests/process"
)

// A frame is a configuration with a callout, and the office for it.
type frame struct {
	office
	own    key    // the nkey user of the desk's account
	block  string // more keys of auth_callout
	users  string // more users of the account OTHER
	clerks string // more users of the desk's account
	exempt string // more users who are not asked about
	top    string // more keys of the configuration
	more   string // more keys of authorization
}

func newFrame(sealed bool) *frame {
	f := &frame{own: userKey()}
	f.issuer, f.as = accountKey(), nats.UserInfo("desk", "d")
	if sealed {
		f.curve = curveKey()
		f.block = "xkey: " + f.curve.public()
	}
	return f
}

// config has the desk's account AUTH, the empty account APP, OTHER with a user of its own, and the
// user bob without an account.
func (f *frame) config() string {
	return fmt.Sprintf(`
		server_name: edge
		server_tags: ["site:north", "Rack:7"]
		accounts {
			AUTH { users: [ {user: desk, password: d}, {nkey: %s} %s ] }
			APP { users: [ {user: app, password: a} ] }
			OTHER { users: [ {user: eve, password: e} %s ], default_permissions: {publish: ["o.>", "$SYS.REQ.USER.INFO"]} }
			SYS {}
		}
		system_account: SYS
		authorization {
			users: [ {user: bob, password: b} ]
			auth_callout { issuer: %s, account: AUTH, auth_users: [desk, %s %s], %s }
			%s
		}
		%s`, f.own.public(), f.clerks, f.users, f.issuer.public(), f.own.public(), f.exempt, f.block, f.more, f.top)
}

func inAccount(name string) func(*ruling) {
	return func(r *ruling) { r.user.Audience = name }
}

func TestCalloutIsAskedAboutEverybody(t *testing.T) {
	for name, sealed := range map[string]bool{"clear": false, "sealed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFrame(sealed)
			device := userKey()
			seed, own := write(t, "seed", device.seed()), write(t, "own", f.own.seed())
			token := newRealm().account("A").user("ann", func(c *jwt.UserClaims) { c.BearerToken = true }).jwt
			attend(t, f.config(), f.office, func(d *desk) {
				d.try("password", "connected", nil, "user meter secret")
				d.try("password and a name", "connected", func(r *ruling) { r.user.Name = "meter 7" }, "user meter secret")
				d.try("token", "connected", nil, "token t0ken")
				d.try("token and a name", "connected", func(r *ruling) { r.user.Name = "meter 7" }, "token t0ken")
				d.try("nothing", "connected", nil)
				d.try("nkey", "connected", nil, "nkey "+device.public()+" "+seed)
				d.try("nkey and a name", "connected", func(r *ruling) { r.user.Name = "meter 7" }, "nkey "+device.public()+" "+seed)
				d.try("JWT", "connected", nil, "bearer "+token)
				d.try("JWT and a password", "connected", nil, "bearer "+token, "user meter secret")
				d.try("user who is configured", "connected", nil, "user bob b")
				d.try("user who is configured, wrong password", "connected", nil, "user bob x")
				d.try("user of an account", "connected", nil, "user eve e")
				d.try("into the account without one", "connected", inAccount("$G"), "user bob b")
				d.try("into the system account", "connected", inAccount("SYS"), "user root r")
				d.try("tags", "connected", func(r *ruling) { r.user.Tags.Add("a:b") }, "user meter secret")
				d.try("limits", "connected", func(r *ruling) { r.user.Limits.Subs, r.user.Limits.Payload = 1, 1 }, "user meter secret")
				d.try("networks", "connected", func(r *ruling) { r.user.Src.Add("192.0.2.0/24") }, "user meter secret")
				d.wire("all that a client can say", `{"user":"u","pass":"p","auth_token":"t","name":"n","lang":"l","version":"v","protocol":1,"jwt":"j","nkey":"k","sig":"s"}`, nil)
				d.wire("a protocol without a number", `{"user":"u"}`, nil)
				d.wire("a protocol that there is not", `{"user":"u","protocol":9}`, nil)
				d.wire("verbose", `{"user":"u","verbose":true}`, nil)
				d.try("desk", "connected", nil, "user desk d")
				d.try("desk, wrong password", "refused authorization", nil, "user desk x")
				d.try("desk by its key", "connected", nil, "nkey "+f.own.public()+" "+own)
				d.try("desk by its key, wrong signature", "refused authorization", nil, "nkey "+f.own.public()+" "+seed)
			})
		})
	}
}

func TestCalloutAnswersThatDoNotOpen(t *testing.T) {
	other, signing := accountKey(), accountKey()
	stranger, server := userKey().public(), key{must(nkeys.CreateServer())}.public()
	yesterday := time.Now().Add(-24 * time.Hour).Unix()
	tomorrow := time.Now().Add(24 * time.Hour).Unix()
	for name, sealed := range map[string]bool{"clear": false, "sealed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFrame(sealed)
			attend(t, f.config(), f.office, func(d *desk) {
				const no = "refused authorization"
				deny := func(what, want string, rule func(*ruling)) {
					d.Helper()
					d.try(what, want, rule, "user meter secret")
					d.wire(what, `{"user":"meter","pass":"secret"}`, rule)
				}
				deny("fine", "connected", nil)
				deny("an error", no, func(r *ruling) { r.answer.Error = "go away" })
				deny("nothing", no, func(r *ruling) { r.raw = []byte{} })
				deny("nonsense", no, func(r *ruling) { r.raw = []byte("nonsense") })
				deny("nonsense like a JWT", no, func(r *ruling) { r.raw = []byte("eyJub25zZW5zZQ") })
				deny("signed with another key", sealedOr(sealed, "connected", no), func(r *ruling) { r.signer = other })
				deny("user signed with another key", no, func(r *ruling) { r.userSigner = other })
				deny("both signed with another key", no, func(r *ruling) { r.signer, r.userSigner = other, other })
				deny("about another user", no, func(r *ruling) { r.answer.Subject = stranger })
				deny("for another server", no, func(r *ruling) { r.answer.Audience = server })
				deny("another user", no, func(r *ruling) { r.user.Subject = stranger })
				deny("answer that has expired", no, func(r *ruling) { r.answer.Expires = yesterday })
				deny("answer of tomorrow", no, func(r *ruling) { r.answer.NotBefore = tomorrow })
				deny("user who has expired", no, func(r *ruling) { r.user.Expires = yesterday })
				deny("user of tomorrow", no, func(r *ruling) { r.user.NotBefore = tomorrow })
				deny("time of day", no, func(r *ruling) { r.user.Times = []jwt.TimeRange{hours(time.UTC, 2)}; r.user.Locale = "UTC" })
				deny("account that there is not", no, inAccount("NONE"))
				deny("no account", no, inAccount(""))
				deny("the issuer's account", no, func(r *ruling) { r.user.IssuerAccount = r.request.Subject })
				deny("signing key", no, func(r *ruling) { r.userSigner, r.user.IssuerAccount = signing, r.request.Subject })
				deny("connection type", no, func(r *ruling) { r.user.AllowedConnectionTypes.Add("MQTT") })
				deny("connection type that there is not", no, func(r *ruling) { r.user.AllowedConnectionTypes.Add("PIGEON") })
				deny("connection type among others", "connected", func(r *ruling) { r.user.AllowedConnectionTypes.Add("PIGEON", "STANDARD") })
				deny("proxy", no, func(r *ruling) { r.user.ProxyRequired = true })
				deny("subject that is none", no, func(r *ruling) { r.user.Permissions.Pub.Allow.Add("a..b") })
				if sealed {
					deny("not sealed", "connected", func(r *ruling) { r.clear = true })
					deny("not sealed, signed with another key", no, func(r *ruling) { r.clear, r.signer = true, other })
					deny("sealed with another key", no, func(r *ruling) { r.seal = curveKey() })
				}
			})
		})
	}
}

func sealedOr(sealed bool, yes, no string) string {
	if sealed {
		return yes
	}
	return no
}

func TestCalloutPermissionsHold(t *testing.T) {
	f := newFrame(false)
	attend(t, f.config(), f.office, func(d *desk) {
		d.note("allowed and denied")
		d.ruled(func(r *ruling) {
			r.user.Permissions.Pub.Allow.Add("pub.>", "$SYS.REQ.USER.INFO")
			r.user.Permissions.Pub.Deny.Add("pub.no")
			r.user.Permissions.Sub.Allow.Add("sub.>", "_INBOX.>", "jobs q1")
			r.user.Permissions.Sub.Deny.Add("sub.no")
		})
		d.enter("user meter secret")
		other := connect(d.T, d.s, nats.UserInfo("second", ""))
		d.must("sub sub.*")
		d.must("sub sub.x")
		d.must("pub pub.x 1")
		d.must("sub jobs q1")
		d.settle()
		for _, subject := range []string{"pub.no", "else", "$SYS.REQ.USER.AUTH"} {
			d.must("pub %s 1", subject)
			d.expect("error permissions")
		}
		for _, subject := range []string{"sub.no", "else", ">", "jobs", "jobs q2", "$SYS.REQ.USER.AUTH"} {
			d.must("sub %s", subject)
			d.expect("error permissions")
		}
		d.note(whoAmI(d.do("request $SYS.REQ.USER.INFO")))
		d.must("close")
		other.Close()

		d.note("no permissions in the answer, and an account that has some for its configured users")
		d.ruled(inAccount("OTHER"))
		d.enter("user meter secret")
		d.must("pub x 1")
		d.settle()
		d.note(whoAmI(d.do("request $SYS.REQ.USER.INFO")))
		d.must("close")

		d.note("permissions in the answer, and an account that has others")
		d.ruled(func(r *ruling) {
			r.user.Audience = "OTHER"
			r.user.Permissions.Sub.Deny.Add("no")
		})
		d.enter("user meter secret")
		d.must("pub x 1")
		d.settle()
		d.must("sub no")
		d.expect("error permissions")
		d.note(whoAmI(d.do("request $SYS.REQ.USER.INFO")))
		d.must("close")
	})
}

func TestCalloutAllowsResponses(t *testing.T) {
	f := newFrame(false)
	attend(t, f.config(), f.office, func(d *desk) {
		d.ruled(func(r *ruling) {
			if r.request.ConnectOptions.Username == "answers" {
				r.user.Permissions.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: time.Minute}
			}
		})
		asks := connect(d.T, d.s, nats.UserInfo("asks", ""))
		failed := make(chan error, 1)
		answers := connect(d.T, d.s, nats.UserInfo("answers", ""), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { failed <- err }))
		service := subscribe(d.T, answers, "service")
		inbox := subscribe(d.T, asks, "inbox")
		if err := asks.PublishRequest("service", "inbox", []byte("?")); err != nil {
			d.Fatal(err)
		}
		m := expect(d.T, service, "service", "?")
		for _, text := range []string{"one", "two"} {
			if err := m.Respond([]byte(text)); err != nil {
				d.Fatal(err)
			}
		}
		d.note(receive(d.T, failed, "error").Error())
		expect(d.T, inbox, "inbox", "one")
		expectNothing(d.T, inbox, asks)
	})
}

// Whoever is in the desk's account could show it requests that no server has made.
func TestCalloutMayNotBeAskedByUsers(t *testing.T) {
	f := newFrame(false)
	attend(t, f.config(), f.office, func(d *desk) {
		for _, c := range []struct{ what, who string }{{"the desk", "user desk d"}, {"a guest in its account", "user meter secret"}} {
			d.ruled(inAccount("AUTH"))
			d.note(c.what)
			d.enter(c.who)
			d.must("pub %s 1", calloutSubject)
			d.expect("error permissions")
			d.note(whoAmI(d.do("request $SYS.REQ.USER.INFO")))
			d.must("close")
			d.noteRequests()
		}
		d.note("elsewhere")
		d.ruled(nil)
		d.enter("user meter secret")
		d.must("pub %s 1", calloutSubject)
		d.settle()
		d.must("close")
		d.noteRequests()
	})
}

func TestCalloutIsAskedAboutSomeAccounts(t *testing.T) {
	f := newFrame(false)
	f.block = "allowed_accounts: [APP]"
	f.users = fmt.Sprintf(`, {user: crypted, password: "%s"}`, hashed("c"))
	attend(t, f.config(), f.office, func(d *desk) {
		d.try("nobody who is configured", "connected", nil, "user meter secret")
		d.try("without an account", "connected", nil, "user bob b")
		d.try("an account that is asked about", "connected", nil, "user app a")
		d.try("an account that is not", "connected", nil, "user eve e")
		d.try("an account that is not, bcrypt", "connected", nil, "user crypted c")
		d.try("an account that is not, wrong password", "connected", nil, "user eve x")
		d.try("an account that is not, wrong bcrypt password", "connected", nil, "user crypted x")
		d.try("into an account that is not", "connected", inAccount("OTHER"), "user app a")
		d.try("desk", "connected", nil, "user desk d")
	})
}

const (
	authTimeout = "timeout: 3"
	authTime    = 3 * time.Second // the same
)

func TestCalloutWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	f := newFrame(false)
	f.more, f.limits = authTimeout, authTime
	attend(t, f.config(), f.office, func(d *desk) {
		const hello = `{"user":"meter","pass":"secret"}`
		d.wire("slow", hello, func(r *ruling) { r.late = 300 * time.Millisecond })
		begin := time.Now()
		d.wire("too slow", hello, func(r *ruling) { r.late = authTime + 500*time.Millisecond })
		if after := time.Since(begin); after < authTime-200*time.Millisecond || after > authTime+patience/2 {
			d.Errorf("it took %v, and the timeout is %v", after, authTime)
		}
	})
	f.as = nil
	attend(t, f.config(), f.office, func(d *desk) {
		begin := time.Now()
		d.wire("nobody there", `{"user":"meter","pass":"secret"}`, nil)
		if after := time.Since(begin); after < authTime-200*time.Millisecond || after > authTime+patience/2 {
			d.Errorf("it took %v, and the timeout is %v", after, authTime)
		}
		d.wire("the desk itself", `{"user":"desk","pass":"d"}`, nil)
		d.enter("user desk d")
		d.must("close")
	})
}

func TestClientsComeBackWhenTheDeskDoes(t *testing.T) {
	t.Parallel()
	f := newFrame(false)
	f.more, f.limits = "timeout: 1", time.Second
	as := f.as
	f.as = nil
	attend(t, f.config(), f.office, func(d *desk) {
		d.office.as = as
		first := d.open(d.T)
		failed, back := make(chan error, linesKept), make(chan bool, 1)
		nc := connect(d.T, d.s, nats.UserInfo("meter", "secret"), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort(),
			nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { failed <- err }),
			nats.ReconnectHandler(func(*nats.Conn) { back <- true }))
		sub := subscribe(d.T, nc, "x")
		first.Close()
		if err := nc.ForceReconnect(); err != nil {
			d.Fatal(err)
		}
		for range 2 {
			d.note("refused: " + receive(d.T, failed, "failure").Error())
		}
		d.open(d.T)
		receive(d.T, back, "reconnect")
		publish(d.T, nc, "x", "here again")
		expect(d.T, sub, "x", "here again")
	})
}

func TestCalloutUserExpires(t *testing.T) {
	t.Parallel()
	f := newFrame(false)
	attend(t, f.config(), f.office, func(d *desk) {
		end := time.Now().Add(brief)
		d.wireToEnd("expires", `{"user":"meter","pass":"secret"}`, func(r *ruling) { r.user.Expires = end.Unix() })
		if late := time.Since(end); late > tooLate || late < -time.Second {
			d.Errorf("closed %v too late", late)
		}
	})
}

func TestCalloutSeesCertificates(t *testing.T) {
	ours := newAuthority(t, "ours")
	server, client := ours.forServer(t), ours.issue(t, nil)
	for _, c := range []struct{ name, more string }{
		{"asked for", "verify: true"},
		{"not asked for", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFrame(false)
			f.top = fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, %s }", server.file, server.key, ours.file, c.more)
			// With TLS the time for credentials begins when it is there, and is not the same.
			f.more = "timeout: 2"
			f.as = options(nats.UserInfo("desk", "d"), nats.RootCAs(ours.file), nats.ClientCert(client.file, client.key))
			attend(t, f.config(), f.office, func(d *desk) {
				d.try("certificate", "connected", nil, "ca "+ours.file, client.set(), "user meter secret")
				if all := fmt.Sprint(d.log); !strings.Contains(all, "cipher") || strings.Contains(all, "BEGIN CERTIFICATE") != (c.more != "") {
					d.Errorf("the desk has seen %s", all)
				}
				if c.more == "" {
					d.try("no certificate", "connected", nil, "ca "+ours.file, "user meter secret")
				}
			})
		})
	}
}

func options(all ...nats.Option) nats.Option {
	return func(o *nats.Options) error {
		for _, each := range all {
			if err := each(o); err != nil {
				return err
			}
		}
		return nil
	}
}

// Who is known by a certificate is asked about by the name that it gives.
func TestCalloutSeesWhoACertificateNames(t *testing.T) {
	ours := newAuthority(t, "ours")
	server := ours.forServer(t)
	named := func(mail string) certificate {
		return ours.issue(t, func(c *x509.Certificate) { c.EmailAddresses = []string{mail} })
	}
	clerk, ann, eve := named("desk"), named("ann@example.com"), named("eve@example.com")
	f := newFrame(false)
	f.users = `, {user: "ann@example.com"}`
	f.top = fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify_and_map: true }", server.file, server.key, ours.file)
	f.more = "timeout: 2"
	f.as = options(nats.RootCAs(ours.file), nats.ClientCert(clerk.file, clerk.key), nats.UserInfo("", "d"))
	attend(t, f.config(), f.office, func(d *desk) {
		d.try("user of the configuration", "connected", nil, "ca "+ours.file, ann.set())
		d.try("nobody that is configured", "connected", nil, "ca "+ours.file, eve.set())
		d.try("nobody that is configured, with a password", "connected", nil, "ca "+ours.file, eve.set(), "user bob b")
		d.try("another name", "connected", nil, "ca "+ours.file, ann.set(), "user bob b")
	})
}

func TestCalloutSeesWhoIsNobodyInParticular(t *testing.T) {
	for _, c := range []struct{ name, who string }{
		{"by name", "bob"}, {"of another account", "eve"}, {"crypted", "crypted"}, {"by key", ""}, {"desk", "desk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFrame(false)
			guest := userKey()
			f.users = fmt.Sprintf(`, {nkey: %s}, {user: crypted, password: "%s"}`, guest.public(), hashed("c"))
			if c.who == "" {
				c.who = guest.public()
			}
			f.top = "no_auth_user: " + c.who
			attend(t, f.config(), f.office, func(d *desk) {
				d.try("nothing", "connected", nil)
				d.try("password", "connected", nil, "user meter secret")
				d.try("token", "connected", nil, "token t0ken")
				d.wire("nothing", "{}", nil)
				d.wire("denied", "{}", func(r *ruling) { r.answer.Error = "go away" })
			})
		})
	}
}

// Which connections and proxies a configured user may use is not for the desk to say.
func TestCalloutDoesNotOverruleTheConfiguration(t *testing.T) {
	f := newFrame(false)
	f.users = `, {user: proxied, password: p, proxy_required: true}, {user: web, password: p, allowed_connection_types: [WEBSOCKET]}`
	f.clerks = `, {user: own, password: d, allowed_connection_types: [WEBSOCKET]}, {user: far, password: d, proxy_required: true}`
	f.exempt = ", own, far"
	attend(t, f.config(), f.office, func(d *desk) {
		d.try("through a proxy", "refused authorization", nil, "user proxied p")
		d.try("another connection type", "connected", nil, "user web p")
		d.try("the desk's, another connection type", "refused authorization", nil, "user own d")
		d.try("the desk's, through a proxy", "refused authorization", nil, "user far d")
	})
}

// nats-server has everybody come in anew who is there on the desk's word when users change, edgebus nobody.
func TestCalloutUsersAndReload(t *testing.T) {
	f := newFrame(false)
	o, before := f.office, f.config()
	f.users = ", {user: joe, password: j}"
	more := f.config()
	attend(t, before, o, func(d *desk) {
		nc := connect(d.T, d.s, nats.UserInfo("meter", "secret"), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond), nats.ReconnectJitter(0, 0))
		sub := subscribe(d.T, nc, "x")
		d.reload(more)
		process.Eventually(d, patience, "it is there", func() bool { return nc.FlushTimeout(time.Second) == nil })
		publish(d.T, nc, "x", "still")
		expect(d.T, sub, "x", "still")
	})
}

func TestCalloutUsersAreShown(t *testing.T) {
	f := newFrame(false)
	device := userKey()
	attend(t, f.config(), f.office, func(d *desk) {
		d.ruled(func(r *ruling) {
			r.user.Tags.Add("a:b")
			switch r.request.ConnectOptions.Name {
			case "root":
				r.user.Audience = "SYS"
			case "named":
				r.user.Name = "meter 7"
			}
		})
		for name, who := range map[string]nats.Option{
			"named": nats.UserInfo("meter", "secret"), "password": nats.UserInfo("meter", "secret"), "token": nats.Token("t0ken"),
			"key": nats.Nkey(device.public(), device.Sign), "nothing": nats.Name(""),
		} {
			connect(d.T, d.s, who, nats.Name(name))
		}
		d.noteConnections(nats.UserInfo("root", "r"))
	})
}
