package daemon

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeCertificate makes a certificate that signs itself, and its key.
func writeCertificate(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{
		certificate: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

// testdata/documented has what the documentation of NATS shows for a single server, restated. The first
// line of a file says what becomes of it: "loads", without a warning; "warns WORD" or "refused WORDS", where
// the warning or the error has these words.
func TestDocumentedConfigurationsLoadOrSayWhyNot(t *testing.T) {
	certificate, key := writeCertificate(t)
	t.Setenv("EDGEBUS_TEST_CERT", certificate)
	t.Setenv("EDGEBUS_TEST_KEY", key)
	t.Setenv("EDGEBUS_TEST_SECRET", "word")
	files, err := filepath.Glob("testdata/documented/*.conf")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, error %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".conf"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			first, _, _ := strings.Cut(string(text), "\n")
			what, words, _ := strings.Cut(strings.TrimPrefix(first, "# expect: "), " ")
			loaded, err := load(file, nil, testMemory)
			if err == nil {
				t.Cleanup(loaded.Close)
			}
			switch {
			case what == "refused" && err == nil:
				t.Errorf("loads; want an error about %q", words)
			case what == "refused" && !strings.Contains(err.Error(), words):
				t.Errorf("refused with %q, which says nothing of %q", err, words)
			case what != "refused" && err != nil:
				t.Errorf("refused: %v", err)
			case what == "loads" && len(loaded.Warnings) > 0:
				t.Errorf("loads with warnings %v", loaded.Warnings)
			case what == "warns" && (len(loaded.Warnings) == 0 || !strings.Contains(loaded.Warnings[0].String(), words)):
				t.Errorf("warnings %v, want one about %q", loaded.Warnings, words)
			case what != "loads" && what != "warns" && what != "refused":
				t.Errorf("the first line is %q", first)
			}
		})
	}
}
