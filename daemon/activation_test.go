package daemon

import (
	"errors"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func listenAt(t *testing.T, address string) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

func TestDoorsTakeTheSocketsThatAreMeantForThem(t *testing.T) {
	a, b, c := listenAt(t, "127.0.0.1:0"), listenAt(t, "127.0.0.1:0"), listenAt(t, "127.0.0.1:0")
	named := &Inheritance{sockets: []*inherited{{"monitoring", a}, {"leafnodes", b}, {"clients", c}}}
	if got := named.take(doorClients, portOf(a.Addr())); got != c {
		t.Error("a name counts more than a port")
	}
	if named.take(doorClients, 0) != nil {
		t.Error("a socket is taken twice")
	}
	if left := named.closeRest(); len(left) != 2 || !strings.Contains(left[0], a.Addr().String()) {
		t.Errorf("left are %q", left)
	}
	d, e := listenAt(t, "127.0.0.1:0"), listenAt(t, "127.0.0.1:0")
	unnamed := &Inheritance{sockets: []*inherited{{"edgebus.socket", d}, {"edgebus.socket", e}}}
	if got := unnamed.take(doorMonitoring, portOf(e.Addr())); got != e {
		t.Error("without a name the port counts")
	}
	if unnamed.take(doorClients, 1) != nil {
		t.Error("one of several that has another port is nobody's")
	}
	f := listenAt(t, "127.0.0.1:0")
	if got := (&Inheritance{sockets: []*inherited{{"", f}}}).take(doorClients, 1); got != f {
		t.Error("the only socket is for clients")
	}
	if (*Inheritance)(nil).take(doorClients, 1) != nil {
		t.Error("of nothing nothing is taken")
	}
}

func TestNoSocketOpensMoreThanTheConfiguration(t *testing.T) {
	wide := listenAt(t, "0.0.0.0:0")
	d, err := New(Options{Port: randomPort, Log: LogOptions{Stderr: new(page)}})
	if err != nil {
		t.Fatal(err)
	}
	d.Inherits(&Inheritance{sockets: []*inherited{{doorClients, wide}}})
	if err := d.Run(t.Context()); !errors.Is(err, errTooWide) || !strings.Contains(err.Error(), "say in the configuration") {
		t.Errorf("a server without authorization serves everybody: %v", err)
	}
}

func TestServerListensOnWhatItWasHanded(t *testing.T) {
	ln := listenAt(t, "127.0.0.1:0")
	other := listenAt(t, "127.0.0.1:0")
	r := mustRunWith(t, Options{Port: portOf(ln.Addr()) + 1, Monitor: MonitorOptions{HTTPPort: randomPort}}, func(d *Daemon) {
		d.Inherits(&Inheritance{sockets: []*inherited{{doorClients, ln}, {doorMonitoring, other}, {doorLeafnodes, listenAt(t, "127.0.0.1:0")}}})
	})
	if r.Addr().String() != ln.Addr().String() || r.monitorListener.Addr().String() != other.Addr().String() {
		t.Errorf("it listens at %v and %v, and was handed %v and %v", r.Addr(), r.monitorListener.Addr(), ln.Addr(), other.Addr())
	}
	mustConnect(t, r, "")
	for _, text := range []string{"not at port", "nothing of what is configured is for it: leafnodes"} {
		if !strings.Contains(r.out.String(), text) {
			t.Errorf("the log lacks %q:\n%s", text, r.out)
		}
	}
	r.Stop()
	r.mustEnd(t)
}

func TestEnvironmentIsReadOnceAndForUs(t *testing.T) {
	set := func(pairs ...string) {
		for i := 0; i < len(pairs); i += 2 {
			t.Setenv(pairs[i], pairs[i+1])
		}
	}
	me := strconv.Itoa(os.Getpid())
	set(envNotify, "/run/x", envWatchdog, "30000000", envWatchdogPID, me, envSockets, "0", envSocketPID, me)
	in, err := Inherit()
	if err != nil || in.notify != "/run/x" || in.watchdog != 30*time.Second {
		t.Fatalf("%+v, %v", in, err)
	}
	if env := os.Environ(); slices.ContainsFunc(env, func(s string) bool { return strings.HasPrefix(s, "LISTEN_") || strings.HasPrefix(s, "WATCHDOG_") }) {
		t.Error("what was ours is left for others")
	}
	set(envWatchdog, "30000000", envWatchdogPID, "1", envSockets, "5", envSocketPID, "1")
	if in, err := Inherit(); err != nil || in.watchdog != 0 || len(in.sockets) != 0 {
		t.Errorf("what is another process's is taken: %+v, %v", in, err)
	}
	set(envSockets, "5") // left over from whoever started us
	if in, err := Inherit(); err != nil || len(in.sockets) != 0 {
		t.Errorf("sockets without LISTEN_PID are taken: %+v, %v", in, err)
	}
	for _, bad := range []string{"x", "-1", "1000"} {
		set(envSockets, bad, envSocketPID, me)
		if _, err := Inherit(); err == nil || !strings.Contains(err.Error(), envSockets) {
			t.Errorf("LISTEN_FDS=%s: %v", bad, err)
		}
	}
}
