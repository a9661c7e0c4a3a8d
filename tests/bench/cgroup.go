package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A group is a memory control group with one server in it, of either version of the interface.
type group struct {
	path       string
	peakFile   string // the most the group has had
	limitBytes int64
}

// newGroup makes a group with a limit, and no swap beyond it. That takes root, or a group that
// was handed to this user.
func newGroup(limitBytes int64) (*group, error) {
	parent, old, err := memoryParent()
	if err != nil {
		return nil, err
	}
	g := &group{path: filepath.Join(parent, fmt.Sprintf("edgebus-bench-%d-%d", os.Getpid(), time.Now().UnixNano())), limitBytes: limitBytes}
	if err := os.Mkdir(g.path, 0o755); err != nil {
		return nil, fmt.Errorf("a control group for the server (needs root): %w", err)
	}
	limit := strconv.FormatInt(limitBytes, 10)
	if old {
		g.peakFile = "memory.max_usage_in_bytes"
		err = g.write("memory.limit_in_bytes", limit)
		_ = g.write("memory.memsw.limit_in_bytes", limit) // absent where swap is not counted
	} else {
		g.peakFile = "memory.peak"
		err = g.write("memory.max", limit)
		_ = g.write("memory.swap.max", "0")
	}
	if err != nil {
		g.remove()
		return nil, err
	}
	return g, nil
}

// memoryParent is the folder to make a group in, and whether it is of version 1.
func memoryParent() (folder string, old bool, err error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", false, err
	}
	var unified string
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		switch {
		case len(f) < 4:
		case f[2] == "cgroup" && strings.Contains(","+f[3]+",", ",memory,"):
			return f[1], true, nil
		case f[2] == "cgroup2":
			unified = f[1]
		}
	}
	if unified == "" {
		return "", false, errors.New("no control groups are mounted here")
	}
	// A group with processes in it cannot have groups with limits below it: beside, not below, our own.
	handed, err := os.ReadFile(filepath.Join(unified, "cgroup.subtree_control"))
	if err != nil {
		return "", false, err
	}
	if !strings.Contains(string(handed), "memory") {
		return "", false, fmt.Errorf("%s does not hand the memory controller down", unified)
	}
	return unified, false, nil
}

func (g *group) write(file, text string) error {
	return os.WriteFile(filepath.Join(g.path, file), []byte(text), 0o644)
}

// peak is the most memory that the group has had, in bytes.
func (g *group) peak() (float64, error) {
	text, err := os.ReadFile(filepath.Join(g.path, g.peakFile))
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
}

// remove takes the group away. The kernel may need a moment after its last process.
func (g *group) remove() {
	for range 100 {
		if os.Remove(g.path) == nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// runCgroup loads a server with little memory for a while and looks at whether what it holds grows.
func runCgroup(t *target) (map[string]float64, error) {
	f := fleet{rate: t.people(10_000), size: 128}
	reader, err := t.subscriber("sensors.*.reading 1")
	if err != nil {
		return nil, err
	}
	if f.members, err = t.crowd(t.people(1_000)); err != nil {
		return nil, err
	}
	wait := answerPings(f.members)
	n := max(burst, int(t.span.Seconds()*float64(f.rate)))
	m, err := t.meter()
	if err != nil {
		return nil, err
	}
	done := make(chan error, 2)
	go func() { done <- reader.drainFor(n*delivered(f.subject(0), "1", f.size), t.span+patience) }()
	go func() { done <- f.publish(n) }()
	sizes, err := t.watchMemory(done, 2)
	if err != nil {
		return nil, err
	}
	cpu, _, err := m.read()
	if err != nil {
		return nil, err
	}
	t.hangUp()
	if err := wait(); err != nil {
		return nil, err
	}
	peak, err := t.group.peak()
	// The first tenth is the server's to fill its pools; from then on it should stay as it is.
	early, late := sizes[len(sizes)/10:len(sizes)*3/10+1], sizes[len(sizes)*8/10:]
	return map[string]float64{
		"peak-KiB":    peak / 1024,
		"rss-KiB-end": median(late) / 1024,
		"growth-KiB":  (median(late) - median(early)) / 1024,
		"cpu-us/msg":  each(cpu, n) / 1000,
	}, err
}

// watchMemory looks at the server's memory until that many parts of the load are done.
func (t *target) watchMemory(done <-chan error, parts int) ([]float64, error) {
	var sizes []float64
	every := time.NewTicker(min(time.Second, t.span/20))
	defer every.Stop()
	for parts > 0 {
		select {
		case err := <-done:
			if err != nil {
				return nil, err
			}
			parts--
		case <-every.C:
			rss, err := t.server.rss()
			if err != nil {
				return nil, err
			}
			sizes = append(sizes, rss)
		}
	}
	if len(sizes) < 10 {
		return nil, fmt.Errorf("only %d looks at the memory: take a longer -for", len(sizes))
	}
	return sizes, nil
}
