package main

import (
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

func TestReadingsOfAMachine(t *testing.T) {
	cases := []struct {
		machine string
		want    []Reading
	}{
		{"pi", []Reading{
			{"temperature.cpu-thermal", 48.312, "°C"},
			{"temperature.outer-case-1", -2.5, "°C"},
			{"temperature.zone2", 51, "°C"}, // shares its type with zone 0
			{"load.1m", 0.52, ""}, {"load.5m", 0.58, ""}, {"load.15m", 0.59, ""},
			{"memory.total", 1024000000, "bytes"}, {"memory.available", 768000000, "bytes"}, {"memory.used", 25, "percent"},
			{"network.lo.received", 1024, "bytes"}, {"network.lo.sent", 1024, "bytes"},
			{"network.eth0.received", 123456789, "bytes"}, {"network.eth0.sent", 579250, "bytes"},
			{"network.eth0-7.received", 0, "bytes"}, {"network.eth0-7.sent", 42, "bytes"},
		}},
		{"virtual", []Reading{
			{"load.1m", 1.5, ""}, {"load.5m", 1.07, ""}, {"load.15m", 0.54, ""},
			{"memory.total", 24684084 * 1024, "bytes"}, {"memory.available", 24230320 * 1024, "bytes"},
			{"memory.used", 100 * float64(24684084-24230320) / 24684084, "percent"},
		}},
		{"nothing", nil},
	}
	for _, c := range cases {
		got, err := readAll(os.DirFS("testdata/" + c.machine))
		if err != nil {
			t.Errorf("%s: %v", c.machine, err)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %v\nwant %v", c.machine, got, c.want)
		}
	}
}

func TestSpoiltFilesAreNamedAndLeaveTheRest(t *testing.T) {
	spoilt := []struct{ name, text string }{
		{"sys/class/thermal/thermal_zone0/temp", "warm\n"},
		{"proc/loadavg", "0.1\n"},
		{"proc/loadavg", "a b c\n"},
		{"proc/meminfo", "MemTotal: lots kB\n"},
		{"proc/meminfo", ""},
		{"proc/net/dev", " eth0: 1 2 3\n"},
		{"proc/net/dev", " eth0: x 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"},
	}
	for _, s := range spoilt {
		machine := fstest.MapFS{
			"proc/loadavg": {Data: []byte("1 2 3 1/1 1\n")},
			"proc/meminfo": {Data: []byte("MemTotal: 4 kB\nMemAvailable: 2 kB\n")},
		}
		machine[s.name] = &fstest.MapFile{Data: []byte(s.text)}
		got, err := readAll(machine)
		if err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(s.name, "/temp")) {
			t.Errorf("%s = %q: error %v does not name it", s.name, s.text, err)
		}
		if len(got) < 3 {
			t.Errorf("%s = %q: only %v left", s.name, s.text, got)
		}
	}
}

// What this machine shows parses, whatever it is.
func TestReadingsOfThisMachine(t *testing.T) {
	if _, err := fs.Stat(os.DirFS("/"), "proc/loadavg"); err != nil {
		t.Skip("no proc file system here")
	}
	got, err := readAll(os.DirFS("/"))
	if err != nil || len(got) < 6 {
		t.Errorf("%v, %v", got, err)
	}
	for _, r := range got {
		if r.Name != strings.Join(strings.Fields(r.Name), "") || strings.Contains(r.Name, "..") || strings.ContainsAny(r.Name, "*>") {
			t.Errorf("%q cannot be a subject", r.Name)
		}
	}
}

func TestTokenIsOneSubjectToken(t *testing.T) {
	for name, want := range map[string]string{
		"eth0": "eth0", "a.b": "a-b", "a b\tc": "a-b-c", "*": "-", "x>": "x-", "Küche": "Küche", "": "",
	} {
		if got := token(name); got != want {
			t.Errorf("token(%q) = %q, want %q", name, got, want)
		}
	}
}
