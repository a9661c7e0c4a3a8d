package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/edgebus-io/edgebus/daemon"
)

// A supervisor is systemd, or what a test has in its place.
type supervisor struct {
	folder   string   // of units that people and up write; they hide those of the same name in packaged
	packaged []string // folders of units that packages bring
	run      func(ctx context.Context, args ...string) error
}

const unitName = "edgebus.service"

// systemd is the one of this machine; nil where there is none, or where we may not use it.
func systemd() *supervisor {
	if info, err := os.Stat("/run/systemd/system"); err != nil || !info.IsDir() || os.Geteuid() != 0 {
		return nil
	}
	program, err := exec.LookPath("systemctl")
	if err != nil {
		return nil
	}
	return &supervisor{folder: ownUnits, packaged: packagedUnits[:], run: func(ctx context.Context, args ...string) error {
		output, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(output)))
		}
		return nil
	}}
}

const ownUnits = "/etc/systemd/system"

// packagedUnits are where systemd looks behind ownUnits (systemd.unit(5)).
var packagedUnits = [...]string{"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// supervisor is what runs services here; nil: nothing.
func (p *program) supervisor() *supervisor {
	if p.service != nil {
		return p.service
	}
	return systemd()
}

func (v *supervisor) unit() string { return filepath.Join(v.folder, unitName) }

// unitText runs the server with nothing but its own folder to write to, and with no privileges but to read
// files: the hub's credentials may be another user's.
func unitText(program string, s site) string {
	return `# Written by "edgebus up". "edgebus down" stops it, "edgebus down --purge" removes it.
[Unit]
Description=edgebus
Wants=network-online.target
After=network-online.target

[Service]
Type=notify
# After "edgebus upgrade" it is another process that speaks.
NotifyAccess=all
WatchdogSec=30
ExecStart=` + unitWord(program) + ` -c ` + unitWord(s.config()) + `
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=2
LimitNOFILE=65536
TimeoutStopSec=20
CapabilityBoundingSet=CAP_DAC_READ_SEARCH CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths=` + unitWord(s.dir) + `
PrivateDevices=yes
PrivateTmp=no
UMask=0077
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictNamespaces=yes
RestrictRealtime=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes

[Install]
WantedBy=multi-user.target
`
}

// unitWord is one word of a unit's line: % and $ mean something there.
func unitWord(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "%", "%%", "$", "$$").Replace(text) + `"`
}

// owns reports whether the unit is there and is of this site.
func (v *supervisor) owns(s site) bool {
	text, err := os.ReadFile(v.unit())
	return err == nil && strings.Contains(string(text), "-c "+unitWord(s.config())+"\n")
}

// errOtherUnit: a unit of the name is there and is none of ours.
var errOtherUnit = errors.New("is there and runs something else: remove it, or use --foreground")

// errPackaged: the service is there without up.
var errPackaged = errors.New(`is the service of a package, and up would hide it: "systemctl enable --now edgebus" starts it, "edgebus device add NAME" says who may connect`)

// mayInstall reports whether a unit of the site would take nobody's place. An empty file is what a power cut can
// leave of one; a unit that is masked is a link.
func (v *supervisor) mayInstall(s site) error {
	if v.owns(s) {
		return nil
	}
	for _, folder := range v.packaged {
		if path := filepath.Join(folder, unitName); isThere(path) {
			return fmt.Errorf("%s %w", path, errPackaged)
		}
	}
	if info, err := os.Lstat(v.unit()); err == nil && (info.Size() > 0 || !info.Mode().IsRegular()) {
		return fmt.Errorf("%s %w", v.unit(), errOtherUnit)
	}
	return nil
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// install writes the unit and starts it, now and with the machine.
func (v *supervisor) install(ctx context.Context, s site) error {
	if err := v.mayInstall(s); err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	forAll := func(aside *os.File, _ string) error { return aside.Chmod(0o644) }
	if err := replaceFile(v.unit(), []byte(unitText(program, s)), forAll, daemon.SyncFolder); err != nil {
		return err
	}
	if err := v.run(ctx, "daemon-reload"); err != nil {
		return err
	}
	return v.run(ctx, "enable", "--now", unitName)
}

// stop stops the unit for good, and removes it if asked.
func (v *supervisor) stop(ctx context.Context, purge bool) error {
	if err := v.run(ctx, "disable", "--now", unitName); err != nil || !purge {
		return err
	}
	if err := os.Remove(v.unit()); err != nil {
		return err
	}
	return v.run(ctx, "daemon-reload")
}
