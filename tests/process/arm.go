package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// EdgebusARM is edgebus built for ARM v6 and run by qemu-user, with the same arguments, signals and
// descriptors as any other kind: 32 bits and strict alignment, where no such board is at hand. It is some
// ten times slower, and its memory and processor time are the emulator's.
const EdgebusARM Kind = "edgebus-armv6"

var armBuild struct {
	once sync.Once
	path string
	err  error
}

// emulated gives the path of a script that runs edgebus for ARM. The binary stands beside it, as "binary".
func emulated(t testing.TB) string {
	t.Helper()
	qemu, err := emulator()
	if err != nil {
		Absent(t, "qemu-arm", err.Error()+" (Debian: qemu-user-static)")
	}
	armBuild.once.Do(func() { armBuild.err = buildForARM(qemu) })
	if armBuild.err != nil {
		t.Fatal(armBuild.err)
	}
	return armBuild.path
}

func emulator() (path string, err error) {
	for _, name := range []string{"qemu-arm-static", "qemu-arm"} {
		if path, err = exec.LookPath(name); err == nil {
			break
		}
	}
	return path, err
}

func buildForARM(qemu string) error {
	folder, err := buildFolder()
	if err != nil {
		return err
	}
	binary := filepath.Join(folder, "binary")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./cmd/edgebus")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm", "GOARM=6")
	cmd.Dir = Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/edgebus for ARM: %w\n%s", err, out)
	}
	armBuild.path = filepath.Join(folder, "edgebus")
	script := fmt.Sprintf("#!/bin/sh\nexec '%s' '%s' \"$@\"\n", qemu, binary)
	return os.WriteFile(armBuild.path, []byte(script), 0o700)
}
