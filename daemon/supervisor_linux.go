package daemon

import (
	"os"
	"slices"
	"strconv"
	"strings"
)

// restarters start a program anew when the process that they have started ends, or end with it, and know
// nothing of another that has taken its place. The names are as the kernel shows them, of 15 bytes (proc(5)).
var restarters = []string{
	"supervise-daemo", "procd", "runsv", "s6-supervise", "supervisord", // services of OpenRC, OpenWrt, runit, s6
	"tini", "docker-init", "dumb-init", "catatonit", // first processes of containers
}

// restarter names the supervisor that has started this process; empty: there is none that we know.
func restarter() string {
	comm, err := os.ReadFile("/proc/" + strconv.Itoa(os.Getppid()) + "/comm")
	if name := strings.TrimSpace(string(comm)); err == nil && slices.Contains(restarters, name) {
		return name
	}
	return ""
}
