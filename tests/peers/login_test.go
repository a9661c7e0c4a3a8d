//go:build linux

package peers

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"golang.org/x/crypto/bcrypt"
)

// hashed is a password as nats-server's tools would write it, but quick.
func hashed(password string) string {
	return string(must(bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)))
}

func TestLoginByPassword(t *testing.T) {
	config := fmt.Sprintf(`authorization { users: [
		{user: plain, password: p1, permissions: {publish: ["a", "$SYS.REQ.USER.INFO"], subscribe: {deny: "c"}}}
		{user: crypted, password: "%s"}
		{user: web, password: p3, allowed_connection_types: ["WEBSOCKET", "MQTT"]}
		{user: here, password: p4, allowed_connection_types: ["standard"]}
	] }`, hashed("p2"))
	tell(t, config, func(p *play) {
		p.login("plain password", "connected", "user plain p1")
		p.login("bcrypt password", "connected", "user crypted p2")
		p.login("bcrypt password, again", "connected", "user crypted p2")
		p.login("wrong password", "refused authorization", "user plain p2")
		p.login("wrong bcrypt password", "refused authorization", "user crypted p1")
		p.login("unknown user", "refused authorization", "user nobody p1")
		p.login("no password", "refused authorization", "user plain ")
		p.login("nothing", "refused authorization")
		p.login("token instead", "refused authorization", "token p1")
		p.login("connection type not allowed", "refused authorization", "user web p3")
		p.login("connection type allowed", "connected", "user here p4")
	})
}

func TestLoginByToken(t *testing.T) {
	for _, c := range []struct{ name, token string }{{"plain", "t0ken"}, {"bcrypt", hashed("t0ken")}} {
		t.Run(c.name, func(t *testing.T) {
			tell(t, fmt.Sprintf(`authorization { token: "%s" }`, c.token), func(p *play) {
				p.login("token", "connected", "token t0ken")
				p.login("wrong token", "refused authorization", "token other")
				p.login("nothing", "refused authorization")
				p.login("user instead", "refused authorization", "user t0ken t0ken")
			})
		})
	}
}

func TestLoginByNKey(t *testing.T) {
	known, other := userKey(), userKey()
	seed, otherSeed := write(t, "seed", known.seed()), write(t, "seed", other.seed())
	config := `accounts { A { users: [ {nkey: ` + known.public() + `, permissions: {publish: {deny: "x"}}}, {user: u, password: p} ] } }`
	tell(t, config, func(p *play) {
		p.login("nkey", "connected", "nkey "+known.public()+" "+seed)
		p.login("unknown nkey", "refused authorization", "nkey "+other.public()+" "+otherSeed)
		p.login("somebody else's signature", "refused authorization", "nkey "+known.public()+" "+otherSeed)
		p.login("user beside it", "connected", "user u p")
		p.login("nothing", "refused authorization")
	})
}

func TestLoginOfNobodyInParticular(t *testing.T) {
	config := `accounts { A { users: [{user: a, password: p}] }, B { users: [{user: b, password: p, permissions: {publish: ["x", "$SYS.REQ.USER.INFO"]}}] } }
		no_auth_user: b`
	tell(t, config, func(p *play) {
		p.login("nothing", "connected")
		p.login("user", "connected", "user a p")
		p.login("wrong password", "refused authorization", "user a q")
		p.login("unknown user", "refused authorization", "user c p")
		p.login("token", "refused authorization", "token p")
	})
}

func TestLoginByJWT(t *testing.T) {
	r := newRealm()
	system, a, b := r.account("SYS"), r.account("A"), r.account("B")
	stranger := newRealm().account("STRANGER")
	signing := accountKey()
	a.claims.SigningKeys.Add(signing.public())
	bearer := func(c *jwt.UserClaims) { c.BearerToken = true }
	revoked := a.user("revoked", nil)
	a.claims.RevokeAt(revoked.public(), time.Now().Add(time.Hour))
	b.claims.Limits.DisallowBearer = true
	limited := func(change func(*jwt.UserClaims)) func(*jwt.UserClaims) {
		return func(c *jwt.UserClaims) {
			c.BearerToken = true
			change(c)
		}
	}
	ann := a.user("ann", func(c *jwt.UserClaims) {
		c.Permissions.Pub.Allow.Add("a.>", "$SYS.REQ.USER.INFO")
		c.Permissions.Sub.Deny.Add("b.>")
	})
	files := map[string]string{
		"ann": ann.creds(t), "signed": a.user("signed", nil, signing).creds(t), "stranger": stranger.user("eve", nil).creds(t),
		"forged": a.user("forged", nil, b.key).creds(t), "stolen": ann.creds(t, userKey()), "revoked": revoked.creds(t),
		"later":    a.user("later", func(c *jwt.UserClaims) { c.NotBefore = time.Now().Add(time.Hour).Unix() }).creds(t),
		"timed":    a.user("timed", func(c *jwt.UserClaims) { c.Expires = time.Now().Add(time.Hour).Unix() }).creds(t),
		"expired":  a.user("expired", func(c *jwt.UserClaims) { c.Expires = time.Now().Add(-time.Hour).Unix() }).creds(t),
		"elephant": a.user("elephant", func(c *jwt.UserClaims) { c.Subs, c.Limits.Data, c.Limits.Payload = 3, -1, 100 }).creds(t),
	}
	token := func(of *account, change func(*jwt.UserClaims)) string {
		return "bearer " + of.user("bob", limited(change)).jwt
	}
	nothing := func(*jwt.UserClaims) {}
	tampered := a.user("bob", bearer).jwt
	tampered = tampered[:len(tampered)-4] + "AAAA"
	tokens := map[string]string{
		"bearer":                                 token(a, nothing),
		"bearer that the account does not allow": token(b, nothing),
		"connection type not allowed":            token(a, func(c *jwt.UserClaims) { c.AllowedConnectionTypes.Add("WEBSOCKET") }),
		"connection type allowed":                token(a, func(c *jwt.UserClaims) { c.AllowedConnectionTypes.Add("STANDARD") }),
		"network not allowed":                    token(a, func(c *jwt.UserClaims) { c.Src.Add("192.0.2.0/24") }),
		"network allowed":                        token(a, func(c *jwt.UserClaims) { c.Src.Add("127.0.0.0/8") }),
		"time of day not allowed":                token(a, func(c *jwt.UserClaims) { c.Times = []jwt.TimeRange{hours(time.Local, 2)} }),
		"time of day allowed":                    token(a, func(c *jwt.UserClaims) { c.Times = []jwt.TimeRange{hours(time.UTC, -1)}; c.Locale = "UTC" }),
	}
	tell(t, r.trust(system)+r.preload(), func(p *play) {
		p.login("creds file", "connected", "creds "+files["ann"])
		p.login("creds of a signing key", "connected", "creds "+files["signed"])
		p.login("limits", "connected", "creds "+files["elephant"])
		p.login("expires later", "connected", "creds "+files["timed"])
		p.login("signed with another seed", "refused authorization", "creds "+files["stolen"])
		p.login("account of another operator", "refused authorization", "creds "+files["stranger"])
		p.login("issued by another account", "refused authorization", "creds "+files["forged"])
		p.login("revoked", "refused authorization", "creds "+files["revoked"])
		p.login("not valid yet", "refused authorization", "creds "+files["later"])
		p.login("expired", "refused authorization", "creds "+files["expired"])
		p.login("bearer", "connected", tokens["bearer"])
		p.login("bearer that the account does not allow", "refused authorization", tokens["bearer that the account does not allow"])
		p.login("no bearer and no signature", "refused authorization", "bearer "+ann.jwt)
		p.login("tampered with", "refused authorization", "bearer "+tampered)
		p.login("no JWT", "refused authorization", "bearer nonsense")
		p.login("connection type not allowed", "refused authorization", tokens["connection type not allowed"])
		p.login("connection type allowed", "connected", tokens["connection type allowed"])
		p.login("network not allowed", "refused authorization", tokens["network not allowed"])
		p.login("network allowed", "connected", tokens["network allowed"])
		p.login("time of day not allowed", "refused authorization", tokens["time of day not allowed"])
		p.login("time of day allowed", "connected", tokens["time of day allowed"])
		p.login("user and password", "refused authorization", "user ann p")
		p.login("nothing", "refused authorization")
	})
}

// soon is for a login that the server ends without a word: nats.js notices by the time that passes. The others
// hear of it, and get the time that they need.
const soon = "patience 2000"

// hours is a range of two hours that begins in so many, on a clock that wraps at midnight.
func hours(in *time.Location, from int) jwt.TimeRange {
	begin := time.Now().In(in).Add(time.Duration(from) * time.Hour)
	end := begin.Add(2 * time.Hour)
	return jwt.TimeRange{Start: begin.Format(time.TimeOnly), End: end.Format(time.TimeOnly)}
}

func TestLoginByScopedSigningKey(t *testing.T) {
	r := newRealm()
	system, a := r.account("SYS"), r.account("A")
	signing := accountKey()
	scope := jwt.NewUserScope()
	scope.Key, scope.Role = signing.public(), "sensor"
	scope.Template.Pub.Allow.Add("$SYS.REQ.USER.INFO", "data.{{name()}}.>", "by.{{account-name()}}.{{tag(site)}}")
	scope.Template.Sub.Allow.Add("_INBOX.>", "cmd.{{subject()}}")
	scope.Template.Subs = 7
	a.claims.SigningKeys.AddScopedSigner(scope)
	named := func(tags ...string) func(*jwt.UserClaims) {
		return func(c *jwt.UserClaims) {
			c.UserPermissionLimits = jwt.UserPermissionLimits{} // a scope's user has none of his own
			c.Tags.Add(tags...)
		}
	}
	good, wide := a.user("t1", named("site:north"), signing), a.user("t2", nil, signing)
	untagged := a.user("t3", named(), signing)
	goodFile, wideFile, untaggedFile := good.creds(t), wide.creds(t), untagged.creds(t)
	tell(t, r.trust(system)+r.preload(), func(p *play) {
		p.login("permissions of the user's own", "refused authorization", "creds "+wideFile)
		p.note("a tag that the template wants is missing")
		p.note(p.connect("creds " + untaggedFile))
		p.must("close")
		p.enter("creds " + goodFile)
		p.note(whoAmI(p.do("request $SYS.REQ.USER.INFO")))
		p.noteWaiting()
		p.must("pub data.t1.x 1")
		p.must("pub by.A.north 1")
		p.must("sub cmd.%s", good.public())
		p.settle()
		p.must("pub data.t2.x 1")
		p.expect("error permissions")
		p.must("sub cmd.x")
		p.expect("error permissions")
	})
}

func TestLoginOverTLS(t *testing.T) {
	ours, other := newAuthority(t, "ours"), newAuthority(t, "other")
	server := ours.forServer(t)
	config := fmt.Sprintf("tls { cert_file: %q, key_file: %q }\nauthorization { user: u, password: p }", server.file, server.key)
	tell(t, config, func(p *play) {
		p.login("encrypted", "connected", "ca "+ours.file, "user u p")
		p.login("wrong password", "refused authorization", "ca "+ours.file, "user u q")
		p.login("authority that the client does not know", "refused certificate", "ca "+other.file, "user u p")
		p.login("not asked to encrypt", "refused certificate", "user u p")
	})
}

func TestLoginOverTLSFirst(t *testing.T) {
	ours := newAuthority(t, "ours")
	server := ours.forServer(t)
	for _, first := range []string{"true", "auto", `"300ms"`} {
		t.Run(strings.Trim(first, `"`), func(t *testing.T) {
			// It begins without: who starts the server waits for its INFO.
			tell(t, "", func(p *play) {
				p.reload(fmt.Sprintf("tls { cert_file: %q, key_file: %q, handshake_first: %s }", server.file, server.key, first))
				if p.library != "libnats" { // 3.4 cannot
					p.login("handshake first", "connected", "ca "+ours.file, "first")
				}
				if first != "true" {
					p.login("handshake after INFO", "connected", "ca "+ours.file)
				}
			})
		})
	}
}

func TestLoginWithAndWithoutTLS(t *testing.T) {
	ours := newAuthority(t, "ours")
	server := ours.forServer(t)
	config := fmt.Sprintf("tls { cert_file: %q, key_file: %q }\nallow_non_tls: true\nauthorization { user: u, password: p }", server.file, server.key)
	tell(t, config, func(p *play) {
		if p.library != "libnats" { // encrypts only where the server insists
			p.login("encrypted", "connected", "ca "+ours.file, "user u p")
		}
		if p.library != "nats.js" { // encrypts where it can, and does not know the authority
			p.login("plain", "connected", "user u p")
			p.login("plain, wrong password", "refused authorization", "user u q")
		}
	})
}

func TestLoginWithCertificate(t *testing.T) {
	ours, other := newAuthority(t, "ours"), newAuthority(t, "other")
	server, client, strange := ours.forServer(t), ours.issue(t, nil), other.issue(t, nil)
	old := ours.issue(t, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	config := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true }\nauthorization { user: u, password: p }",
		server.file, server.key, ours.file)
	tell(t, config, func(p *play) {
		p.login("certificate", "connected", "ca "+ours.file, client.set(), "user u p")
		p.login("certificate, wrong password", "refused authorization", "ca "+ours.file, client.set(), "user u q")
		p.login("no certificate", "refused broken", soon, "ca "+ours.file, "user u p")
		p.login("certificate of another authority", "refused broken", soon, "ca "+ours.file, strange.set(), "user u p")
		p.login("certificate that has expired", "refused broken", soon, "ca "+ours.file, old.set(), "user u p")
	})
}

func TestLoginAsCertificateSays(t *testing.T) {
	ours := newAuthority(t, "ours")
	server := ours.forServer(t)
	issue := func(change func(*x509.Certificate)) string { return ours.issue(t, change).set() }
	mail := issue(func(c *x509.Certificate) { c.EmailAddresses = []string{"ann@example.com"} })
	second := issue(func(c *x509.Certificate) {
		c.EmailAddresses = []string{"nobody@example.com"}
		c.DNSNames = []string{"device.example.com"}
	})
	subject := issue(func(c *x509.Certificate) {
		c.Subject = pkix.Name{CommonName: "pump", OrganizationalUnit: []string{"water"}, Organization: []string{"works"}}
	})
	stranger := issue(func(c *x509.Certificate) { c.EmailAddresses = []string{"eve@example.com"} })
	config := fmt.Sprintf(`tls { cert_file: %q, key_file: %q, ca_file: %q, verify_and_map: true }
		authorization { users: [
			{user: "ann@example.com", permissions: {publish: ["ann", "$SYS.REQ.USER.INFO"]}}
			{user: "device.example.com", permissions: {publish: ["device", "$SYS.REQ.USER.INFO"]}}
			{user: "CN=pump,OU=water,O=works", permissions: {publish: ["pump", "$SYS.REQ.USER.INFO"]}}
			{user: late, password: p}
		] }`, server.file, server.key, ours.file)
	tell(t, config, func(p *play) {
		p.login("mail address", "connected", "ca "+ours.file, mail)
		p.login("host name, after a mail address that is nobody's", "connected", "ca "+ours.file, second)
		p.login("subject", "connected", "ca "+ours.file, subject)
		p.login("nobody we know", "refused authorization", "ca "+ours.file, stranger)
		p.login("certificate and another user's password", "refused authorization", "ca "+ours.file, mail, "user late p")
		p.login("nobody we know with a user's password", "refused authorization", "ca "+ours.file, stranger, "user late p")
		p.login("no certificate", "refused broken", soon, "ca "+ours.file, "user late p")
	})
}

func TestLoginWithPinnedCertificate(t *testing.T) {
	ours := newAuthority(t, "ours")
	server, pinned, other := ours.forServer(t), ours.issue(t, nil), ours.issue(t, nil)
	config := fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify: true, pinned_certs: [%q] }",
		server.file, server.key, ours.file, pinned.pin(t))
	tell(t, config, func(p *play) {
		p.login("pinned", "connected", "ca "+ours.file, pinned.set())
		p.login("not pinned", "refused broken", soon, "ca "+ours.file, other.set())
	})
}

func TestLoginIntoAFullAccount(t *testing.T) {
	r := newRealm()
	system, a := r.account("SYS"), r.account("A")
	a.claims.Limits.Conn = 1
	first, second := a.user("one", nil).creds(t), a.user("two", nil).creds(t)
	tell(t, r.trust(system)+r.preload(), func(p *play) {
		connect(p.T, p.s, credentials(first))
		want := "refused full"
		if p.library == "nats.js" {
			want = "refused broken" // it waits for an INFO that does not come
		}
		p.login("one too many", want, soon, "creds "+second)
	})
}
