package leafnode

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
)

type user struct{ seed, public string }

func newUser(t *testing.T) user {
	t.Helper()
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := pair.Seed()
	public, _ := pair.PublicKey()
	return user{string(seed), public}
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// credsText is a credentials file with what users do to them: dashes more or fewer, blank lines, CRLF.
func credsText(jwt, seed string) string {
	return "-----BEGIN NATS USER JWT-----\n" + jwt + "\n------END NATS USER JWT------\n\n" +
		"************************* IMPORTANT *************************\nNKEY Seed printed below can be used to sign and prove identity.\n\n" +
		"-----BEGIN USER NKEY SEED-----\n" + seed + "\n------END USER NKEY SEED------\n\n*************************************************************\n"
}

func TestCredentialsComeFromEveryForm(t *testing.T) {
	u := newUser(t)
	const jwt = "eyJ0eXAi.eyJqdGki.c2ln"
	creds := credsText(jwt, u.seed)
	for _, c := range []struct {
		name   string
		url    string
		remote Remote
		want   connectCredentials // without the signature
		signs  bool
	}{
		{"nothing", "nats-leaf://hub", Remote{}, connectCredentials{}, false},
		{"user and password", "nats-leaf://u:p%40ss@hub", Remote{}, connectCredentials{user: "u", password: "p@ss"}, false},
		{"token", "nats-leaf://tok@hub", Remote{}, connectCredentials{user: "tok", token: "tok"}, false},
		{"an empty password", "nats-leaf://tok:@hub", Remote{}, connectCredentials{user: "tok"}, false},
		{"a seed", "nats-leaf://hub", Remote{NKey: u.seed}, connectCredentials{nkey: u.public}, true},
		{"a file with a seed", "nats-leaf://hub", Remote{NKey: writeFile(t, " "+u.seed+"\r\n")}, connectCredentials{nkey: u.public}, true},
		{"the seed of a credentials file", "nats-leaf://hub", Remote{NKey: writeFile(t, creds)}, connectCredentials{nkey: u.public}, true},
		{"a credentials file", "nats-leaf://hub", Remote{Credentials: writeFile(t, creds)}, connectCredentials{jwt: jwt}, true},
		{"one of Windows", "nats-leaf://hub", Remote{Credentials: writeFile(t, strings.ReplaceAll(creds, "\n", "\r\n"))}, connectCredentials{jwt: jwt}, true},
		{"one with few dashes", "nats-leaf://hub", Remote{Credentials: writeFile(t, strings.NewReplacer("------", "---", "-----", "---").Replace(creds))},
			connectCredentials{jwt: jwt}, true},
		{"one that ends early", "nats-leaf://hub", Remote{Credentials: writeFile(t, creds[:strings.LastIndex(creds, "------")+6])}, connectCredentials{jwt: jwt}, true},
		{"a file and a user", "nats-leaf://u:p@hub", Remote{Credentials: writeFile(t, creds), NKey: "nobody looks at it"},
			connectCredentials{jwt: jwt, user: "u", password: "p"}, true},
	} {
		at, _ := url.Parse(c.url)
		sign, err := loadCredentials(&c.remote, at)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		const nonce = "abcdefghijklmno"
		got, err := sign(nonce)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if (got.signature != "") != c.signs || c.signs && !u.signed(got.signature, nonce) {
			t.Errorf("%s: signature %q", c.name, got.signature)
		}
		if got.signature = ""; got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		if _, err := sign(""); (err != nil) != c.signs {
			t.Errorf("%s: nothing to sign: %v", c.name, err)
		}
	}
}

func (u user) signed(signature, nonce string) bool {
	raw, err := base64.RawURLEncoding.DecodeString(signature)
	key, bad := nkeys.FromPublicKey(u.public)
	return err == nil && bad == nil && key.Verify([]byte(nonce), raw) == nil
}

func TestCredentialsThatCannotBeUsedSayWhyAndNotWhat(t *testing.T) {
	u := newUser(t)
	account, _ := nkeys.CreateAccount()
	foreign, _ := account.Seed()
	slip := u.seed[:20] + "1" + u.seed[21:] // 1 is in no seed
	for _, c := range []struct {
		name   string
		remote Remote
		want   string
	}{
		{"no file", Remote{Credentials: "/nowhere/edge.creds"}, "put the file there"},
		{"a folder", Remote{Credentials: t.TempDir()}, "is no file"},
		{"an empty file", Remote{Credentials: writeFile(t, "")}, "nsc generate creds"},
		{"a JWT alone", Remote{Credentials: writeFile(t, "-----BEGIN NATS USER JWT-----\n"+u.seed+"\n------END NATS USER JWT------\n")}, "nsc generate creds"},
		{"a file that is too large", Remote{Credentials: writeFile(t, strings.Repeat("x", maxSecretFile+1))}, "larger than 256 KiB"},
		{"a wrong seed in it", Remote{Credentials: writeFile(t, credsText("jwt", slip))}, "no valid seed"},
		{"a wrong seed", Remote{NKey: slip}, "no valid seed"},
		{"half a seed", Remote{NKey: u.seed[:52]}, "no valid seed"},
		{"a file with a wrong seed", Remote{NKey: writeFile(t, slip)}, "no valid seed"},
		{"an account's seed", Remote{NKey: string(foreign)}, "is that of an account"},
		{"no file with a seed", Remote{NKey: "edge.nk"}, "full path"},
	} {
		_, err := loadCredentials(&c.remote, &url.URL{Host: "hub"})
		switch {
		case err == nil || !errors.Is(err, errCredentials) || !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		case strings.Contains(err.Error(), u.seed[10:20]) || strings.Contains(err.Error(), string(foreign[10:20])):
			t.Errorf("%s: the error shows the seed: %v", c.name, err)
		}
	}
	if _, err := loadCredentials(&Remote{NKey: "edge.nk"}, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that does not exist: %v", err)
	}
}

// Logs and pages show what is the matter and what to do apart.
func TestMissingCredentialsSayWhatToDoApart(t *testing.T) {
	for _, c := range []struct {
		name             string
		remote           Remote
		reason, contains string
	}{
		{"a relative name", Remote{Credentials: "./nowhere/edge.creds"}, `credentials "./nowhere/edge.creds": `, "relative names count from"},
		{"a full name", Remote{Credentials: filepath.Join(t.TempDir(), "edge.creds")}, `credentials "`, "put the file there, or look"},
		{"a seed", Remote{NKey: "./nowhere/edge.nk"}, `nkey "./nowhere/edge.nk": `, "relative names count from"},
		{"no credentials", Remote{Credentials: writeFile(t, "")}, `credentials "`, "nsc generate creds"},
		{"a wrong seed", Remote{NKey: writeFile(t, "S")}, `nkey "`, "begins with SU"},
	} {
		_, err := loadCredentials(&c.remote, &url.URL{Host: "hub"})
		if reason, remedy := explain(err); !strings.HasPrefix(reason, c.reason) || !strings.Contains(remedy, c.contains) || strings.Contains(reason, remedy) {
			t.Errorf("%s: reason %q, remedy %q", c.name, reason, remedy)
		}
	}
}

func TestNewCredentialsFileCountsAtTheNextAttempt(t *testing.T) {
	first, second := newUser(t), newUser(t)
	r := &Remote{NKey: writeFile(t, first.seed)}
	for _, u := range []user{first, second} {
		if err := os.WriteFile(r.NKey, []byte(u.seed), 0o600); err != nil {
			t.Fatal(err)
		}
		sign, err := loadCredentials(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sign("n"); err != nil || got.nkey != u.public {
			t.Errorf("%+v, %v, want %s", got, err, u.public)
		}
	}
	if err := os.Remove(r.NKey); err != nil {
		t.Fatal(err)
	}
	if _, err := loadCredentials(r, nil); err == nil {
		t.Error("the file is gone, and nobody minds")
	}
}

func TestFlawOfACredentialsFileIsFoundAfterARefusal(t *testing.T) {
	u, now := newUser(t), time.Date(2026, 5, 6, 7, 8, 0, 0, time.UTC)
	file := func(claims string) string {
		return writeFile(t, credsText("e30."+base64.RawURLEncoding.EncodeToString([]byte(claims))+".c2ln", u.seed))
	}
	for _, c := range []struct{ name, file, want string }{
		{"no file", "", ""},
		{"nothing is wrong", file(`{"exp":1778051281,"nats":{"allowed_connection_types":["STANDARD","LEAFNODE"]}}`), ""},
		{"it says little", file(`{}`), ""},
		{"it has expired", file(`{"exp":1778051280}`), "expired at 2026-05-06 07:08 UTC"},
		{"it is not valid yet", file(`{"nbf":1778051281}`), "valid from 2026-05-06 07:08 UTC"},
		{"it is for others", file(`{"nats":{"allowed_connection_types":["STANDARD"]}}`), "LEAFNODE"},
		{"no JWT", writeFile(t, credsText("nothing", u.seed)), "holds no JWT"},
		{"a broken JWT", writeFile(t, credsText("e30.e30e.c2ln", u.seed)), "cannot be read"},
		{"it is gone", "/nowhere/edge.creds", "put the file there"},
	} {
		got := credentialsFlaw(&Remote{Credentials: c.file}, now)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || strings.Contains(got, u.seed[4:]) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
