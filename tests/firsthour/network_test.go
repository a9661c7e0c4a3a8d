//go:build linux

package firsthour

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

// Addresses of the two machines; RFC 5737 keeps these for documentation.
const (
	gatewayAddress = "192.0.2.1"
	sensorAddress  = "192.0.2.2"
)

// A machine is a network namespace.
type machine struct {
	t    *testing.T
	name string
}

// leaveOut ends a test that this machine does not let run, aloud.
func leaveOut(t *testing.T, why string) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "SKIPPED %s: %s\n", t.Name(), why)
	t.Skip(why)
}

// twoMachines makes two namespaces with a line between them, which go with the test.
func twoMachines(t *testing.T) (gateway, sensor *machine) {
	t.Helper()
	if os.Geteuid() != 0 {
		leaveOut(t, "only root can make network namespaces")
	}
	for _, program := range []string{"ip", "git", "make"} {
		if _, err := exec.LookPath(program); err != nil {
			why := "no " + program + " here (Debian: apt-get install iproute2 git make)"
			if os.Getenv("CI") == "true" {
				t.Fatal(why)
			}
			leaveOut(t, why)
		}
	}
	gateway, sensor = newMachine(t, "gateway"), newMachine(t, "sensor")
	for _, args := range []string{
		"link add line netns " + gateway.name + " type veth peer name line netns " + sensor.name,
		"-n " + gateway.name + " address add " + gatewayAddress + "/24 dev line",
		"-n " + sensor.name + " address add " + sensorAddress + "/24 dev line",
		"-n " + gateway.name + " link set line up", "-n " + sensor.name + " link set line up",
		"-n " + gateway.name + " link set lo up", "-n " + sensor.name + " link set lo up",
	} {
		if output, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", args, err, output)
		}
	}
	return gateway, sensor
}

func newMachine(t *testing.T, name string) *machine {
	t.Helper()
	m := &machine{t, fmt.Sprintf("edgebus-%d-%s", os.Getpid(), name)}
	if output, err := exec.Command("ip", "netns", "add", m.name).CombinedOutput(); err != nil {
		leaveOut(t, fmt.Sprintf("no network namespaces here: %v: %s", err, output))
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", m.name).Run() })
	return m
}

// command is a program on that machine.
func (m *machine) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", m.name, program}, args...)...)
	cmd.Env = process.Environ()
	return cmd
}

// shell runs a line there as somebody would type it, and returns what it printed.
func (m *machine) shell(line string) (output string, err error) {
	text, err := m.command(m.t.Context(), "sh", "-c", line).CombinedOutput()
	return string(text), err
}

// open lists who can be reached on a machine: the addresses of the sockets that listen, and of those of UDP.
func (m *machine) open() []string {
	m.t.Helper()
	var all []string
	for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
		text, err := m.shell("cat /proc/net/" + file)
		if err != nil {
			m.t.Fatalf("%v: %s", err, text)
		}
		for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
			const listens = "0A" // TCP_LISTEN of the kernel's tcp_states.h
			fields := strings.Fields(line)
			if i == 0 || len(fields) < 4 || strings.HasPrefix(file, "tcp") && fields[3] != listens {
				continue
			}
			all = append(all, strings.TrimSuffix(file, "6")+" "+localOf(m.t, fields[1]))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// localOf reads an address as /proc/net writes it: the host "loopback" or "any" or in hexadecimal, and the port.
func localOf(t *testing.T, field string) string {
	t.Helper()
	host, hexPort, _ := strings.Cut(field, ":")
	port, err := strconv.ParseUint(hexPort, 16, 16)
	if err != nil {
		t.Fatalf("address %q: %v", field, err)
	}
	switch {
	case strings.Trim(host, "0") == "":
		host = "any"
	case host == "0100007F", host == "00000000000000000000000001000000":
		host = "loopback"
	}
	return fmt.Sprintf("%s:%d", host, port)
}
