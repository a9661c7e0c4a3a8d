package config

import (
	"os"
	"path/filepath"
	"testing"
)

// The parser would follow these for ever.
func TestNoCircleReachesTheParser(t *testing.T) {
	for name, c := range map[string]struct {
		x, y string
		ok   bool
	}{
		"plain":                {"include x", "", false},
		"slash in a block":     {"authorization {/include 'x' }", "", false},
		"quote in a number":    {"port: 9'c\ninclude x", "", false},
		"through another":      {"port: 9'c\ninclude y", "authorization {/include \"x\"}", false},
		"in a comment":         {"# include x\nport: 1 // include x\n", "", true},
		"of a file without it": {"include y", "# include x\nport: 1", true},
		"of no file":           {"server_name: \"include z\"", "", true},
	} {
		folder := t.TempDir()
		for file, text := range map[string]string{"x": c.x, "y": c.y} {
			if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var into struct {
			Port int    `conf:"port"`
			Name string `conf:"server_name"`
		}
		if _, err := Load(filepath.Join(folder, "x"), &into, nil); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
