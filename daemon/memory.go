package daemon

import (
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

const (
	// unknownMemory is what defaults are derived from where nobody says how much there is.
	unknownMemory = 1 << 30
	// leastMemory is what a machine is taken to have at least. With less, the defaults would not
	// start; as their worst case is rare, starting serves the operator better than refusing.
	leastMemory = 32 << 20
	// smallMemory is from where down the collector runs twice as often: there, a heap that
	// doubles between two collections would be most of what there is.
	smallMemory = 64 << 20
	// programPages is what the pages of the program that are in use take, measured and rounded up.
	programPages = 10 << 20
	// maxSystemFile bounds what is read of a file of the kernel's.
	maxSystemFile = 64 << 10
)

// memoryAvailable says what this process may use by itself: nine tenths of its container's limit,
// or half of the machine's memory, which it shares. 0: nobody knows.
func memoryAvailable(root string) int64 {
	container, machine := cgroupMemory(root), machineMemory(root)
	if container > 0 && (machine == 0 || container < machine) {
		return container / 10 * 9
	}
	return machine / 2
}

// cgroupMemory finds the smallest memory limit of the groups that this process is in, version 2
// or 1. A container sees its own group as the root, so the root is asked as well. 0: none.
func cgroupMemory(root string) int64 {
	lowest := int64(math.MaxInt64)
	ask := func(base, group, file string) {
		// A limit of any group above holds as well.
		for ; ; group = path.Dir(group) {
			if limit := numberIn(path.Join(root, base, group, file)); limit > 0 {
				lowest = min(lowest, limit)
			}
			if group == "/" || group == "." {
				return
			}
		}
	}
	for line := range strings.Lines(readSystem(path.Join(root, "/proc/self/cgroup"))) {
		// number:controllers:path
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 || !strings.HasPrefix(parts[2], "/") {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "":
			ask("/sys/fs/cgroup", path.Clean(parts[2]), "memory.max")
			ask("/sys/fs/cgroup/unified", path.Clean(parts[2]), "memory.max")
		case contains(parts[1], "memory"):
			ask("/sys/fs/cgroup/memory", path.Clean(parts[2]), "memory.limit_in_bytes")
		}
	}
	// Version 1 writes a number near 2^63 for "none".
	if lowest > math.MaxInt64/4 {
		return 0
	}
	return lowest
}

func contains(list, word string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == word {
			return true
		}
	}
	return false
}

// machineMemory reads MemTotal. 0: there is no such file.
func machineMemory(root string) int64 {
	for line := range strings.Lines(readSystem(path.Join(root, "/proc/meminfo"))) {
		rest, ok := strings.CutPrefix(line, "MemTotal:")
		if !ok {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil || kilobytes < 0 || kilobytes > math.MaxInt64>>10 {
			return 0
		}
		return kilobytes << 10
	}
	return 0
}

// numberIn reads a file that holds one number; "max" and everything else is 0.
func numberIn(file string) int64 {
	n, err := strconv.ParseInt(strings.TrimSpace(readSystem(file)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func readSystem(file string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	buffer := make([]byte, maxSystemFile)
	n, _ := f.Read(buffer) // what cannot be read says nothing
	return string(buffer[:n])
}

// paceCollector tells the garbage collector what there is, unless the operator has done so with
// the runtime's own variables.
func paceCollector(limit int64) {
	if limit <= 0 {
		return
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		// The runtime counts what it has asked for itself, and not the pages of the program that are in use.
		debug.SetMemoryLimit(max(limit-programPages, limit/4*3))
	}
	if os.Getenv("GOGC") == "" && limit <= smallMemory {
		debug.SetGCPercent(50)
	}
}
