package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A supervisor is systemd, or what a test has in its place.
type supervisor struct {
	folder string // of units
	run    func(ctx context.Context, args ...string) error
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
	return &supervisor{folder: "/etc/systemd/system", run: func(ctx context.Context, args ...string) error {
		output, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(output)))
		}
		return nil
	}}
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

// install writes the unit and starts it, now and with the machine.
func (v *supervisor) install(ctx context.Context, s site) error {
	if _, err := os.Lstat(v.unit()); err == nil && !v.owns(s) {
		return fmt.Errorf("%s %w", v.unit(), errOtherUnit)
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.WriteFile(v.unit(), []byte(unitText(program, s)), 0o644); err != nil {
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
