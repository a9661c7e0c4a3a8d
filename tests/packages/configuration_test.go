//go:build linux

package packages

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
	"github.com/edgebus-io/edgebus/tests/process"
)

// patience is for a program that starts on a busy machine.
const patience = 20 * time.Second

func TestMain(m *testing.M) { process.Main(m) }

// text reads a file of the repository.
func text(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(process.Root(), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// defaults writes the packages' configuration, with the folders of the service elsewhere.
func defaults(t *testing.T, change func(string) string) (path, folder string) {
	t.Helper()
	folder = t.TempDir()
	content := text(t, "packaging/edgebus.conf")
	for _, place := range []string{"/run/edgebus", "/var/log/edgebus", "/etc/edgebus"} {
		content = strings.ReplaceAll(content, place, folder)
	}
	path = filepath.Join(folder, "edgebus.conf")
	if err := os.WriteFile(path, []byte(change(content)), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, folder
}

func unchanged(content string) string { return content }

func TestDefaultConfigurationHasNoWarnings(t *testing.T) {
	path, _ := defaults(t, unchanged)
	loaded, err := daemon.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	if len(loaded.Warnings) > 0 {
		t.Errorf("warnings %q", loaded.Warnings)
	}
}

// As it is installed nobody on the network can connect: every door is on loopback.
func TestDefaultConfigurationIsForThisMachineOnly(t *testing.T) {
	path, folder := defaults(t, unchanged)
	server := exec.Command(process.Binary(t, process.Edgebus), "-c", path, "-p", "-1", "-m", "-1", "--ports_file_dir", folder)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Wait() }()
	doors := addresses(t, folder, ended)
	if len(doors) != 2 {
		t.Errorf("doors %q, want one for clients and one for pages", doors)
	}
	for _, door := range doors {
		host, _, err := net.SplitHostPort(door[strings.Index(door, "//")+2:])
		if ip := net.ParseIP(host); err != nil || !ip.IsLoopback() {
			t.Errorf("%s is open to others", door)
		}
	}
	if info, err := os.Lstat(filepath.Join(folder, "control.sock")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("control socket: %v, %v", info, err)
	}
	server.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("told to stop it ends with %v", err)
		}
	case <-time.After(patience):
		server.Process.Kill()
		t.Error("it does not stop")
	}
}

// addresses waits for the file that the server writes when its doors are open.
func addresses(t *testing.T, folder string, ended <-chan error) (doors []string) {
	t.Helper()
	timeout := time.After(patience)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case err := <-ended:
			t.Fatalf("the server has ended: %v", err)
		case <-timeout:
			t.Fatal("the server says no addresses")
		case <-tick.C:
		}
		found, _ := filepath.Glob(filepath.Join(folder, "*.ports"))
		if len(found) == 0 {
			continue
		}
		content, err := os.ReadFile(found[0])
		if err != nil {
			t.Fatal(err)
		}
		var kinds map[string][]string
		if json.Unmarshal(content, &kinds) != nil {
			continue // half written
		}
		for _, each := range kinds {
			doors = append(doors, each...)
		}
		return doors
	}
}

// offered takes the # from what the configuration offers: a key right behind it, and its block up to #}.
func offered(content string) string {
	var b strings.Builder
	inside := false
	for line := range strings.Lines(content) {
		bare, isComment := strings.CutPrefix(line, "#")
		starts := isComment && bare[0] >= 'a' && bare[0] <= 'z'
		if starts || inside {
			line = bare
		}
		inside = starts && strings.HasSuffix(line, "{\n") || inside && line != "}\n"
		b.WriteString(line)
	}
	return b.String()
}

// handWritten takes the other way that the comment offers: users in place of the include.
func handWritten(t *testing.T, content string) string {
	t.Helper()
	block := regexp.MustCompile(`(?ms)^#   users: \[$.*?^#   \]\n`).FindString(content)
	if block == "" || strings.Count(content, include) != 1 {
		t.Fatal("the configuration offers no users, or no include in whose place they are")
	}
	return strings.Replace(content, "#"+include, strings.ReplaceAll(block, "#   ", "#  "), 1)
}

const include = "  include \"devices.conf\"\n"

// The easiest way is the include: with the list that `edgebus device add` writes it lets devices in.
func TestOfferedIncludeTakesTheListOfDevices(t *testing.T) {
	path, folder := defaults(t, func(content string) string {
		return strings.Replace(content, "#authorization {\n#"+include+"#}\n", "authorization {\n"+include+"}\n", 1)
	})
	output(t, nil, process.Binary(t, process.Edgebus), "device", "add", "sensor-1", "--dir", folder)
	loaded, err := daemon.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	if users := loaded.Options.Auth.Users; len(users) != 1 || users[0].User != "sensor-1" || len(loaded.Warnings) > 0 {
		t.Errorf("users %v, warnings %q", users, loaded.Warnings)
	}
}

// What the comments offer is right when the # is taken away and the blanks are filled in.
func TestOffersOfDefaultConfigurationLoad(t *testing.T) {
	hash, err := daemon.HashPassword("secret", 4)
	if err != nil {
		t.Fatal(err)
	}
	path, _ := defaults(t, func(content string) string {
		content = strings.ReplaceAll(offered(handWritten(t, content)), "$2a$11$...", hash)
		// They need files: TLS and credentials have samples and tests of their own.
		content = regexp.MustCompile(`(?s)tls \{.*?\n\}\n`).ReplaceAllString(content, "")
		return regexp.MustCompile(`, credentials: "[^"]*"`).ReplaceAllString(content, "")
	})
	loaded, err := daemon.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	o := &loaded.Options
	if len(o.Auth.Users) != 2 || o.Host != "192.168.1.5" || len(o.Leaf.Remotes) != 1 || o.MemoryLimit == 0 || o.Log.File == "" {
		t.Errorf("not all of it was taken: %+v", o)
	}
}

// A password that was not filled in lets nobody in: the file is refused.
func TestBlankPasswordIsRefused(t *testing.T) {
	path, _ := defaults(t, func(content string) string { return offered(handWritten(t, content)) })
	if loaded, err := daemon.Load(path, nil); err == nil {
		loaded.Close()
		t.Error("a configuration with $2a$11$... for a password is taken")
	} else if !strings.Contains(err.Error(), "looks like a bcrypt hash and is none") {
		t.Errorf("refused because of something else: %v", err)
	}
}
