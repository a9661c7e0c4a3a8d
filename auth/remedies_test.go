package auth

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"strings"
	"testing"
)

func TestCertificatesThatNameNobodyAreNamed(t *testing.T) {
	d, err := New(Options{Users: []User{{User: "CN=a"}, {User: "bob", Password: "pw"}}, VerifyAndMap: true})
	if err != nil {
		t.Fatal(err)
	}
	shown := &tls.ConnectionState{PeerCertificates: []*x509.Certificate{{Subject: pkix.Name{CommonName: "pump", Organization: []string{"acme"}}}}}
	for _, c := range []struct {
		given Credentials
		want  string
	}{
		{Credentials{TLS: shown}, "CN=pump,O=acme"},
		{Credentials{TLS: shown, User: "bob", Password: "pw"}, "CN=pump,O=acme"},
		{Credentials{}, "shows no certificate"},
	} {
		_, slow, err := d.Authenticate(c.given)
		if slow != nil || !errors.Is(err, ErrCredentials) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.given, err)
		}
	}
	if !strings.Contains(d.Wanted(), "certificate") {
		t.Errorf("wanted: %q", d.Wanted())
	}
}

func TestWantedIsWhatTheConfigurationAsksFor(t *testing.T) {
	for want, d := range map[string]*Directory{
		"creds file":        {operator: &operator{}},
		"auth_callout":      {callout: &callout{}},
		"certificate":       {mapped: true},
		"token":             {single: &entry{}, byToken: true},
		"an nkey, that is":  {nkeys: map[string]*entry{"U": {}}},
		"password or an nk": {nkeys: map[string]*entry{"U": {}}, users: map[string]*entry{"a": {}}},
		"no_auth_user":      {users: map[string]*entry{"a": {}}},
	} {
		if got := d.Wanted(); !strings.Contains(got, want) {
			t.Errorf("%q does not say %q", got, want)
		}
	}
}
