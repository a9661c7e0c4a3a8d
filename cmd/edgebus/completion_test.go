//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A completed is a command line, and what the Tab key offers for its last word.
var completed = []struct {
	line string
	want string // in order of the alphabet; empty: nothing
}{
	{"p", "passwd pub"},
	{"--ht", "--http_port --https_port"},
	{"-c nota", "nota file.conf|nota.conf"},
	{"sub --head", "--headers-only"},
	{"publish --co", "--connection-name --count"},
	{"pub --cou", "--count"},
	{"top --sort ", "bytes cid pending rate subs"},
	{"top --sort b", "bytes"},
	{"top --interval ", ""},
	{"check -c nota", "nota file.conf|nota.conf"},
	{"device ", "add list revoke"},
	{"device --json a", "add"},
	{"device add ", ""},
	{"device revoke ", "admin sensor-1"},
	{"completion ", "bash fish zsh"},
	{"completion bash ", ""},
	{"help d", "device doctor down"},
	{"upgrade nota", "nota file.conf|nota.conf"},
	{"serve --signal re", "reload reopen"},
}

// shellFolder is where a shell completes: a folder with two files to find, and a program of our name that has a
// site with two devices.
func shellFolder(t *testing.T) (folder string, env []string) {
	t.Helper()
	folder, site := t.TempDir(), siteDir(t)
	for _, name := range []string{"nota.conf", "nota file.conf"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(site, 0o700); err != nil {
		t.Fatal(err)
	}
	user := newDevice("admin", nil)
	text, err := devicesText([]deviceEntry{user, newDevice("sensor-1", []string{"a"})})
	if err == nil {
		err = os.WriteFile(filepath.Join(site, "devices.conf"), text, 0o600)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(site, "edgebus.conf"), nil, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return folder, []string{"PATH=" + filepath.Dir(edgebusBinary) + ":" + os.Getenv("PATH"), "HOME=" + folder, "EDGEBUS_DIR=" + site}
}

// askShell runs a script that prints a line for each line of completed, with | between what is offered.
func askShell(t *testing.T, script string, shell ...string) {
	t.Helper()
	folder, env := shellFolder(t)
	run := exec.CommandContext(t.Context(), shell[0], append(shell[1:], script)...)
	run.Dir, run.Env = folder, env
	output, err := run.CombinedOutput()
	lines := strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	if err != nil || len(lines) != len(completed) {
		t.Fatalf("%v\n%s", err, output)
	}
	for i, row := range completed {
		offered := strings.Split(lines[i], "|")
		slices.Sort(offered)
		want := strings.Split(row.want, "|")
		if !strings.Contains(row.want, "|") {
			want = strings.Split(row.want, " ")
		}
		if !slices.Equal(offered, want) {
			t.Errorf("edgebus %s: %q, want %q", row.line, offered, want)
		}
	}
}

func TestBashCompletesCommandLines(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("NO bash here that could complete anything")
	}
	var script strings.Builder
	script.WriteString(`source <(edgebus completion bash)
complete -p edgebus >/dev/null || exit 1
complete_line() {
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    _edgebus
    local IFS='|'
    echo "${COMPREPLY[*]}"
}
`)
	for _, row := range completed {
		script.WriteString("complete_line edgebus")
		for word := range strings.SplitSeq(row.line, " ") {
			script.WriteString(" '" + word + "'")
		}
		script.WriteString("\n")
	}
	askShell(t, script.String(), bash, "--norc", "--noprofile", "-c")
}

func TestFishCompletesCommandLines(t *testing.T) {
	fish, err := exec.LookPath("fish")
	if err != nil {
		t.Skip("NO fish here; in a Debian system: apt-get install fish")
	}
	var script strings.Builder
	script.WriteString("edgebus completion fish | source\n")
	for _, row := range completed {
		script.WriteString("set offered (complete -C 'edgebus " + row.line + "' | string replace -r '\\t.*' '' | string unescape)\necho (string join -- '|' $offered)\n")
	}
	askShell(t, script.String(), fish, "--no-config", "-c")
}

func TestCompletionIsForThreeShells(t *testing.T) {
	for _, shell := range shellNames() {
		r := run(t, "", "completion", shell)
		if r.code != 0 || r.stderr != "" {
			t.Error(r)
		}
		for _, row := range commands() {
			if !strings.Contains(r.stdout, row.name) {
				t.Errorf("%s does not know %s", shell, row.name)
			}
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			t.Logf("NO %s here to look at the script", shell)
			continue
		}
		if output, err := exec.CommandContext(t.Context(), path, "-n", file(t, "script", r.stdout)).CombinedOutput(); err != nil {
			t.Errorf("%s -n: %v\n%s", shell, err, output)
		}
	}
	step{name: "other shell", args: []string{"completion", "tcsh"}, code: 2, stderr: "edgebus: completion takes one shell: bash, zsh, fish\n"}.run(t, "")
	step{name: "no shell", args: []string{"completion"}, code: 2, stderr: "edgebus: completion takes one shell: .*"}.run(t, "")
}
