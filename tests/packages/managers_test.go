//go:build linux

package packages

import (
	"slices"
	"strings"
	"testing"
)

// What OpenWrt's /etc/rc.common does around a script that has USE_PROCD: its status is that of what it called
// last, and a service that is put to procd without an instance has its instances ended.
const underProcd = `
procd_open_instance() { instances=1; }
procd_close_instance() { :; }
procd_set_param() { :; }
procd_send_signal() { note signal "$@"; }
restart() { stop; start; }
. "$script"
start() { instances=0; start_service "$@"; note procd has $instances; }
stop() { note procd has 0; }
reload() { if type reload_service >/dev/null; then reload_service "$@"; else start; fi; }
"$action"
`

// What OpenRC does around a script: a function that fails ends it. A restart is a stop and a start.
const underOpenRC = `
RC_SVCNAME=edgebus RC_CMD=$action
ebegin() { :; }
eend() { return "$1"; }
. "$script"
each() { ! type "$1" >/dev/null 2>&1 || "$1"; }
stop() { each stop_pre || exit 1; note stops; }
start() { each start_pre || exit 1; note starts; }
restart() { stop; start; }
"$action"
`

// A mistake in the file takes no server away that runs, whoever looks after it and whatever he is told to do.
func TestServiceManagersLeaveAServerAloneThatHasAMistakeInItsFile(t *testing.T) {
	t.Parallel()
	const check = "edgebus check -c /etc/edgebus/edgebus.conf"
	for name, manager := range map[string]struct {
		script, around string
		good, bad      map[string]string // what the manager is told to do, to what it does
		refused        []string          // which of them fail with a mistake
	}{
		"procd": {script: "packaging/openwrt/edgebus.init", around: underProcd,
			good:    map[string]string{"start": "procd has 1", "reload": "signal edgebus * HUP", "restart": "procd has 0, procd has 1"},
			bad:     map[string]string{"start": "procd has 1", "reload": "", "restart": ""},
			refused: []string{"reload", "restart"}},
		"OpenRC": {script: "packaging/openrc/edgebus.initd", around: underOpenRC,
			good: map[string]string{"start": "starts", "stop": "stops", "restart": "stops, starts",
				"reload": "supervise-daemon edgebus --signal HUP --pidfile /run/edgebus.pid"},
			bad:     map[string]string{"start": "", "stop": "stops", "restart": "", "reload": ""},
			refused: []string{"start", "restart", "reload"}},
	} {
		for _, mistake := range []bool{false, true} {
			s, want := newStage(t), manager.good
			for _, tool := range []string{"note", "checkpath", "mkdir", "supervise-daemon"} {
				s.tool(t, tool, "")
			}
			if mistake {
				s.tool(t, "edgebus", "exit 1")
				want = manager.bad
			}
			script := s.folder + "/script"
			write(t, script, strings.ReplaceAll(text(t, manager.script), "/usr/bin/edgebus", s.tools+"/edgebus"))
			for action, does := range want {
				calls, said, err := s.play("script="+script+" action="+action+"\n"+manager.around, name)
				if refused := mistake && slices.Contains(manager.refused, action); refused != (err != nil) {
					t.Errorf("%s, mistake %v, %s: %v\n%s", name, mistake, action, err, said)
				}
				if got := done(calls); got != does {
					t.Errorf("%s, mistake %v: %s does %q, want %q", name, mistake, action, got, does)
				}
				if action != "stop" && !strings.Contains(calls, check) {
					t.Errorf("%s: %s does not look at the file:\n%s", name, action, calls)
				}
			}
		}
	}
}

// done is what a manager has done with the server, of the calls that were noted.
func done(calls string) string {
	var all []string
	for line := range strings.Lines(calls) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "note "); ok {
			all = append(all, rest)
		} else if strings.HasPrefix(line, "supervise-daemon") {
			all = append(all, line)
		}
	}
	return strings.Join(all, ", ")
}
