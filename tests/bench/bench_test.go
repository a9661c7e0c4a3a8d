//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/tests/process"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && (os.Args[1] == floodUnread || os.Args[1] == floodRead) {
		main() // the flooding process of a test
		return
	}
	process.Main(m)
}

// leftOut are shapes that take a fixed while or need root. Their parts are used by the others.
var leftOut = map[string]bool{"idle-10k": true, "start": true, "binary": true, "cgroup": true}

func TestEveryShapeRunsAndGivesItsFigures(t *testing.T) {
	edgebus := process.Binary(t, process.Edgebus)
	var names []string
	for _, s := range shapes() {
		if !leftOut[s.name] {
			names = append(names, s.name)
		}
	}
	record := filepath.Join(t.TempDir(), "runs.json")
	var stdout, stderr bytes.Buffer
	code, err := run([]string{"-edgebus", edgebus, "-against", "again=" + edgebus, "-rounds", "1", "-scale", "0.001", "-for", "300ms",
		"-shapes", strings.Join(names, ","), "-json", record}, &stdout, &stderr)
	if code != 0 || err != nil {
		t.Fatalf("exit code %d: %v\n%s", code, err, stderr.String())
	}
	var runs results
	if err := runs.load(record); err != nil {
		t.Fatal(err)
	}
	if len(runs.records) != 2*len(names) {
		t.Errorf("%d runs of %d shapes on 2 servers", len(runs.records), len(names))
	}
	for _, one := range runs.records {
		s, err := choose(one.Shape)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range s[0].figures {
			if v, ok := one.Figures[f.name]; !ok || math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s on %s: %s is %v", one.Shape, one.Server, f.name, v)
			}
		}
	}
	for _, name := range names {
		if !strings.Contains(stdout.String(), name) {
			t.Errorf("no row for %s in\n%s", name, stdout.String())
		}
	}
	if t.Failed() {
		t.Log(stderr.String())
	}
}

func TestRatioIsToTheBetterServerRoundByRound(t *testing.T) {
	runs := results{}
	for round, v := range []struct{ ours, one, two float64 }{{10, 100, 50}, {30, 100, 50}, {20, 100, 10}} {
		for server, figure := range map[string]float64{judged: v.ours, "one": v.one, "two": v.two} {
			runs.add(record{Shape: "pub-128", Server: server, Round: round, Figures: map[string]float64{"cpu-ns/msg": figure, "msgs/s": 1000 / figure}})
		}
	}
	o := &options{contenders: []contender{{name: judged}, {name: "one"}, {name: "two"}}, chosen: shapes()[:1]}
	rows := judge(o, runs)
	// Against one: 0.1 0.3 0.2. Against two: 0.2 0.6 2.0.
	if len(rows) != 2 || rows[0].ratio != 0.6 || rows[0].lowest != 0.2 || rows[0].highest != 2 || rows[0].mark != missed {
		t.Errorf("cpu-ns/msg: %+v", rows[0])
	}
	if rate := rows[1].ratio; math.Abs(rate-1/0.6) > 1e-9 {
		t.Errorf("msgs/s: the rate is %.3f of the better server's, want 1.667", rate)
	}
}

func TestBarsAreHeldAgainstWhatTheySay(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		figure       figure
		ratio, value float64
		want         mark
	}{
		{figure{"x", ratio, 0.6, 0.4}, 0.4, 99, reached},
		{figure{"x", ratio, 0.6, 0.4}, 0.6, 99, passed},
		{figure{"x", ratio, 0.6, 0.4}, 0.61, 0, missed},
		{figure{"x", ratio, 0.6, 0.4}, nan, 0, unknown},
		{figure{"x", value, 2000, 1300}, 9, 1300, reached},
		{figure{"x", value, 2000, 1300}, 0, 2001, missed},
		{figure{"x", value, 2000, 1300}, 0, nan, unknown},
		{figure{name: "x"}, nan, nan, notJudged},
	} {
		if got := c.figure.judge(c.ratio, c.value); got != c.want {
			t.Errorf("%+v with ratio %v and value %v: %q, want %q", c.figure, c.ratio, c.value, got, c.want)
		}
	}
}

func TestMissedBarIsAnExitCodeOnlyWithCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "runs.json")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	encoder := json.NewEncoder(file)
	for server, v := range map[string]float64{judged: 70, "other": 100} {
		if err := encoder.Encode(record{Shape: "pub-128", Server: server, Figures: map[string]float64{"cpu-ns/msg": v}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want int
	}{{[]string{"-from", path}, 0}, {[]string{"-from", path, "-check"}, exitMissed}, {[]string{"-from", path, "-markdown", "-check"}, exitMissed}, {[]string{"-shapes", "nothing"}, exitUsage}} {
		var stdout, stderr bytes.Buffer
		code, err := run(c.args, &stdout, &stderr)
		if code != c.want {
			t.Errorf("%q: exit code %d (%v), want %d", c.args, code, err, c.want)
		}
		if c.want != exitUsage && !strings.Contains(stdout.String(), "MISSED") {
			t.Errorf("%q printed\n%s", c.args, stdout.String())
		}
	}
}

func TestOrderIsReversedEveryOtherRound(t *testing.T) {
	for round, want := range []string{"\x00\x01\x02", "\x02\x01\x00", "\x00\x01\x02"} {
		got := ""
		for _, i := range turns(3, round) {
			got += string(rune(i))
		}
		if got != want {
			t.Errorf("round %d: %q, want %q", round, got, want)
		}
	}
}

// Wherever the reads cut the stream, PINGs are answered and nothing but messages is counted.
func TestPingsAmongMessagesAreAnsweredAndNotCounted(t *testing.T) {
	stream := "MSG a 1 3\r\nxPI\r\nPING\r\nMSG a 1 4\r\nPIPI\r\nPING\r\nPING\r\nMSG a 1 1\r\nP\r\n"
	messages := strings.ReplaceAll(stream, ping, "")
	for step := 1; step <= len(stream); step++ {
		here, there := net.Pipe()
		c := &client{conn: here}
		pongs := make(chan string, 1)
		go func() {
			answered := make([]byte, 3*len(pong))
			n := 0
			for n < len(answered) {
				m, err := there.Read(answered[n:])
				if n += m; err != nil {
					break
				}
			}
			pongs <- string(answered[:n])
		}()
		go func() {
			for rest := stream; rest != ""; rest = rest[min(step, len(rest)):] {
				if _, err := there.Write([]byte(rest[:min(step, len(rest))])); err != nil {
					return
				}
			}
		}()
		got, buffer := "", make([]byte, 64)
		var err error
		for len(got) < len(messages) && err == nil {
			var in []byte
			in, err = c.read(buffer)
			got += string(in)
		}
		if got != messages || err != nil {
			t.Errorf("cut every %d bytes: %q (%v), want %q", step, got, err, messages)
		}
		if all := <-pongs; all != strings.Repeat(pong, 3) {
			t.Errorf("cut every %d bytes: answered %q", step, all)
		}
		here.Close()
		there.Close()
	}
}

func TestFloodProcessReportsAServerThatIsNotThere(t *testing.T) {
	// Nobody but root may begin to listen there; a port that was free a moment ago may be another test's by now.
	target := &target{server: &server{address: "127.0.0.1:1"}}
	if _, err := target.flood(floodUnread); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, want one of the flooding process", err)
	}
}
