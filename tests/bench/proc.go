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

// The kernel counts a process's time in ticks, a hundred a second on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// cpu is the processor time, user and system, that the process has used.
func (s *server) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid()))
	if err != nil {
		return 0, err
	}
	// The name stands in brackets and may hold anything; the field after it is the third.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	const user, system = 14 - 3, 15 - 3
	if len(fields) <= system {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", s.pid(), len(fields))
	}
	u, errUser := strconv.ParseInt(fields[user], 10, 64)
	k, errSystem := strconv.ParseInt(fields[system], 10, 64)
	return time.Duration(u+k) * tick, errors.Join(errUser, errSystem)
}

// rss is the memory of the process that is resident, in bytes.
func (s *server) rss() (float64, error) {
	kib, err := statusField(fmt.Sprintf("/proc/%d/status", s.pid()), "VmRSS")
	return kib * 1024, err
}

// wakeUps is how often the process's threads have slept and been woken.
func (s *server) wakeUps() (float64, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", s.pid()))
	if err != nil {
		return 0, err
	}
	sum := 0.0
	for _, thread := range threads {
		n, err := statusField(thread, "voluntary_ctxt_switches")
		if errors.Is(err, os.ErrNotExist) {
			continue // a thread that has just ended
		}
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// statusField is the number in a line of a file like /proc/self/status.
func statusField(path, name string) (float64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		if key == name {
			words := strings.Fields(value)
			if len(words) == 0 {
				break
			}
			return strconv.ParseFloat(words[0], 64)
		}
	}
	return 0, fmt.Errorf("%s: no %s", path, name)
}

// machine says on what was measured, for the table.
func machine() string {
	model := "unknown processor"
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(cpuinfo)) {
		key, value, _ := strings.Cut(line, ":")
		if k := strings.TrimSpace(key); k == "model name" || k == "Model" {
			model = strings.Join(strings.Fields(value), " ")
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	version, _, _ := strings.Cut(strings.TrimSpace(string(kernel)), "-")
	return fmt.Sprintf("%s, Linux %s", model, version)
}
