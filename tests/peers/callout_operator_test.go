//go:build linux

package peers

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
)

// A branch is an operator with accounts, of which CALL has a desk that is asked about its users.
type branch struct {
	office
	realm               *realm
	system, call, other *account
	user                user   // of CALL, who is asked about
	file, own           string // credentials of user and of the desk's user
	top                 string // more keys of the configuration
}

func newBranch(t *testing.T, sealed bool) *branch {
	b := &branch{realm: newRealm()}
	b.system, b.call, b.other = b.realm.account("SYS"), b.realm.account("CALL"), b.realm.account("OTHER")
	own := b.call.user("desk", nil)
	b.own = own.creds(t)
	b.user = b.call.user("device", func(c *jwt.UserClaims) {
		c.Tags.Add("site:north")
		c.Permissions.Pub.Deny.Add("shown") // what the client shows allows nothing by itself
	})
	b.file = b.user.creds(t)
	b.call.claims.Authorization.AuthUsers.Add(own.public())
	b.office = office{issuer: b.call.key, as: credentials(b.own)}
	if sealed {
		b.curve = curveKey()
		b.call.claims.Authorization.XKey = b.curve.public()
	}
	return b
}

func (b *branch) config() string {
	return "server_name: edge\n" + b.realm.trust(b.system) + b.realm.preload() + b.top
}

func TestOperatorCalloutIsAskedAboutTheAccountsUsers(t *testing.T) {
	for name, sealed := range map[string]bool{"clear": false, "sealed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBranch(t, sealed)
			bearer := b.call.user("bearer", func(c *jwt.UserClaims) { c.BearerToken = true }).jwt
			revoked := b.call.user("revoked", func(c *jwt.UserClaims) { c.BearerToken = true })
			b.call.claims.RevokeAt(revoked.public(), time.Now().Add(time.Hour))
			stolen := b.user.creds(t, userKey())
			elsewhere := b.other.user("eve", nil).creds(t)
			attend(t, b.config(), b.office, func(d *desk) {
				d.try("creds", "connected", nil, "creds "+b.file)
				d.try("creds, named by the answer", "connected", func(r *ruling) { r.user.Name = "device 7" }, "creds "+b.file)
				d.try("bearer", "connected", nil, "bearer "+bearer)
				d.try("bearer and password", "connected", nil, "bearer "+bearer, "user meter secret")
				d.try("bearer and token", "connected", nil, "bearer "+bearer, "token t0ken")
				d.try("denied", "refused authorization", func(r *ruling) { r.answer.Error = "go away" }, "creds "+b.file)
				d.try("permissions", "connected", func(r *ruling) { r.user.Permissions.Sub.Deny.Add("x") }, "creds "+b.file)
				d.try("tags", "connected", func(r *ruling) { r.user.Tags.Add("a:b") }, "creds "+b.file)
				d.try("limits", "connected", func(r *ruling) { r.user.Limits.Subs = 1 }, "creds "+b.file)
				d.try("of another account, which asks nobody", "connected", nil, "creds "+elsewhere)
				d.try("desk", "connected", nil, "creds "+b.own)
				d.note("who does not get as far as the desk")
				for _, each := range []string{"creds " + stolen, "bearer " + revoked.jwt, "bearer nonsense", "user meter secret"} {
					d.must("fresh")
					d.must("set %s", each)
					if class := d.do("connect"); class == "connected" {
						d.Errorf("%s: let in", each)
					}
					d.noteRequests()
				}
			})
		})
	}
}

func TestOperatorCalloutAnswersThatDoNotOpen(t *testing.T) {
	stranger, signing, strange := userKey().public(), accountKey(), accountKey()
	for name, sealed := range map[string]bool{"clear": false, "sealed": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBranch(t, sealed)
			b.call.claims.SigningKeys.Add(signing.public())
			attend(t, b.config(), b.office, func(d *desk) {
				const no = "refused authorization"
				try := func(what, want string, rule func(*ruling)) {
					d.Helper()
					d.try(what, want, rule, "creds "+b.file)
				}
				try("fine", "connected", nil)
				try("signing key", "connected", func(r *ruling) { r.signer, r.answer.IssuerAccount = signing, b.call.public() })
				try("signing key that does not say whose", "connected", func(r *ruling) { r.signer = signing })
				try("signing key of users", "connected", func(r *ruling) { r.userSigner, r.user.IssuerAccount = signing, b.call.public() })
				try("signing key of users that does not say whose", no, func(r *ruling) { r.userSigner = signing })
				try("signed with another key", sealedOr(sealed, "connected", no), func(r *ruling) { r.signer = strange })
				try("signed for another account", sealedOr(sealed, "connected", no), func(r *ruling) { r.answer.IssuerAccount = b.other.public() })
				try("user signed with another key", no, func(r *ruling) { r.userSigner = strange })
				try("user signed with another key for the account", no, func(r *ruling) { r.userSigner, r.user.IssuerAccount = strange, b.call.public() })
				try("user of an account that is not allowed", no, func(r *ruling) { r.userSigner = b.other.key })
				try("about another user", no, func(r *ruling) { r.answer.Subject = stranger })
				try("another user", no, func(r *ruling) { r.user.Subject = stranger })
				try("user who has expired", no, func(r *ruling) { r.user.Expires = time.Now().Add(-time.Hour).Unix() })
				try("connection type", no, func(r *ruling) { r.user.AllowedConnectionTypes.Add("MQTT") })
			})
		})
	}
}

func TestOperatorCalloutPutsUsersElsewhere(t *testing.T) {
	for _, c := range []struct {
		name    string
		allowed func(b *branch) []string
		want    string
	}{
		{"named", func(b *branch) []string { return []string{b.other.public()} }, "connected"},
		{"any", func(*branch) []string { return []string{jwt.AnyAccount} }, "connected"},
		{"another", func(b *branch) []string { return []string{b.system.public()} }, "refused authorization"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBranch(t, false)
			b.call.claims.Authorization.AllowedAccounts.Add(c.allowed(b)...)
			b.other.claims.DefaultPermissions.Pub.Deny.Add("denied")
			signing, scoped, strange := accountKey(), accountKey(), accountKey()
			b.other.claims.SigningKeys.Add(signing.public())
			scope := jwt.NewUserScope()
			scope.Key, scope.Role = scoped.public(), "sensor"
			scope.Template.Pub.Allow.Add("$SYS.REQ.USER.INFO", "data.{{name()}}.>")
			scope.Template.Sub.Allow.Add("_INBOX.>")
			b.other.claims.SigningKeys.AddScopedSigner(scope)
			attend(t, b.config(), b.office, func(d *desk) {
				d.try("at home", "connected", nil, "creds "+b.file)
				d.try("the account's key", c.want, func(r *ruling) { r.userSigner = b.other.key }, "creds "+b.file)
				d.try("its signing key", c.want, func(r *ruling) { r.userSigner, r.user.IssuerAccount = signing, b.other.public() }, "creds "+b.file)
				d.try("a key that is not its own", "refused authorization", func(r *ruling) { r.userSigner, r.user.IssuerAccount = strange, b.other.public() }, "creds "+b.file)
				d.try("its scoped key", c.want, func(r *ruling) {
					r.userSigner, r.user.IssuerAccount, r.user.Name = scoped, b.other.public(), "t1"
					r.user.UserPermissionLimits = jwt.UserPermissionLimits{}
				}, "creds "+b.file)
				d.try("its scoped key and permissions", "refused authorization", func(r *ruling) {
					r.userSigner, r.user.IssuerAccount = scoped, b.other.public()
				}, "creds "+b.file)
				d.try("an account that there is not", "refused authorization", func(r *ruling) { r.userSigner = strange }, "creds "+b.file)
				if c.want != "connected" {
					return
				}
				d.note("what the scope allows")
				d.ruled(func(r *ruling) {
					r.userSigner, r.user.IssuerAccount, r.user.Name = scoped, b.other.public(), "t1"
					r.user.UserPermissionLimits = jwt.UserPermissionLimits{}
				})
				d.enter("creds " + b.file)
				d.must("pub data.t1.x 1")
				d.settle()
				d.must("pub data.t2.x 1")
				d.expect("error permissions")
				d.must("close")
				d.noteRequests()
			})
		})
	}
}

func TestOperatorCalloutMayNotBeAskedByUsers(t *testing.T) {
	b := newBranch(t, false)
	attend(t, b.config(), b.office, func(d *desk) {
		for _, who := range []string{b.own, b.file} {
			d.enter("creds " + who)
			d.must("pub %s 1", calloutSubject)
			d.expect("error permissions")
			d.must("close")
			d.noteRequests()
		}
	})
}

func TestOperatorCalloutUserExpires(t *testing.T) {
	t.Parallel()
	b := newBranch(t, false)
	bearer := b.call.user("bearer", func(c *jwt.UserClaims) { c.BearerToken = true }).jwt
	attend(t, b.config(), b.office, func(d *desk) {
		end := time.Now().Add(brief)
		d.wireToEnd("expires", fmt.Sprintf(`{"jwt":%q}`, bearer), func(r *ruling) { r.user.Expires = end.Unix() })
		if late := time.Since(end); late > tooLate || late < -time.Second {
			d.Errorf("closed %v too late", late)
		}
	})
}

func TestOperatorCalloutWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	b := newBranch(t, false)
	b.top, b.limits = "authorization { "+authTimeout+" }\n", authTime
	bearer := b.call.user("bearer", func(c *jwt.UserClaims) { c.BearerToken = true }).jwt
	b.as = nil
	attend(t, b.config(), b.office, func(d *desk) {
		d.wire("nobody there", fmt.Sprintf(`{"jwt":%q}`, bearer), nil)
		d.enter("creds " + b.own)
		d.must("close")
	})
}

// Who brings no JWT comes with the one that is configured for them, and the desk looks at the rest.
func TestOperatorCalloutOfTheDefaultSentinel(t *testing.T) {
	b := newBranch(t, false)
	sentinel := b.call.user("sentinel", func(c *jwt.UserClaims) { c.BearerToken = true }).jwt
	b.top = "default_sentinel: " + sentinel + "\n"
	attend(t, b.config(), b.office, func(d *desk) {
		d.try("password", "connected", nil, "user meter secret")
		d.try("token", "connected", nil, "token t0ken")
		d.try("nothing", "connected", nil)
		d.try("creds", "connected", nil, "creds "+b.file)
		d.try("what is no JWT", "connected", nil, "bearer nonsense")
		d.try("denied", "refused authorization", func(r *ruling) { r.answer.Error = "go away" }, "user meter secret")
	})
}

func TestOperatorCalloutUsersAreShown(t *testing.T) {
	b := newBranch(t, false)
	b.call.claims.Authorization.AllowedAccounts.Add(b.other.public())
	root := b.system.user("root", nil).creds(t)
	signing := accountKey()
	b.other.claims.SigningKeys.Add(signing.public())
	attend(t, b.config(), b.office, func(d *desk) {
		d.ruled(func(r *ruling) {
			r.user.Tags.Add("a:b")
			switch r.request.ConnectOptions.Name {
			case "named":
				r.user.Name = "device 7"
			case "elsewhere":
				r.userSigner, r.user.IssuerAccount = signing, b.other.public()
			}
		})
		for _, name := range []string{"device", "named", "elsewhere"} {
			connect(d.T, d.s, credentials(b.file), nats.Name(name))
		}
		connect(d.T, d.s, credentials(b.file), nats.UserInfo("meter", "secret"), nats.Name("password"))
		d.noteConnections(credentials(root))
	})
}
