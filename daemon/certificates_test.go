package daemon

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/engine"
	"github.com/edgebus-io/edgebus/monitor"
)

// renew puts another pair in the place of the one in these files.
func renew(t *testing.T, certFile, keyFile string, number int64) {
	t.Helper()
	newCert, newKey := writePair(t, number)
	for old, fresh := range map[string]string{certFile: newCert, keyFile: newKey} {
		if err := os.Rename(fresh, old); err != nil {
			t.Fatal(err)
		}
	}
}

// secretly connects with TLS, and says which certificate the server has shown.
func (r *running) secretly(t *testing.T) (c *client, number int64) {
	t.Helper()
	conn, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", fmt.Sprint(r.Addr().(*net.TCPAddr).Port)), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	c = &client{Conn: conn, in: bufio.NewReader(conn)}
	if line := c.line(t); !strings.HasPrefix(line, "INFO ") {
		t.Fatalf("no INFO but %q", line)
	}
	fmt.Fprint(conn, "CONNECT {\"verbose\":false}\r\n")
	return c, conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestARenewedCertificateIsInUseWithinFiveSeconds(t *testing.T) {
	t.Parallel()
	certFile, keyFile := writePair(t, 1)
	own, ownKey := writePair(t, 1)
	text := fmt.Sprintf("http: \"127.0.0.1:-1\"\ntls { cert_file: %q, key_file: %q, handshake_first: true }\n", certFile, keyFile) +
		fmt.Sprintf("leafnodes { remotes: [ { url: \"tls://127.0.0.1:1\", disabled: true, tls { cert_file: %q, key_file: %q } } ] }", own, ownKey)
	r, _ := reloading(t, text)
	live, number := r.secretly(t)
	if number != 1 {
		t.Fatalf("certificate %d", number)
	}

	// Half of a pair is not used, and is said when it stays so.
	before, _ := os.ReadFile(certFile)
	if err := os.WriteFile(certFile, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	door := r.shown.Load().watched[0].files
	for range 3 {
		door.Refresh()
	}
	if n := strings.Count(r.out.String(), "cannot be used; what was there stays in use"); n != 1 {
		t.Errorf("said %d times that the files cannot be used:\n%s", n, r.out)
	}
	if _, number := r.secretly(t); number != 1 {
		t.Errorf("certificate %d", number)
	}
	if err := os.WriteFile(certFile, before, 0o600); err != nil {
		t.Fatal(err)
	}

	renew(t, certFile, keyFile, 2)
	renew(t, own, ownKey, 2)
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		after := time.Since(began) // who dials by then is shown the new one, however long that takes
		_, door := r.secretly(t)
		link := r.shown.Load().remoteCerts[0].Config("hub").Certificates[0].Leaf.SerialNumber.Int64()
		if door == 2 && link == 2 {
			break
		}
		if after > 5*time.Second {
			t.Fatalf("after %v the door shows certificate %d, and the link %d", after, door, link)
		}
	}
	for _, block := range []string{"block=tls", `block="leafnodes: remotes 1"`} {
		if line := "Certificates read anew; connections that there are stay as they are " + block; !strings.Contains(r.out.String(), line) {
			t.Errorf("no line %q:\n%s", line, r.out)
		}
	}
	fmt.Fprint(live, "PING\r\n")
	if line := live.line(t); line != "PONG" {
		t.Errorf("the connection that was there got %q", line)
	}
	v := pages{r.Daemon}.varz()
	for _, at := range []time.Time{v.TLSCertNotAfter, v.Leaf.Remotes[0].TLSCertNotAfter} {
		if left := time.Until(at); left < 50*time.Minute || left > time.Hour {
			t.Errorf("it is shown to expire in %v", left)
		}
	}
	r.Stop()
	r.mustEnd(t)
}

// Nobody has to connect for the log to say what has become of the files.
func TestFilesAreLookedAtWithoutHandshakes(t *testing.T) {
	t.Parallel()
	certFile, keyFile := writePair(t, 1)
	r := mustRunWith(t, Options{TLS: &TLSOptions{CertFile: certFile, KeyFile: keyFile}}, func(d *Daemon) { d.certsEvery = 10 * time.Millisecond })
	says := func(line string) {
		t.Helper()
		for end := time.Now().Add(patience); !strings.Contains(r.out.String(), line); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no line %q:\n%s", line, r.out)
			}
		}
	}
	renew(t, certFile, keyFile, 2)
	says("Certificates read anew")
	if err := os.WriteFile(keyFile, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	says("cannot be used; what was there stays in use")
	r.Stop()
	r.mustEnd(t)
}

func TestItIsWarnedFourteenDaysAheadAndOnceADay(t *testing.T) {
	t.Parallel()
	certFile, keyFile := writeCertificate(t)
	r, change := reloading(t, fmt.Sprintf("leafnodes { listen: \"127.0.0.1:-1\", tls { cert_file: %q, key_file: %q } }", certFile, keyFile))
	set := r.shown.Load()
	var v *monitor.Varz = pages{r.Daemon}.varz()
	expires := v.Leaf.TLSCertNotAfter
	if len(set.watched) != 1 || expires.IsZero() {
		t.Fatalf("%d blocks are watched, and expire at %v", len(set.watched), expires)
	}
	const day = 24 * time.Hour
	said, at := make(map[string]int64), engine.Now()
	for _, c := range []struct {
		left time.Duration
		want string // empty: nothing is said
	}{
		{15 * day, ""}, {14*day - time.Hour, "tls: cert_file"}, {14*day - 2*time.Hour, ""}, {13*day - time.Hour, "expires at " + expires.Format("2006-01-02")},
		{13*day - 2*time.Hour, ""}, {200 * day, ""}, {day, "put a new one in its place"}, {-time.Second, "the certificate expired at"}, {-time.Hour, ""},
	} {
		texts := strings.Join(newWarnings(set.watched, said, expires.Add(-c.left), at-int64(c.left)), "\n")
		if (c.want == "") != (texts == "") || !strings.Contains(texts, c.want) {
			t.Errorf("%v before: %q, want %q", c.left, texts, c.want)
		}
	}
	// Without files nobody looks.
	if err := change("leafnodes { listen: \"127.0.0.1:-1\" }"); err != nil {
		t.Fatal(err)
	}
	if set := r.shown.Load(); len(set.watched) != 0 || set.leafCerts != nil {
		t.Error("files are watched that nothing uses")
	}
	r.Stop()
	r.mustEnd(t)
}

func TestDescriptorsAreCheckedAgainstTheConfiguration(t *testing.T) {
	loaded, err := load(mustWrite(t, "max_connections: 5000\nmemory_limit: 1GB\nleafnodes { listen: \"127.0.0.1:-1\", max_links: 100 }"), nil, testMemory)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	o := &loaded.Options
	if text := o.scarceDescriptors(5100); !strings.Contains(text, "which takes 5164 sockets and files") || !strings.Contains(text, "open 5100: raise LimitNOFILE") {
		t.Errorf("said %q", text)
	}
	if text := o.scarceDescriptors(5164) + o.scarceDescriptors(0) + o.fewDescriptors(5164); text != "" {
		t.Errorf("said %q although there are enough, or nobody knows", text)
	}
	o.Server.MaxConnections = defaultConnections(o.MemoryLimit, 1024, o.connectionBytes())
	if text := o.fewDescriptors(1024); !strings.Contains(text, "so that max_connections is 960: LimitNOFILE") {
		t.Errorf("said %q", text)
	}
	if limit := maxDescriptors(); limit > 0 {
		raiseDescriptors(limit - 1) // it never lowers
		if now := maxDescriptors(); now != limit {
			t.Errorf("%d descriptors, before %d", now, limit)
		}
	}
}
