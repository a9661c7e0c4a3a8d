package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"testing"
	"time"
)

var (
	oidCN  = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidO   = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidOU  = asn1.ObjectIdentifier{2, 5, 4, 11}
	oidDC  = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}
	oidUID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}
)

// part is one part of a subject.
func part(kindsAndValues ...any) (set pkix.RelativeDistinguishedNameSET) {
	for i := 0; i < len(kindsAndValues); i += 2 {
		set = append(set, pkix.AttributeTypeAndValue{Type: kindsAndValues[i].(asn1.ObjectIdentifier), Value: kindsAndValues[i+1]})
	}
	return set
}

// A certificateCase is a certificate, users, and who it is to nats-server 2.15.2.
type certificateCase struct {
	name    string
	subject pkix.RDNSequence
	email   []string
	dns     []string
	uri     string
	users   []User
	given   Credentials // what CONNECT holds besides
	want    string      // empty: refused
}

func named(names ...string) (users []User) {
	for _, name := range names {
		users = append(users, User{User: name})
	}
	return users
}

var acme = pkix.RDNSequence{part(oidO, "acme"), part(oidOU, "eng"), part(oidCN, "joe")}

var certificateCases = []certificateCase{
	{name: "e-mail address", email: []string{"no@x", "joe@x"}, users: named("joe@x"), want: "joe@x"},
	{name: "host name", dns: []string{"joe.x"}, users: named("joe.x"), want: "joe.x"},
	{name: "URI", uri: "spiffe://x/joe", users: named("spiffe://x/joe"), want: "spiffe://x/joe"},
	{name: "e-mail address before host name", email: []string{"joe@x"}, dns: []string{"joe.x"}, users: named("joe.x", "joe@x"), want: "joe@x"},
	{name: "host name if the address is nobody", email: []string{"joe@x"}, dns: []string{"joe.x"}, users: named("joe.x"), want: "joe.x"},
	{name: "URI if the address is nobody", email: []string{"joe@x"}, uri: "spiffe://x/joe", users: named("spiffe://x/joe"), want: "spiffe://x/joe"},
	{name: "alternative name before subject", subject: acme, dns: []string{"joe.x"}, users: named("CN=joe,OU=eng,O=acme", "joe.x"), want: "joe.x"},
	{name: "subject", subject: acme, users: named("CN=joe,OU=eng,O=acme"), want: "CN=joe,OU=eng,O=acme"},
	{name: "subject with blanks and in lower case", subject: acme, users: named("cn=joe, ou = eng ,o=acme"), want: "cn=joe, ou = eng ,o=acme"},
	{name: "subject in another order", subject: acme, users: named("O=acme,CN=joe,OU=eng"), want: "O=acme,CN=joe,OU=eng"},
	{name: "subject in its order first", subject: acme, users: named("O=acme,CN=joe,OU=eng", "cn=joe,OU=eng,O=acme"), want: "cn=joe,OU=eng,O=acme"},
	{name: "part of the subject", subject: acme, users: named("CN=joe", "OU=eng,O=acme"), want: ""},
	{name: "more than the subject", subject: acme, users: named("CN=joe,OU=eng,O=acme,C=us"), want: ""},
	{name: "value in another case", subject: acme, users: named("CN=Joe,OU=eng,O=acme"), want: ""},
	{name: "common name alone", subject: acme, users: named("joe"), want: ""},
	{name: "escaped comma", subject: pkix.RDNSequence{part(oidO, "acme, inc"), part(oidCN, "joe")}, users: named(`CN=joe,O=acme\, inc`), want: `CN=joe,O=acme\, inc`},
	{name: "hex digits", subject: pkix.RDNSequence{part(oidO, "a+b"), part(oidCN, "joe")}, users: named(`cn=joe,O=a\2bb`), want: `cn=joe,O=a\2bb`},
	{name: "two attributes in a part", subject: pkix.RDNSequence{part(oidO, "acme"), part(oidCN, "joe", oidOU, "eng")}, users: named("OU=eng+CN=joe,O=acme"), want: "OU=eng+CN=joe,O=acme"},
	{name: "two parts are not one", subject: acme, users: named("CN=joe+OU=eng,O=acme"), want: ""},
	{name: "domain components", subject: pkix.RDNSequence{part(oidDC, "com"), part(oidDC, "x"), part(oidCN, "joe")}, users: named("CN=joe,DC=x,DC=com"), want: "CN=joe,DC=x,DC=com"},
	{name: "attribute without a short name", subject: pkix.RDNSequence{part(oidUID, "7"), part(oidCN, "joe")}, users: named("CN=joe,UID=7"), want: ""},
	{name: "nobody", subject: acme, users: named("bob"), want: ""},
	{name: "user of another connection type", email: []string{"joe@x"}, dns: []string{"joe.x"},
		users: []User{{User: "joe@x", Types: []string{"MQTT"}}, {User: "joe.x"}}, want: "joe.x"},
	{name: "the name in CONNECT does not count", email: []string{"joe@x"}, users: named("joe@x", "bob"), given: Credentials{User: "bob"}, want: "joe@x"},
	{name: "user with a password", email: []string{"joe@x"}, users: []User{{User: "joe@x", Password: "p"}}, want: ""},
	{name: "user with a password that is given", email: []string{"joe@x"}, users: []User{{User: "joe@x", Password: "p"}}, given: Credentials{Password: "p"}, want: "joe@x"},
	{name: "password of a user without one", email: []string{"joe@x"}, users: named("joe@x"), given: Credentials{Password: "p"}, want: ""},
}

// certificate makes one, signed by parent or by itself.
func (c *certificateCase) certificate(t *testing.T, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), EmailAddresses: c.email, DNSNames: c.dns,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}}
	if template.RawSubject, err = asn1.Marshal(c.subject); err != nil {
		t.Fatal(err)
	}
	if c.uri != "" {
		uri, err := url.Parse(c.uri)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = []*url.URL{uri}
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	return made, key
}

func TestCertificatesNameUsers(t *testing.T) {
	for _, c := range certificateCases {
		d := mustDirectory(t, Options{Users: c.users, VerifyAndMap: true})
		made, _ := c.certificate(t, nil, nil)
		c.given.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{made}}
		id, _, err := login(d, c.given)
		if got := userOf(id); got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: is %q (%v), want %q", c.name, got, err, c.want)
		}
	}
}

func userOf(id *Identity) string {
	if id == nil {
		return ""
	}
	return id.User
}

func TestWithoutACertificateNobodyIsMapped(t *testing.T) {
	d := mustDirectory(t, Options{Users: []User{{User: "joe", Password: "p"}, {User: "guest"}}, VerifyAndMap: true, TopOptions: TopOptions{NoAuthUser: "guest"}})
	for name, c := range map[string]Credentials{
		"plain":                   {User: "joe", Password: "p"},
		"encrypted":               {User: "joe", Password: "p", TLS: &tls.ConnectionState{}},
		"nothing given":           {},
		"within the process":      {User: "joe", Password: "p", Type: InProcess},
		"elsewhere, no password":  {User: "guest", Type: MQTT},
		"elsewhere, not a secret": {User: "joe", Type: MQTT},
	} {
		if id, _, err := login(d, c); err == nil {
			t.Errorf("%s: is %q", name, id.User)
		}
	}
	if d.Guest() != nil {
		t.Error("before CONNECT there is a guest")
	}
	if id, _, err := login(d, Credentials{User: "joe", Password: "p", Type: MQTT}); err != nil {
		t.Errorf("elsewhere, with a password: %v %v", id, err)
	}
}

func TestDistinguishedNames(t *testing.T) {
	for text, want := range map[string]bool{
		"CN=a": true, "CN=a,O=b": true, "CN=a+OU=b,O=c": true, `CN=a\,b`: true, `CN=\41`: true, "CN=a,": true, "CN=": true,
		"": false, "a": false, "=a": false, "CN=a,b": false, `CN=a\`: false, `CN=a\4`: false, `CN=a\zz`: false, "CN=#04": false, "CN=a=b": false,
	} {
		if _, ok := parseDN(text); ok != want {
			t.Errorf("%q is a distinguished name: %v", text, ok)
		}
	}
}

func FuzzDistinguishedName(f *testing.F) {
	for _, c := range certificateCases {
		f.Add(c.users[0].User)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if dn, ok := parseDN(text); ok && (!dn.equal(dn) || !dn.permuted(dn)) {
			t.Errorf("%q is not equal to itself", text)
		}
	})
}
