package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
)

// A service answers callouts as a test wants it.
type service struct {
	t      *testing.T
	issuer keyed
	xkey   *keyed // not nil: requests come sealed, and answers leave sealed
	clear  bool   // answers leave unsealed all the same

	request  *jwt.AuthorizationRequestClaims // the last one
	account  string
	user     func(*jwt.UserClaims)
	response func(*jwt.AuthorizationResponseClaims)
	signer   *keyed // of answers, if not issuer
	userBy   *keyed // of users, if not issuer
	raw      []byte // the answer, if not nil
}

func (s *service) call(_ context.Context, account, subject string, header map[string]string, payload []byte) ([]byte, map[string]string, error) {
	var err error
	if s.xkey != nil {
		if payload, err = s.xkey.pair.Open(payload, header[calloutKeyHeader]); err != nil {
			s.t.Errorf("the request cannot be unsealed: %v", err)
		}
	}
	if s.request, err = jwt.DecodeAuthorizationRequestClaims(string(payload)); err != nil || subject != calloutSubject {
		s.t.Errorf("request on %s: %v", subject, err)
		return nil, nil, err
	}
	s.account = account
	if s.raw != nil {
		return s.raw, nil, nil
	}
	user := jwt.NewUserClaims(s.request.UserNkey)
	user.Audience = GlobalAccount
	if s.user != nil {
		s.user(user)
	}
	by, userBy := s.issuer, s.issuer
	if s.signer != nil {
		by = *s.signer
	}
	if s.userBy != nil {
		userBy = *s.userBy
	}
	answer := jwt.NewAuthorizationResponseClaims(s.request.UserNkey)
	answer.Audience = s.request.Server.ID
	answer.Jwt = encode(s.t, user, userBy)
	if s.response != nil {
		s.response(answer)
	}
	reply := []byte(encode(s.t, answer, by))
	if s.xkey != nil && !s.clear {
		reply, err = s.xkey.pair.Seal(reply, s.request.Server.XKey)
	}
	return reply, nil, err
}

func newService(t *testing.T) *service {
	return &service{t: t, issuer: newPair(t, nkeys.CreateAccount)}
}

// serviceTimeout is enough for a service that signs on an emulated machine among many others.
const serviceTimeout = 15 * time.Second

// configured is a configuration with the service's user auth in account AUTH, bob in $G and eve in
// account E, who are all configured.
func (s *service) configured(edit func(*Options)) *Directory {
	s.t.Helper()
	o := Options{
		Users:   []User{{User: "bob", Password: "pb"}},
		Callout: &CalloutOptions{Issuer: s.issuer.key, Account: "AUTH", AuthUsers: []string{"auth"}},
		Timeout: serviceTimeout,
	}
	o.Accounts = AccountsOptions{
		"AUTH": {Users: []User{{User: "auth", Password: "pa"}}},
		"E":    {Users: []User{{User: "eve", Password: "pe"}}, DefaultPermissions: &PermissionOptions{Publish: &SubjectOptions{Allow: []string{"e.>"}}}},
	}
	if s.xkey != nil {
		o.Callout.XKey = s.xkey.key
	}
	if edit != nil {
		edit(&o)
	}
	d := mustDirectory(s.t, o)
	s.t.Cleanup(d.Close)
	d.SetCaller(s.call)
	return d
}

func TestCalloutDecides(t *testing.T) {
	other := newPair(t, nkeys.CreateAccount)
	s := newService(t)
	sealing := newService(t)
	key := newPair(t, nkeys.CreateCurveKeys)
	sealing.xkey = &key
	for _, s := range []*service{s, sealing} {
		d := s.configured(nil)
		s.user = func(u *jwt.UserClaims) {
			u.Name, u.Audience = "bobby", "E"
			u.Sub.Deny.Add("no")
		}
		creds := Credentials{User: "bob", Password: "wrong", Name: "app", Lang: "go", Version: "1", Remote: netip.MustParseAddr("10.0.0.9"), Nonce: testNonce}
		id := mustLogin(t, d, creds)
		if ok, _ := id.Perms.MaySubscribe("no", ""); id.User != "bobby" || id.Account != "E" || ok {
			t.Errorf("%+v", id)
		}
		q := s.request
		if s.account != "AUTH" || q.Subject != s.issuer.key || q.Audience != calloutAudience || q.Issuer != q.Server.ID ||
			q.ConnectOptions.Username != "bob" || q.ConnectOptions.Password != "wrong" || q.ConnectOptions.Lang != "go" ||
			q.ClientInformation.Host != "10.0.0.9" || q.ClientInformation.Kind != "Client" || q.ClientInformation.Nonce != "" ||
			q.ClientInformation.Type != "nats" || (q.Server.XKey != "") != (s.xkey != nil) {
			t.Errorf("request %+v in %s", q, s.account)
		}
		if now := d.Refresh(id); now != id {
			t.Error("does not survive a reload")
		}
		if now := s.configured(func(o *Options) { o.Callout.Issuer = other.key }).Refresh(id); now != nil {
			t.Error("survives the end of its issuer")
		}
		s.user = func(u *jwt.UserClaims) { u.Audience = "E" }
		// Default permissions are those of configured users, and of a token it is said that there is one.
		if id := mustLogin(t, d, Credentials{Token: "t"}); id.User != "[REDACTED]" || id.Perms != nil {
			t.Errorf("without name and permissions: %+v", id)
		}
	}
}

func TestWhoIsAskedAbout(t *testing.T) {
	s := newService(t)
	for _, c := range []struct {
		name    string
		creds   Credentials
		allowed []string
		asked   bool
		ok      bool
	}{
		{"unknown", Credentials{User: "x", Password: "y"}, nil, true, true},
		{"nothing", Credentials{}, nil, true, true},
		{"right", Credentials{User: "bob", Password: "pb"}, nil, true, true},
		{"right, in an account", Credentials{User: "eve", Password: "pe"}, nil, true, true},
		{"right, in an account that is not asked about", Credentials{User: "eve", Password: "pe"}, []string{"AUTH"}, false, true},
		{"wrong, in an account that is not asked about", Credentials{User: "eve", Password: "x"}, []string{"AUTH"}, true, true},
		{"right, in one that is", Credentials{User: "eve", Password: "pe"}, []string{"E"}, true, true},
		{"the service", Credentials{User: "auth", Password: "pa"}, nil, false, true},
		{"the service, wrong", Credentials{User: "auth", Password: "x"}, nil, false, false},
	} {
		d := s.configured(func(o *Options) { o.Callout.AllowedAccounts = c.allowed })
		s.request = nil
		_, _, err := login(d, c.creds)
		if (s.request != nil) != c.asked || (err == nil) != c.ok {
			t.Errorf("%s: asked %v, %v", c.name, s.request != nil, err)
		}
	}
}

// The service sees what a nats-server's would: where the configuration says who somebody is, that user.
func TestTheServiceIsToldWhoClientsAre(t *testing.T) {
	guest, other := newPair(t, nkeys.CreateUser).key, newPair(t, nkeys.CreateUser).key
	shown := func(user, pass, token, nkey string) jwt.ConnectOptions {
		return jwt.ConnectOptions{Username: user, Password: pass, Token: token, Nkey: nkey, Protocol: 1}
	}
	for _, c := range []struct {
		name  string
		edit  func(*Options)
		creds Credentials
		user  string
		want  jwt.ConnectOptions
	}{
		{"token", nil, Credentials{Token: "t"}, "[REDACTED]", shown("", "", "t", "")},
		{"key and user", nil, Credentials{NKey: other, User: "u"}, other, shown("u", "", "", other)},
		{"JWT, of use to operators only", nil, Credentials{JWT: "j"}, "", shown("", "", "", "")},
		{"leaf", nil, Credentials{User: "u", Type: LeafNode}, "u", shown("u", "", "", "")},
		{"no_auth_user", func(o *Options) { o.NoAuthUser = "bob" }, Credentials{}, "bob", shown("bob", "pb", "", "")},
		{"no_auth_user beside another", func(o *Options) { o.NoAuthUser = "bob" }, Credentials{User: "u"}, "u", shown("u", "", "", "")},
		{"no_auth_user by key", func(o *Options) {
			o.Users = append(o.Users, User{NKey: guest})
			o.NoAuthUser = guest
		}, Credentials{}, guest, shown("", "", "", guest)},
		{"certificate", func(o *Options) { o.VerifyAndMap = true }, Credentials{TLS: clientTLS(t, "bob")}, "bob", shown("bob", "", "", "")},
		{"certificate of nobody", func(o *Options) { o.VerifyAndMap = true }, Credentials{TLS: clientTLS(t, "x"), User: "u"}, "u", shown("u", "", "", "")},
	} {
		s := newService(t)
		c.creds.ID, c.creds.Protocol = 7, 1
		mustLogin(t, s.configured(c.edit), c.creds)
		info := s.request.ClientInformation
		if info.User != c.user || info.ID != 7 || s.request.ConnectOptions != c.want {
			t.Errorf("%s: %+v %+v", c.name, info, s.request.ConnectOptions)
		}
		if leaf := c.creds.Type == LeafNode; leaf != (info.Kind == "Leafnode") || leaf != (info.Type == "") {
			t.Errorf("%s: %+v", c.name, info)
		}
	}
}

func clientTLS(t *testing.T, mail string) *tls.ConnectionState {
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{EmailAddresses: []string{mail}}}}
}

// A service cannot do away with what the configuration asks of a user, and its own users are never asked
// about, whatever is wrong with them.
func TestCalloutDoesNotOverruleTheConfiguration(t *testing.T) {
	web := []string{WebSocket}
	for _, c := range []struct {
		user  User
		asked bool
		err   error
	}{
		{User{User: "own", Password: "p", Types: web}, false, ErrCredentials},
		{User{User: "own", Password: "p", ProxyRequired: true}, false, ErrProxyRequired},
		{User{User: "u", Password: "p", Types: web}, true, nil},
		{User{User: "u", Password: "p", ProxyRequired: true}, true, ErrProxyRequired},
	} {
		s := newService(t)
		d := s.configured(func(o *Options) {
			o.Users = append(o.Users, c.user)
			o.Callout.AuthUsers = append(o.Callout.AuthUsers, "own")
		})
		_, _, err := login(d, Credentials{User: c.user.User, Password: "p"})
		if !errors.Is(err, c.err) || (s.request != nil) != c.asked {
			t.Errorf("%+v: %v, asked %v", c.user, err, s.request != nil)
		}
	}
}

func TestAnswersOfCalloutsAreChecked(t *testing.T) {
	other := newPair(t, nkeys.CreateAccount)
	stranger := newPair(t, nkeys.CreateUser)
	server := newPair(t, nkeys.CreateServer)
	yesterday := time.Now().Add(-24 * time.Hour).Unix()
	for _, c := range []struct {
		name string
		edit func(*service)
		why  string
	}{
		{"fine", func(s *service) {}, ""},
		{"error", func(s *service) {
			s.response = func(a *jwt.AuthorizationResponseClaims) { a.Jwt, a.Error = "", "go away" }
		}, "go away"},
		{"nothing", func(s *service) { s.raw = []byte{} }, "no reason"},
		{"garbage", func(s *service) { s.raw = []byte("eyJx") }, "answer"},
		{"another's answer", func(s *service) {
			s.response = func(a *jwt.AuthorizationResponseClaims) { a.Subject = stranger.key }
		}, "expected user"},
		{"another server's", func(s *service) {
			s.response = func(a *jwt.AuthorizationResponseClaims) { a.Audience = server.key }
		}, "for server"},
		{"expired answer", func(s *service) {
			s.response = func(a *jwt.AuthorizationResponseClaims) { a.Expires = yesterday }
		}, "expired"},
		{"signed by another", func(s *service) { s.signer = &other }, "signing key"},
		{"user by another", func(s *service) { s.userBy = &other }, "another issuer"},
		{"another user", func(s *service) { s.user = func(u *jwt.UserClaims) { u.Subject = stranger.key } }, "another user"},
		{"expired user", func(s *service) { s.user = func(u *jwt.UserClaims) { u.Expires = yesterday } }, "expired"},
		{"unknown account", func(s *service) { s.user = func(u *jwt.UserClaims) { u.Audience = "X" } }, "which there is not"},
		{"issuer account", func(s *service) { s.user = func(u *jwt.UserClaims) { u.IssuerAccount = other.key } }, "issuer account"},
		{"other type", func(s *service) { s.user = func(u *jwt.UserClaims) { u.AllowedConnectionTypes.Add(MQTT) } }, "type of connection"},
		{"proxy", func(s *service) { s.user = func(u *jwt.UserClaims) { u.ProxyRequired = true } }, "proxy"},
	} {
		s := newService(t)
		c.edit(s)
		_, _, err := login(s.configured(nil), Credentials{User: "x", Password: "hidden"})
		if (err == nil) != (c.why == "") || err != nil && (!strings.Contains(err.Error(), c.why) || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("%s: %v, want something about %q", c.name, err, c.why)
		}
	}
}

func TestWhoCannotBeAskedAboutStaysOut(t *testing.T) {
	s := newService(t)
	d := s.configured(nil)
	d.SetCaller(func(ctx context.Context, _, _ string, _ map[string]string, _ []byte) ([]byte, map[string]string, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > serviceTimeout {
			t.Errorf("deadline %v", deadline)
		}
		return nil, nil, errors.New("no responders")
	})
	if _, _, err := login(d, Credentials{User: "bob", Password: "pb"}); !errors.Is(err, ErrCredentials) || !errors.Is(err, ErrNoAnswer) {
		t.Errorf("%v", err)
	}
	slow := s.configured(func(o *Options) { o.Timeout = time.Millisecond })
	slow.SetCaller(func(ctx context.Context, _, _ string, _ map[string]string, _ []byte) ([]byte, map[string]string, error) {
		<-ctx.Done()
		return nil, nil, ctx.Err()
	})
	if _, _, err := login(slow, Credentials{User: "bob", Password: "pb"}); !errors.Is(err, ErrCredentials) || errors.Is(err, ErrNoAnswer) {
		t.Errorf("too slow: %v", err)
	}
	mustLogin(t, d, Credentials{User: "auth", Password: "pa"})
}

// Whoever is in the service's account could otherwise show it made-up requests.
func TestNobodyInTheServicesAccountMayAskIt(t *testing.T) {
	s := newService(t)
	d := s.configured(nil)
	s.user = func(u *jwt.UserClaims) { u.Audience = "AUTH" }
	for _, c := range []Credentials{{User: "auth", Password: "pa"}, {User: "x", Password: "y"}} {
		id := mustLogin(t, d, c)
		if id.Account != "AUTH" || id.Perms.MayPublish([]byte(calloutSubject)) || !id.Perms.MayPublish([]byte("other")) {
			t.Errorf("%+v", id)
		}
		if now := d.Refresh(id); now == nil || now.Perms.MayPublish([]byte(calloutSubject)) {
			t.Errorf("after a reload: %+v", now)
		}
	}
	one, two := mustLogin(t, d, Credentials{User: "auth", Password: "pa"}), mustLogin(t, d, Credentials{User: "auth", Password: "pa"})
	if one != two {
		t.Error("the service's user is not the same twice")
	}
	// As in nats-server.
	id := mustLogin(t, s.configured(func(o *Options) { o.Callout.AllowedAccounts = []string{"E"} }), Credentials{User: "auth", Password: "pa"})
	if !id.Perms.MayPublish([]byte(calloutSubject)) {
		t.Errorf("in an account that the service is not asked about: %+v", id)
	}
}

func TestCalloutOptionsAreChecked(t *testing.T) {
	s := newService(t)
	for name, edit := range map[string]func(*CalloutOptions){
		"no issuer":       func(o *CalloutOptions) { o.Issuer = "" },
		"bad issuer":      func(o *CalloutOptions) { o.Issuer = "A" },
		"no users":        func(o *CalloutOptions) { o.AuthUsers = nil },
		"bad xkey":        func(o *CalloutOptions) { o.XKey = s.issuer.key },
		"unknown account": func(o *CalloutOptions) { o.Account = "X" },
		"unknown allowed": func(o *CalloutOptions) { o.AllowedAccounts = []string{"X"} },
	} {
		o := Options{Callout: &CalloutOptions{Issuer: s.issuer.key, AuthUsers: []string{"auth"}}, Users: []User{{User: "auth", Password: "p"}}}
		edit(o.Callout)
		if _, err := New(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCalloutOfAnAccountJWT(t *testing.T) {
	r := newRealm(t)
	signing, curve := newPair(t, nkeys.CreateAccount), newPair(t, nkeys.CreateCurveKeys)
	for _, c := range []struct {
		name  string
		edit  func(s *service, m, target *member)
		where string // "own", "target" or "": refused
	}{
		{"own account", func(s *service, m, _ *member) {}, "own"},
		{"sealed", func(s *service, m, _ *member) { s.xkey, m.claims.Authorization.XKey = &curve, curve.key }, "own"},
		{"unsealed where it may be sealed", func(s *service, m, _ *member) {
			s.xkey, s.clear, m.claims.Authorization.XKey = &curve, true, curve.key
		}, "own"},
		{"signing key", func(s *service, m, _ *member) {
			m.claims.SigningKeys.Add(signing.key)
			s.signer, s.userBy, s.user = &signing, &signing, func(u *jwt.UserClaims) { u.IssuerAccount = m.key }
		}, "own"},
		{"signed by another", func(s *service, m, target *member) { s.signer = &target.keyed }, ""},
		{"target", func(s *service, m, target *member) {
			m.claims.Authorization.AllowedAccounts.Add(target.key)
			s.userBy = &target.keyed
		}, "target"},
		{"any target", func(s *service, m, target *member) {
			m.claims.Authorization.AllowedAccounts.Add(jwt.AnyAccount)
			s.userBy = &target.keyed
		}, "target"},
		{"target that is not allowed", func(s *service, m, target *member) { s.userBy = &target.keyed }, ""},
	} {
		s, m, target := newService(t), r.account("acme"), r.account("target")
		own := newPair(t, nkeys.CreateUser)
		m.claims.Authorization.AuthUsers.Add(own.key)
		s.issuer = m.keyed
		c.edit(s, m, target)
		d := r.directory(r.options(m, target))
		d.SetCaller(s.call)
		key, err := NewServerKey()
		if err != nil {
			t.Fatal(err)
		}
		d.SetServer(Server{Key: key, Name: "edge"})
		id, _, err := login(d, m.user(func(u *jwt.UserClaims) {
			u.Name = "device"
			u.Tags.Add("a:b")
		}, nil))
		want := map[string]string{"own": m.key, "target": target.key}[c.where]
		if (err == nil) != (want != "") || err == nil && id.Account != want {
			t.Errorf("%s: %+v %v", c.name, id, err)
		}
		if s.request == nil || s.request.Server.ID != key.ID() || s.request.ClientInformation.NameTag != "device" || s.account != m.key || s.request.Subject != m.key {
			t.Errorf("%s: request %+v", c.name, s.request)
		}
		if err == nil && (id.Name != "device" || !slices.Equal(id.Tags, []string{"a:b"})) {
			t.Errorf("%s: shown as %q %q, which is not what the client has shown", c.name, id.Name, id.Tags)
		}
		if err == nil && id.Perms.MayPublish([]byte(calloutSubject)) == (c.where == "own") {
			t.Errorf("%s: may publish where the service is asked: wrong", c.name)
		}
	}
}

func TestTheServicesOwnUserIsNotAskedAbout(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	user := newPair(t, nkeys.CreateUser)
	m.claims.Authorization.AuthUsers.Add(user.key)
	d := r.directory(r.options(m))
	creds := m.user(func(u *jwt.UserClaims) { u.Subject = user.key }, nil)
	creds.Signature = signature(t, user)
	id := mustLogin(t, d, creds)
	if id.Account != m.key || id.Perms.MayPublish([]byte(calloutSubject)) {
		t.Errorf("%+v", id)
	}
	if now, err := d.Recheck(id); now != id {
		t.Errorf("recheck: %v", err)
	}
	if _, _, err := login(d, m.user(nil, nil)); !errors.Is(err, ErrCredentials) {
		t.Errorf("nobody can be asked: %v", err)
	}
}
