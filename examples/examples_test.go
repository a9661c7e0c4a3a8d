//go:build unix

package examples

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/client/micro"
	"github.com/edgebus-io/edgebus/tests/process"
)

const (
	patience = 15 * time.Second // for any single thing, on a busy machine
	maxLines = 80               // what one reads in one go
)

func TestMain(m *testing.M) { process.Main(m) }

// Each example is compiled as its reader would and run against a server of its own.
func TestExamples(t *testing.T) {
	examples := map[string]func(*testing.T, *program){
		"thermometer": thermometer, "actuator": actuator, "aggregator": aggregator, "bridge": bridge,
	}
	dir := t.TempDir()
	args := []string{"build", "-trimpath", "-o", dir}
	for name := range examples {
		args = append(args, "./"+name)
	}
	build := exec.Command("go", args...)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for name, run := range examples {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(name, "main.go"))
			check(t, err)
			if n := bytes.Count(text, []byte("\n")); n >= maxLines {
				t.Errorf("%d lines, want under %d", n, maxLines)
			}
			run(t, &program{path: filepath.Join(dir, name)})
		})
	}
}

// A thermometer reads a thermal zone where there is one, says so where there is none, and is found
// again by itself when the server was away.
func thermometer(t *testing.T, p *program) {
	s := serve(t)
	conn := connect(t, s)
	zone := filepath.Join(t.TempDir(), "temp")
	check(t, os.WriteFile(zone, []byte("48312\n"), 0o600))
	readings := subscribe(t, conn, "sensors.attic.temperature")
	made := subscribe(t, conn, "sensors.cellar.temperature")
	attic := p.start(t, "-server", s.URL(), "-name", "attic", "-every", "10ms", "-zone", zone)
	cellar := p.start(t, "-server", s.URL(), "-name", "cellar", "-every", "10ms", "-zone", zone+".none")
	var r struct {
		Celsius float64
		At      time.Time
		MadeUp  bool `json:"made_up"`
	}
	decode(t, next(t, readings), &r)
	if r.Celsius != 48.312 || r.MadeUp || time.Since(r.At).Abs() > time.Minute {
		t.Errorf("attic sends %+v", r)
	}
	decode(t, next(t, made), &r)
	if r.Celsius < 17 || r.Celsius > 25 || !r.MadeUp {
		t.Errorf("cellar sends %+v", r)
	}
	s.Kill()
	check(t, os.WriteFile(zone, []byte("50000\n"), 0o600))
	s.Again()
	for r.Celsius != 50 {
		decode(t, next(t, readings), &r)
	}
	attic.stop(t)
	cellar.stop(t)
}

// An actuator obeys, refuses what makes no sense, and is found by whoever looks for services.
func actuator(t *testing.T, p *program) {
	s := serve(t)
	conn := connect(t, s)
	valve := p.start(t, "-server", s.URL(), "-name", "north")
	process.Eventually(t, patience, "the valve answers", func() bool {
		answer, err := conn.Request(within(t), "actuators.north.set", []byte("40"))
		if err != nil && !errors.Is(err, client.ErrNoResponders) {
			t.Fatal(err)
		}
		return err == nil && string(answer.Data) == `{"open":40}`
	})
	answer, err := conn.Request(within(t), "actuators.north.set", []byte("wide"))
	check(t, err)
	var told *micro.Error
	if !errors.As(micro.ErrorOf(answer), &told) || told.Code != "400" {
		t.Errorf("a request that makes no sense was answered %+v", answer)
	}
	answer, err = conn.Request(within(t), "actuators.north.get", nil)
	check(t, err)
	if string(answer.Data) != `{"open":40}` {
		t.Errorf("it is %s", answer.Data)
	}
	found, err := micro.Find(within(t), conn, "valve")
	check(t, err)
	if len(found) != 1 || found[0].Metadata["valve"] != "north" || len(found[0].Endpoints) != 2 {
		t.Errorf("found %+v", found)
	}
	valve.stop(t)
	if _, err := conn.Request(within(t), "actuators.north.get", nil); !errors.Is(err, client.ErrNoResponders) {
		t.Errorf("after its end: %v", err)
	}
}

// Two aggregators share the readings, and none is lost though one of them leaves.
func aggregator(t *testing.T, p *program) {
	s := serve(t, "-DV")
	conn := connect(t, s)
	sums := subscribe(t, conn, "aggregates.*")
	stays := p.start(t, "-server", s.URL(), "-every", "20ms")
	leaves := p.start(t, "-server", s.URL(), "-every", "1h") // tells only at its end
	process.Eventually(t, patience, "both are members", func() bool {
		return strings.Count(s.Log(), "[SUB sensors.*.temperature aggregators ") == 2
	})
	const readings = 400
	want := map[string]sum{"aggregates.attic": {readings, 2 * readings}, "aggregates.cellar": {readings, -readings}}
	publish := func() {
		for range readings / 2 {
			check(t, conn.Publish("sensors.attic.temperature", []byte(`{"celsius":2}`)))
			check(t, conn.Publish("sensors.cellar.temperature", []byte(`{"celsius":-1}`)))
			check(t, conn.Publish("sensors.cellar.temperature", []byte(`not a reading`)))
		}
		check(t, conn.Flush(within(t)))
	}
	publish()
	leaves.stop(t)
	publish()
	got, parts := map[string]sum{}, 0
	for !maps.Equal(got, want) {
		var part sum
		m := next(t, sums)
		decode(t, m, &part)
		before := got[m.Subject]
		got[m.Subject] = sum{before.Count + part.Count, before.Sum + part.Sum}
		if parts++; got[m.Subject].Count > readings {
			t.Fatalf("more than was sent: %v", got)
		}
	}
	if parts < 3 {
		t.Errorf("%d sums: one of the two had nothing to do", parts)
	}
	stays.stop(t)
}

type sum struct {
	Count int
	Sum   float64
}

// A bridge takes readings one way and questions the other, answers and failures back, and keeps
// readings while the far site is away.
func bridge(t *testing.T, p *program) {
	plant, office := serve(t), serve(t)
	near, far := connect(t, plant), connect(t, office)
	_, err := near.Subscribe("actuators.north.get", func(m *client.Msg) {
		m.RespondMsg(&client.Msg{Header: client.Header{"Unit": {"percent"}}, Data: []byte("40")})
	})
	check(t, err)
	check(t, near.Flush(within(t)))
	b := p.start(t, "-near", plant.URL(), "-far", office.URL(), "-name", "plant7")
	var answer *client.Msg
	process.Eventually(t, patience, "the plant answers the office", func() bool {
		answer, err = far.Request(within(t), "plant7.actuators.north.get", nil)
		if err != nil && !errors.Is(err, client.ErrNoResponders) {
			t.Fatal(err)
		}
		return err == nil
	})
	if string(answer.Data) != "40" || answer.Header.Get("Unit") != "percent" {
		t.Errorf("the answer is %+v", answer)
	}
	answer, err = far.Request(within(t), "plant7.actuators.south.get", nil)
	check(t, err)
	var told *micro.Error
	if !errors.As(micro.ErrorOf(answer), &told) || told.Code != "504" {
		t.Errorf("a question that nobody answers was answered %+v", answer)
	}

	readings := subscribe(t, far, "plant7.>")
	check(t, near.Publish("sensors.attic.temperature", []byte("1")))
	if m := next(t, readings); m.Subject != "plant7.sensors.attic.temperature" || string(m.Data) != "1" {
		t.Errorf("a reading came as %+v", m)
	}
	office.Kill()
	// What is written into a line that is dead already is lost, as with any client: it has to know.
	process.Eventually(t, patience, "the bridge has noticed", func() bool { return b.said("no line") })
	check(t, near.Publish("sensors.attic.temperature", []byte("2")))
	check(t, near.Flush(within(t)))
	// It shall not be back before those who listen are.
	check(t, b.cmd.Process.Signal(syscall.SIGSTOP))
	office.Again()
	process.Eventually(t, patience, "we are back", func() bool {
		return far.Stats().Reconnects > 0 && far.Flush(within(t)) == nil
	})
	check(t, b.cmd.Process.Signal(syscall.SIGCONT))
	if m := next(t, readings); string(m.Data) != "2" {
		t.Errorf("after the outage came %+v", m)
	}
	b.stop(t)
}

// A program is an example as it is compiled.
type program struct{ path string }

// A running is one of its processes.
type running struct {
	cmd *exec.Cmd
	mu  sync.Mutex
	log bytes.Buffer
}

// start runs the program until it is stopped, or the test ends.
func (p *program) start(t *testing.T, args ...string) *running {
	t.Helper()
	r := &running{cmd: exec.Command(p.path, args...)}
	r.cmd.Stdout, r.cmd.Stderr = r, r
	check(t, r.cmd.Start())
	t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			r.cmd.Process.Kill()
			r.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", filepath.Base(p.path), &r.log)
		}
	})
	return r
}

func (r *running) Write(text []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(text)
}

func (r *running) said(text string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Contains(r.log.Bytes(), []byte(text))
}

// stop asks the program to end, as a service manager does. It must do so in order.
func (r *running) stop(t *testing.T) {
	t.Helper()
	check(t, r.cmd.Process.Signal(syscall.SIGTERM))
	late := time.AfterFunc(patience, func() { r.cmd.Process.Kill() })
	defer late.Stop()
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%s, asked to end: %v", filepath.Base(r.cmd.Path), err)
	}
}

func serve(t *testing.T, args ...string) *process.Server {
	t.Helper()
	return process.Start(t, process.Options{Kind: process.Edgebus, Args: args})
}

func connect(t *testing.T, s *process.Server) *client.Conn {
	t.Helper()
	conn, err := client.Connect(within(t), s.URL(), client.ReconnectWait(10*time.Millisecond, 100*time.Millisecond))
	check(t, err)
	t.Cleanup(conn.Close)
	return conn
}

func subscribe(t *testing.T, conn *client.Conn, subject string) *client.Subscription {
	t.Helper()
	sub, err := conn.SubscribeSync(subject, "")
	check(t, err)
	check(t, conn.Flush(within(t)))
	return sub
}

func next(t *testing.T, sub *client.Subscription) *client.Msg {
	t.Helper()
	m, err := sub.NextMsg(within(t))
	check(t, err)
	return m
}

func decode(t *testing.T, m *client.Msg, into any) {
	t.Helper()
	if err := json.Unmarshal(m.Data, into); err != nil {
		t.Fatalf("%s: %q: %v", m.Subject, m.Data, err)
	}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
