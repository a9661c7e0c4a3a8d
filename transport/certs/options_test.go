package certs

import (
	"crypto/tls"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestErrorsNameTheFileAndTheRemedy(t *testing.T) {
	o := newOffice(t)
	good, other := o.valid("good", "bus.example"), o.valid("other", "bus.example")
	write := func(name, text string) string {
		file := o.file(name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	locked := write("locked.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n")
	empty := write("empty.pem", "nothing\n")
	broken := write("broken.pem", "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")
	missing := filepath.Join(o.folder, "missing.pem")
	for name, c := range map[string]struct {
		o     Options
		wants []string
	}{
		"nothing":         {Options{}, []string{"cert_file", "no client can connect"}},
		"no key":          {Options{CertFile: good.CertFile}, []string{good.CertFile, "key_file"}},
		"no certificate":  {Options{KeyFile: good.KeyFile}, []string{good.KeyFile, "cert_file"}},
		"half a pair":     {Options{Certs: []Pair{good, {CertFile: other.CertFile}}}, []string{other.CertFile, "key_file"}},
		"both forms":      {Options{CertFile: good.CertFile, KeyFile: good.KeyFile, Certs: []Pair{other}}, []string{"certs"}},
		"missing":         {Options{CertFile: missing, KeyFile: good.KeyFile}, []string{"cert_file", missing, "relative names count from the folder"}},
		"missing key":     {Options{CertFile: good.CertFile, KeyFile: missing}, []string{"key_file", missing}},
		"folder":          {Options{CertFile: o.folder, KeyFile: good.KeyFile}, []string{"cert_file", o.folder}},
		"other key":       {Options{CertFile: good.CertFile, KeyFile: other.KeyFile}, []string{other.KeyFile, "is not the key of", good.CertFile}},
		"locked key":      {Options{CertFile: good.CertFile, KeyFile: locked}, []string{locked, "passphrase"}},
		"no PEM":          {Options{CertFile: empty, KeyFile: good.KeyFile}, []string{empty, "PEM"}},
		"no PEM in key":   {Options{CertFile: good.CertFile, KeyFile: empty}, []string{empty, "private key"}},
		"broken":          {Options{CertFile: broken, KeyFile: good.KeyFile}, []string{broken}},
		"missing CA":      {Options{CertFile: good.CertFile, KeyFile: good.KeyFile, CAFile: missing}, []string{"ca_file", missing}},
		"no CA":           {Options{CertFile: good.CertFile, KeyFile: good.KeyFile, CAFile: empty}, []string{"ca_file", empty}},
		"timeout":         {Options{CertFile: good.CertFile, KeyFile: good.KeyFile, Timeout: -1}, []string{"timeout"}},
		"weak, unmeant":   {Options{CertFile: good.CertFile, KeyFile: good.KeyFile, CipherSuites: Suites{tls.TLS_RSA_WITH_RC4_128_SHA}}, []string{"TLS_RSA_WITH_RC4_128_SHA", "allow_insecure_cipher_suites"}},
		"too many":        {Options{Certs: make([]Pair, maxCerts+1)}, []string{"certs", "256"}},
		"file of no size": {Options{CertFile: "/dev/zero", KeyFile: good.KeyFile}, []string{"/dev/zero"}},
	} {
		_, err := Load(&c.o)
		if !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.wants {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q does not say %q", name, err, want)
			}
		}
		if key, _ := os.ReadFile(good.KeyFile); strings.Contains(err.Error(), strings.Split(string(key), "\n")[1]) {
			t.Errorf("%s: the key is shown", name)
		}
	}
	weak := Options{CertFile: good.CertFile, KeyFile: good.KeyFile, CipherSuites: Suites{tls.TLS_RSA_WITH_RC4_128_SHA}, AllowInsecureCipherSuites: true}
	if _, err := Load(&weak); err != nil {
		t.Error(err)
	}
}

func TestTimesOfACertificateAreJudged(t *testing.T) {
	o := newOffice(t)
	for _, c := range []struct {
		from, to time.Duration
		want     string
	}{
		{-time.Hour, year, ""},
		{-2 * time.Hour, -time.Hour, "expired at"},
		{time.Hour, year, "not valid before"},
		{-time.Hour, 48 * time.Hour, "expires at"},
	} {
		p := o.issue("timed", "bus.example", c.from, c.to)
		s := o.load(&Options{CertFile: p.CertFile, KeyFile: p.KeyFile})
		got := strings.Join(s.Warnings(time.Now()), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) || c.want != "" && !strings.Contains(got, p.CertFile) {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestValuesAreReadAsNatsServerReadsThem(t *testing.T) {
	for _, c := range []struct {
		value any
		want  HandshakeFirst
		ok    bool
	}{
		{true, HandshakeFirst{On: true}, true}, {false, HandshakeFirst{}, true},
		{"on", HandshakeFirst{On: true}, true}, {"TRUE", HandshakeFirst{On: true}, true}, {"off", HandshakeFirst{}, true},
		{"auto", HandshakeFirst{true, 50 * time.Millisecond}, true}, {"auto_fallback", HandshakeFirst{true, 50 * time.Millisecond}, true},
		{"300ms", HandshakeFirst{true, 300 * time.Millisecond}, true}, {"-1s", HandshakeFirst{On: true}, true},
		{int64(5), HandshakeFirst{}, false}, {"soon", HandshakeFirst{}, false}, {[]any{}, HandshakeFirst{}, false},
	} {
		var h HandshakeFirst
		if err := h.UnmarshalConf(c.value); (err == nil) != c.ok || h != c.want {
			t.Errorf("handshake_first %v: %v, %v", c.value, h, err)
		}
	}
	type reader interface{ UnmarshalConf(any) error }
	for _, c := range []struct {
		name  string
		into  reader
		value any
		ok    bool
	}{
		{"min_version", new(Version), "1.2", true}, {"min_version", new(Version), "1.3", true},
		{"min_version", new(Version), "1.1", false}, {"min_version", new(Version), 1.2, false}, {"min_version", new(Version), "TLSv1.2", false},
		{"cipher_suites", new(Suites), []any{"TLS_AES_128_GCM_SHA256", "TLS_RSA_WITH_RC4_128_SHA"}, true},
		{"cipher_suites", new(Suites), []any{}, false}, {"cipher_suites", new(Suites), []any{"X"}, false}, {"cipher_suites", new(Suites), []any{int64(1)}, false},
		{"curve_preferences", new(Curves), []any{"X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "X25519", "CurveP256", "CurveP384", "CurveP521"}, true},
		{"curve_preferences", new(Curves), []any{}, false}, {"curve_preferences", new(Curves), []any{"P256"}, false},
		{"pinned_certs", new(Pins), []any{strings.Repeat("aF", 32)}, true}, {"pinned_certs", new(Pins), []any{}, true},
		{"pinned_certs", new(Pins), []any{"aF"}, false}, {"pinned_certs", new(Pins), []any{strings.Repeat("xy", 32)}, false},
		{"cert_store", new(windowsOnly), "WindowsCurrentUser", false}, {"cert_match_skip_invalid", new(windowsOnly), false, true},
		{"ocsp_peer", new(noOCSP), false, true}, {"ocsp_peer", new(noOCSP), true, false}, {"ocsp_peer", new(noOCSP), map[string]any{}, false},
		{"verify_cert_and_check_known_urls", new(routesOnly), false, true}, {"verify_cert_and_check_known_urls", new(routesOnly), true, false},
	} {
		if err := c.into.UnmarshalConf(c.value); (err == nil) != c.ok {
			t.Errorf("%s %v: %v", c.name, c.value, err)
		}
	}
}

func TestGivenSaysWhetherThereIsABlock(t *testing.T) {
	if (&Options{}).Given() || (*Options)(nil).Given() || !(&Options{Verify: true}).Given() {
		t.Error("wrong")
	}
}
