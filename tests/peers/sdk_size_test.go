//go:build linux

package peers

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/tests/process"
)

const (
	plainProgram  = 3_800_000 // bytes of a stripped program without TLS
	secureProgram = 5_000_000 // and of one with TLS, a credentials file and an outbox
)

// forARM builds a program of testdata for ARM v6 as it would be shipped.
func forARM(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./testdata/"+name)
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm", "GOARM=6", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func TestSDKProgramsAreSmall(t *testing.T) {
	for name, most := range map[string]int64{"sensor": plainProgram, "secure": secureProgram} {
		size := must(os.Stat(forARM(t, name))).Size()
		t.Logf("%s has %d bytes", name, size)
		if size > most {
			t.Errorf("%s has %d bytes for ARM v6, at most %d: does the linker see something that it did not?", name, size, most)
		}
	}
}

func TestSDKRunsOnARMv6(t *testing.T) {
	emulator, err := exec.LookPath("qemu-arm-static")
	if err != nil {
		if emulator, err = exec.LookPath("qemu-arm"); err != nil {
			process.Absent(t, "qemu-arm", "Debian: apt-get install qemu-user-static")
		}
	}
	program := forARM(t, "sensor")
	onEach(t, "", func(t *testing.T, s *process.Server) {
		conn := sdk(t, s.URL())
		got := make(chan *client.Msg, 1)
		must(conn.Subscribe("sensors.v6", func(m *client.Msg) { got <- m }))
		sdkFlush(t, conn)
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if out, err := exec.CommandContext(ctx, emulator, program, s.URL()).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if m := receive(t, got, "reading"); string(m.Data) != "21.5" {
			t.Errorf("got %q", m.Data)
		}
	})
}
