package daemon

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/edgebus-io/edgebus/auth"
)

// SyncFolder returns when what was last renamed or removed in a folder outlives a power cut.
func SyncFolder(folder string) error { return auth.SyncFolder(folder) }

// orWithout is a step that may fail where a server without a file is better than none: once another server has
// given its place up, and on a disk that takes nothing, as a board may find it after a power cut.
func (d *Daemon) orWithout(do func() error) func() error {
	return func() error {
		err := do()
		remedy := diskRemedy(err)
		if err == nil || remedy == "" && !d.follows {
			return err
		}
		d.logger.Error("This server runs without a part of what is configured", "error", err,
			"remedy", cmp.Or(remedy, "mend that")+"; then restart the server, when it suits")
		return nil
	}
}

// diskRemedy is what to do where the disk takes nothing. Empty: it is something else, such as a folder that is
// not there or not ours, which is the configuration's fault.
func diskRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return "look why the file system is read-only: the kernel makes it so after errors, as its log says, and a service's unit may"
	case errors.Is(err, syscall.ENOSPC):
		return "make room on the disk"
	case errors.Is(err, syscall.EIO):
		return "look at the kernel's log: the disk fails"
	}
	return ""
}

// writePid writes the pid file as a whole or not at all: whoever reads it while we start must not
// see half a number.
func (d *Daemon) writePid() error {
	if d.options.PidFile == "" {
		return nil
	}
	if err := writeWhole(d.options.PidFile, []byte(strconv.Itoa(os.Getpid()))); err != nil {
		return fmt.Errorf("pid_file: %w", err)
	}
	d.pidFile = d.options.PidFile
	return nil
}

// removePid removes it, unless another process has written its own meanwhile.
func (d *Daemon) removePid() {
	if d.pidFile == "" {
		return
	}
	if content, err := os.ReadFile(d.pidFile); err != nil || string(content) != strconv.Itoa(os.Getpid()) {
		return
	}
	if err := os.Remove(d.pidFile); err != nil {
		d.logger.Warn("The pid file could not be removed", "error", err)
	}
}

// writePorts writes which addresses are listened on, in nats-server's shape and under its kind of
// name: program_pid.ports.
func (d *Daemon) writePorts() error {
	if d.options.PortsFileDir == "" {
		return nil
	}
	content, err := json.Marshal(d.ports())
	if err != nil {
		return err
	}
	path := d.portsPath(os.Getpid())
	if err := writeWhole(path, content); err != nil {
		return fmt.Errorf("ports_file_dir: %w", err)
	}
	d.portsFile = path
	return nil
}

// portsPath is the file of a process.
func (d *Daemon) portsPath(pid int) string {
	program := "edgebus"
	if d.options.NATSServerDefaults {
		program = "nats-server" // whoever waits for the file looks for this name
	}
	return filepath.Join(d.options.PortsFileDir, fmt.Sprintf("%s_%d.ports", program, pid))
}

// ports are the addresses by what they are for. nats-server has no leafnodes there.
func (d *Daemon) ports() map[string][]string {
	o := &d.options
	scheme := "nats"
	if o.TLS != nil && (!o.AllowNonTLS || o.onlyTLSFirst()) {
		scheme = "tls"
	}
	all := map[string][]string{"nats": urlsOf(scheme, d.address)}
	if d.monitorListener != nil {
		scheme = "http"
		if o.Monitor.HTTPS.Port != 0 {
			scheme = "https"
		}
		all["monitoring"] = urlsOf(scheme, d.monitorListener.Addr())
	}
	if d.leafListener != nil {
		all["leafnodes"] = urlsOf("nats-leaf", d.leafListener.Addr())
	}
	return all
}

// urlsOf lists where an address can be reached: for all addresses of the machine, each of them.
func urlsOf(scheme string, address net.Addr) (urls []string) {
	tcp, ok := address.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return []string{scheme + "://" + address.String()}
	}
	own, _ := net.InterfaceAddrs()
	for _, one := range own {
		if network, ok := one.(*net.IPNet); ok {
			urls = append(urls, scheme+"://"+net.JoinHostPort(network.IP.String(), strconv.Itoa(tcp.Port)))
		}
	}
	return urls
}

func (d *Daemon) removePorts() {
	if d.portsFile == "" {
		return
	}
	if err := os.Remove(d.portsFile); err != nil {
		d.logger.Warn("The ports file could not be removed", "error", err)
	}
}

// writeWhole writes a file aside and renames it into place. Where the folder takes no second file,
// as with /run/x.pid made beforehand for an unprivileged user, it writes in place.
func writeWhole(path string, content []byte) error {
	const mode = 0o644
	aside, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return os.WriteFile(path, content, mode)
	}
	_, err = aside.Write(content)
	if err == nil {
		err = aside.Chmod(mode)
	}
	if closeErr := aside.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(aside.Name(), path)
	}
	if err != nil {
		os.Remove(aside.Name())
		if named := (*fs.PathError)(nil); errors.As(err, &named) {
			named.Path = path // the other one says nothing to an operator
		}
	}
	return err
}
