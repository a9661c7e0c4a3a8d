package config

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzLoad holds that no file makes the decoder panic or hang, and that every error has a place.
// The file may include itself under the name "x".
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{
		"", "port: 4222\n", "{\"port\": 4222, \"authorization\": {\"users\": [{\"user\": \"a\"}]}}",
		"include x", "authorization { include 'x' }", "a: b; include \"x\"", "a: 9'c\ninclude x", "a (\n)\n", "a: (b\n)\ninclude x\n",
		"}", "}}}", "]", "{", "a: [\"", "a: '", "a: \"\\x", "a: \"\\xzz\"", "a: 1kbb", "a: -", "a: 2020-01-01T00:00:00Z",
		"a: $a", "a: {b: $a}", "a: {x: 1}; b: {x: $a, y: $a}; port: $b", "k: $2a$11$x", "// c\n# c\nport 1", "a = b = c", ":", "=", ",",
		"a: [1, [2, {b: 3}], \"x\"]", "max_pending: 9999999tb", "port: 1.5", "ping_interval: 5", "tls {}", "a: true,b: no",
		"{ authorization { user: a } ", "\xef\xbb\xbfport: 1", "\x00", "a: \"\xff\"", "key'with'quotes: 'v'", "a: b'c\ninclude x",
		"include\n", "include", "include [", "\"include\" x", "include: x", "include = x", "a: #b\n", "a {#\n}", "a/: 1", "a: /b", "/",
		"authorization {/include 'x' }", "authorization {/\ninclude x\n}", "a {//include x\n}", "a {/", "include\u00a0x", "a {/\"b\" 1}",
	} {
		f.Add([]byte(seed))
	}
	folder := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(folder, "x")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		hung := time.AfterFunc(5*time.Second, func() { panic(fmt.Sprintf("hangs on %q", text)) })
		defer hung.Stop()
		result, err := Load(path, &sample{}, sampleClasses)
		if (result == nil) == (err == nil) {
			t.Fatalf("result %v, error %v", result, err)
		}
		if err == nil {
			return
		}
		for _, one := range err.(Problems) {
			if one.File == "" || one.Text == "" {
				t.Fatalf("no place or no text: %#v", one)
			}
		}
	})
}
