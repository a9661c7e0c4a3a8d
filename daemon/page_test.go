package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/monitor"
)

// look gets a page of a running daemon.
func (r *running) look(t *testing.T, scheme, path, user, password string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(http.MethodGet, scheme+"://"+r.monitorListener.Addr().String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		request.SetBasicAuth(user, password)
	}
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// awaitPongs waits for the answers to two PINGs: that of mustConnect, and one behind what is to have been done.
func (c *client) awaitPongs(t *testing.T) {
	t.Helper()
	for pongs := 0; pongs < 2; {
		switch line := c.line(t); {
		case line == "PONG":
			pongs++
		case !strings.HasPrefix(line, "INFO "):
			t.Fatalf("got %q", line)
		}
	}
}

func TestPagesTellOfClients(t *testing.T) {
	r := mustRun(t, Options{Monitor: MonitorOptions{HTTP: Address{Host: loopbackHost, Port: randomPort}}})
	c := mustConnect(t, r, `,"name":"sensor","lang":"go","version":"1"`)
	fmt.Fprint(c, "SUB a.* q 7\r\nPUB nobody.wants.it 0\r\n\r\nPING\r\n")
	c.awaitPongs(t)
	for path, want := range map[string]string{
		"/varz": `"connections": 1,`, "/connz?subs=detail": `"qgroup": "q",`, "/connz?auth=1": `"name_tag": "$G"`,
		"/subsz?subs=1&test=a.b": `"sid": "7",`, "/accstatz": `"acc": "$G",`, "/accstatz?unused=1": `"no_interest": 1`, "/accountz": `"$SYS"`, "/healthz": `{"status":"ok"}`,
	} {
		if code, text := r.look(t, "http", path, "", ""); code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	_, text := r.look(t, "http", "/subsz?subs=1&test=b", "", "")
	if strings.Contains(text, "subscriptions_list") {
		t.Errorf("nothing matches b: %s", text)
	}
	r.Stop()
	r.mustEnd(t)
}

func TestVarzTellsOurVersionAndOperators(t *testing.T) {
	operator, err := nkeys.CreateOperator()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := operator.PublicKey()
	claims := jwt.NewOperatorClaims(public)
	claims.Name = "plant"
	token, err := claims.Encode(operator)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Version: "1.2.3", Monitor: MonitorOptions{HTTP: Address{Host: loopbackHost, Port: randomPort}}}
	o.Top.Operator = auth.OperatorOptions{Operators: []string{token}, Resolver: auth.ResolverOptions{Type: "MEMORY"}}
	o.Host = loopbackHost
	r := mustRun(t, o)
	_, text := r.look(t, "http", "/varz", "", "")
	for _, want := range []string{`"edgebus_version": "1.2.3"`, `"trusted_operators_jwt": [`, token, `"trusted_operators_claim": [`, `"name": "plant"`, `"version": "2.10.0"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
	r.Stop()
	r.mustEnd(t)
}

// No page shows what a client has to bring.
func TestPagesShowNoSecrets(t *testing.T) {
	o := Options{
		Auth:    auth.Options{User: "ann", Password: "hidden-one"},
		Monitor: MonitorOptions{HTTP: Address{Host: loopbackHost, Port: randomPort}, User: "op", Password: "hidden-two"},
	}
	r := mustRun(t, o)
	mustConnect(t, r, `,"user":"ann","pass":"hidden-one"`)
	for _, credentials := range [][2]string{{"", ""}, {"op", "x"}, {"ann", "hidden-one"}, {"op", "hidden-two "}} {
		if code, _ := r.look(t, "http", "/varz", credentials[0], credentials[1]); code != http.StatusUnauthorized {
			t.Errorf("%q may look: %d", credentials, code)
		}
	}
	for _, path := range []string{"/varz", "/connz?auth=1&subs=detail&state=any", "/accountz?acc=$G", "/accstatz?unused=1", "/stacksz", "/debug/vars", "/"} {
		if code, text := r.look(t, "http", path, "op", "hidden-two"); code != http.StatusOK || strings.Contains(text, "hidden") {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	r.Stop()
	r.mustEnd(t)
	if strings.Contains(r.out.String(), "hidden") {
		t.Error("a secret is in the log")
	}
}

func TestTheViewersPasswordMayBeAHash(t *testing.T) {
	hash, err := auth.HashPassword("hidden", 4)
	if err != nil {
		t.Fatal(err)
	}
	o := MonitorOptions{HTTP: Address{Host: loopbackHost, Port: randomPort}, User: "op", Password: hash}
	r := mustRun(t, Options{Monitor: o})
	for credentials, want := range map[[2]string]int{
		{"op", "hidden"}: http.StatusOK, {"op", hash}: http.StatusUnauthorized, {"ann", "hidden"}: http.StatusUnauthorized,
	} {
		if code, _ := r.look(t, "http", "/varz", credentials[0], credentials[1]); code != want {
			t.Errorf("%q: %d, want %d", credentials, code, want)
		}
	}
	r.Stop()
	r.mustEnd(t)
	o.Password = "$2a$11$short"
	if _, err := New(Options{Monitor: o}); !isOptions(err) || !strings.Contains(err.Error(), "http_password") {
		t.Errorf("half a hash: %v", err)
	}
}

// writePair makes a certificate of that number and writes it and its key into a new folder.
func writePair(t *testing.T, number int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(number), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certFile, keyFile = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// The tls block may ask clients for certificates; a browser has none.
func TestPagesAreEncryptedWithoutACertificateOfTheBrowser(t *testing.T) {
	certFile, keyFile := writePair(t, 1)
	r := mustRun(t, Options{
		TLS:     &TLSOptions{CertFile: certFile, KeyFile: keyFile, CAFile: certFile, Verify: true},
		Monitor: MonitorOptions{HTTPS: Address{Host: loopbackHost, Port: randomPort}},
	})
	code, text := r.look(t, "https", "/varz", "", "")
	var v monitor.Varz
	if err := json.Unmarshal([]byte(text), &v); err != nil || code != http.StatusOK {
		t.Fatalf("%d %v %s", code, err, text)
	}
	if !v.TLSRequired || !v.TLSVerify || v.HTTPSPort == 0 || v.HTTPPort != 0 || v.TLSCertNotAfter.IsZero() {
		t.Errorf("shows %+v", v)
	}
	r.Stop()
	r.mustEnd(t)
}

func TestReloadChangesTheCertificateOfPages(t *testing.T) {
	config := func(number int64) string {
		certFile, keyFile := writePair(t, number)
		return fmt.Sprintf("https: \"127.0.0.1:-1\"\ntls { cert_file: %q, key_file: %q }", certFile, keyFile)
	}
	r, change := reloading(t, config(1))
	shown := func() int64 {
		t.Helper()
		conn, err := tls.Dial("tcp", r.monitorListener.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	for number := range int64(3) {
		if number > 0 {
			if err := change(config(1 + number)); err != nil {
				t.Fatal(err)
			}
		}
		if got := shown(); got != 1+number {
			t.Errorf("certificate %d, want %d", got, 1+number)
		}
	}
	r.Stop()
	r.mustEnd(t)
}

func TestWeightsAreShownAsNatsServerShowsThem(t *testing.T) {
	got := shownMappings([]auth.Mapping{
		{Source: "w", Destinations: []auth.Destination{{Subject: "w1", Weight: 40}, {Subject: "w2", Weight: 30}}},
		{Source: "m.*", Destinations: []auth.Destination{{Subject: "n.$1", Weight: 100}}},
	})
	want := `{"m.*":[{"subject":"n.$1","weight":100}],"w":[{"subject":"w2","weight":30},{"subject":"w","weight":60},{"subject":"w1","weight":100}]}`
	if text, err := json.Marshal(got); err != nil || string(text) != want {
		t.Errorf("got %s, want %s", text, want)
	}
}

// Every account gets what the system account offers, once; what is configured stays as it was.
func TestAccountsGetTheServicesOfTheSystemAccount(t *testing.T) {
	configured := []*auth.Account{{Name: "A"}, {Name: "SYS", System: true}}
	with := withSystem(withSystem(configured, "SYS"), "SYS")
	if len(configured[0].Imports) != 0 || len(configured[1].Exports) != 0 {
		t.Error("what was configured has changed")
	}
	if n := len(with[0].Imports); n != 4 {
		t.Errorf("A has %d imports, want 4", n)
	}
	for _, i := range with[0].Imports {
		if i.From != "SYS" || !i.Service || !strings.Contains(i.Subject, ".A.") {
			t.Errorf("A imports %+v", i)
		}
	}
	if n := len(with[1].Exports); n != 4 {
		t.Errorf("SYS has %d exports, want 4", n)
	}
	if got := withSystem(configured, ""); len(got[0].Imports) != 0 {
		t.Error("without a system account there are imports")
	}
}

func TestGuessingThePagesPasswordIsSlow(t *testing.T) {
	o := Options{Monitor: MonitorOptions{HTTP: Address{Host: loopbackHost, Port: randomPort}, User: "op", Password: "right"}}
	o.Server.MaxFailedLogins = 1
	r := mustRun(t, o)
	for range 3 {
		if code, _ := r.look(t, "http", "/varz", "op", "guess"); code != http.StatusUnauthorized {
			t.Fatalf("a guess got %d", code)
		}
	}
	begun := time.Now()
	for _, least := range []time.Duration{300 * time.Millisecond, 0} {
		if code, _ := r.look(t, "http", "/varz", "op", "right"); code != http.StatusOK {
			t.Errorf("who may look got %d", code)
		}
		if took := time.Since(begun); took < least {
			t.Errorf("the first time took %v", took)
		}
	}
	// The address is known as one that guesses at the other doors too.
	given := auth.Credentials{Type: auth.Standard, User: "u", Password: "p", Remote: netip.MustParseAddr(loopbackHost)}
	wait, _ := r.slowdown.Begin(&given, 1, engine.Now())
	if wait == 0 || r.options.Server.Slowdown != &r.slowdown || r.options.Leaf.Options.Slowdown != &r.slowdown {
		t.Errorf("a client waits %v", wait)
	}
	r.slowdown.Waited(given.Remote)
	r.Stop()
	r.mustEnd(t)
}
