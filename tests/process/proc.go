package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// RSS is the memory of the process that is resident, in bytes.
func (s *Server) RSS() int64 { return s.status("VmRSS:") }

// PeakRSS is the most that RSS has been since the process began, in bytes.
func (s *Server) PeakRSS() int64 { return s.status("VmHWM:") }

func (s *Server) status(name string) int64 {
	s.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid()))
	if err != nil {
		s.t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return kib << 10
		}
	}
	s.t.Fatalf("no %s", name)
	return 0
}

// Descriptors is how many files and sockets the process has open. Pollers are left out: a loop of edgebus has
// a second descriptor of its own only while it is idle.
func (s *Server) Descriptors() (n int) {
	s.t.Helper()
	folder := fmt.Sprintf("/proc/%d/fd", s.Pid())
	entries, err := os.ReadDir(folder)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, entry := range entries {
		if name, err := os.Readlink(filepath.Join(folder, entry.Name())); err == nil && name != "anon_inode:[eventpoll]" {
			n++
		}
	}
	return n
}

// CPU is the processor time that the process has used.
func (s *Server) CPU() time.Duration {
	s.t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.Pid()))
	if err != nil {
		s.t.Fatal(err)
	}
	// The fields after the name, which stands in brackets, begin with the third.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	const user, system, ticksPerSecond = 14 - 3, 15 - 3, 100
	ticks := 0
	for _, i := range []int{user, system} {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			s.t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond
}
