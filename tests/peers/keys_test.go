package peers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A key is one that signs.
type key struct{ nkeys.KeyPair }

func (k key) public() string { return must(k.PublicKey()) }
func (k key) seed() string   { return string(must(k.Seed())) }

func userKey() key     { return key{must(nkeys.CreateUser())} }
func accountKey() key  { return key{must(nkeys.CreateAccount())} }
func operatorKey() key { return key{must(nkeys.CreateOperator())} }

// write makes a file in the test's folder.
func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A realm is an operator with the accounts that he has signed.
type realm struct {
	operator key
	accounts []*account
}

// An account is one account of a realm, with its claims as they are to be signed next.
type account struct {
	key
	realm  *realm
	claims *jwt.AccountClaims
}

func newRealm() *realm { return &realm{operator: operatorKey()} }

func (r *realm) account(name string) *account {
	k := accountKey()
	a := &account{key: k, realm: r, claims: jwt.NewAccountClaims(k.public())}
	a.claims.Name = name
	r.accounts = append(r.accounts, a)
	return a
}

// token is the account's JWT.
func (a *account) token() string { return must(a.claims.Encode(a.realm.operator)) }

// user makes a user who is signed by the account's key, or by the one given.
func (a *account) user(name string, change func(*jwt.UserClaims), by ...key) user {
	k := userKey()
	claims := jwt.NewUserClaims(k.public())
	claims.Name = name
	signer := a.key
	if len(by) > 0 {
		signer = by[0]
		claims.IssuerAccount = a.public()
	}
	if change != nil {
		change(claims)
	}
	return user{key: k, jwt: must(claims.Encode(signer))}
}

// A user is one with a JWT.
type user struct {
	key
	jwt string
}

// creds is the user's file, signing with the user's own key or the one given, which the library
// that writes such files would refuse.
func (u user) creds(t *testing.T, by ...key) string {
	t.Helper()
	k := u.key
	if len(by) > 0 {
		k = by[0]
	}
	return write(t, "user.creds", fmt.Sprintf(`-----BEGIN NATS USER JWT-----
%s
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
%s
------END USER NKEY SEED------
`, u.jwt, k.seed()))
}

// trust is the operator's part of a configuration.
func (r *realm) trust(system *account) string {
	claims := jwt.NewOperatorClaims(r.operator.public())
	claims.Name = "operator"
	return "operator: " + must(claims.Encode(r.operator)) + "\nsystem_account: " + system.public() + "\n"
}

// preload is a resolver that knows all accounts of the realm from the configuration.
func (r *realm) preload() string {
	text := "resolver: MEMORY\nresolver_preload: {\n"
	for _, a := range r.accounts {
		text += a.public() + ": " + a.token() + "\n"
	}
	return text + "}\n"
}

// An authority signs certificates.
type authority struct {
	file string // its own certificate
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// A certificate is a file and that of its key.
type certificate struct{ file, key string }

func serial() *big.Int { return must(rand.Int(rand.Reader, big.NewInt(1<<62))) }

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der := must(x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key))
	a.cert = must(x509.ParseCertificate(der))
	a.file = write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	return a
}

// issue signs a certificate for clients and servers alike.
func (a *authority) issue(t *testing.T, change func(*x509.Certificate)) certificate {
	t.Helper()
	k := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "nobody"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(template)
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, k.Public(), a.key))
	return certificate{
		file: write(t, "cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		key:  write(t, "key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(k))}))),
	}
}

// forServer is a certificate for the address that servers of tests have.
func (a *authority) forServer(t *testing.T) certificate {
	t.Helper()
	return a.issue(t, func(c *x509.Certificate) {
		c.Subject.CommonName = "server"
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
		c.DNSNames = []string{"localhost"}
	})
}

// set is how a client is told to use it.
func (c certificate) set() string { return "cert " + c.file + " " + c.key }

// pin is the certificate as pinned_certs lists it.
func (c certificate) pin(t *testing.T) string {
	t.Helper()
	block, _ := pem.Decode(must(os.ReadFile(c.file)))
	sum := sha256.Sum256(must(x509.ParseCertificate(block.Bytes)).RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

func credentials(file string) nats.Option { return nats.UserCredentials(file) }
