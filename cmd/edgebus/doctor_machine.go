package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/daemon"
)

// What there is to find on the machine: certificates, disks, files.

const (
	// expirySoon is how long ahead it is warned that a certificate expires.
	expirySoon = 14 * 24 * time.Hour
	// maxCertificateFile bounds what is read of a file of certificates.
	maxCertificateFile = 1 << 20
	// On a disk with less than that nothing can be written for long, or, if the disk is a small one, with less
	// than leastPart of it, in percent: on a router with 16 MB of flash all of it is less.
	leastSpace = 16 << 20
	leastPart  = 2
	// scarceSpace is the part of a disk, in percent, below which it is warned.
	scarceSpace = 5
	// nearlyAll is the part of a limit, in percent, from which on it is warned.
	nearlyAll = 90
)

// certificates looks at every certificate that the configuration names.
func (e *examination) certificates() {
	if e.loaded == nil {
		return
	}
	o := &e.loaded.Options
	blocks := map[string]*daemon.TLSOptions{"tls": o.TLS, "leafnodes.tls": o.Leaf.TLS}
	for i := range o.Leaf.Remotes {
		blocks[fmt.Sprintf("leafnodes.remotes %d: tls", i+1)] = o.Leaf.Remotes[i].TLS
		blocks[fmt.Sprintf("leafnodes.remotes %d: proxy.tls", i+1)] = o.Leaf.Remotes[i].Proxy.TLS
	}
	var files []string
	places := make(map[string]string)
	add := func(place, file string) {
		if file != "" && places[file] == "" {
			files, places[file] = append(files, file), place
		}
	}
	for place, block := range blocks {
		if block == nil {
			continue
		}
		add(place, block.CertFile)
		add(place, block.CAFile)
		for _, pair := range block.Certs {
			add(place, pair.CertFile)
		}
	}
	slices.Sort(files)
	for _, file := range files {
		e.certificateFile(places[file], file)
	}
}

// certificateFile looks at the first certificate of a file that is not valid, or about to be: of a file of
// authorities one that is of no use any more does no harm by itself.
func (e *examination) certificateFile(place, file string) {
	text, err := readBounded(file, maxCertificateFile)
	if err != nil {
		e.add(isError, "certificate", "name a file that this user may read", "%s: %v", place, err)
		return
	}
	now, day := e.now(), func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }
	var last time.Time
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if block.Type != "CERTIFICATE" || err != nil {
			continue
		}
		switch {
		case now.After(cert.NotAfter):
			e.add(isError, "certificate", "put a new one in its place: it is taken up without a restart", "%s: %q expired at %s UTC", place, file, day(cert.NotAfter))
			return
		case now.Before(cert.NotBefore):
			e.add(isError, "certificate", "look at this machine's clock, or wait", "%s: %q is not valid before %s UTC", place, file, day(cert.NotBefore))
			return
		case now.Add(expirySoon).After(cert.NotAfter):
			e.add(isWarning, "certificate", "put a new one in its place before that: it is taken up without a restart", "%s: %q expires at %s UTC", place, file, day(cert.NotAfter))
			return
		}
		if last.IsZero() || cert.NotAfter.Before(last) {
			last = cert.NotAfter
		}
	}
	if !last.IsZero() {
		e.add(isWell, "certificate", "", "%s: %q is valid until %s UTC", place, file, day(last))
	}
}

// readBounded reads a file of which not too much is expected.
func readBounded(file string, most int64) ([]byte, error) {
	info, err := os.Stat(file)
	if err == nil && info.Size() > most {
		return nil, fmt.Errorf("%q is larger than %d bytes", file, most)
	}
	if err != nil {
		return nil, err
	}
	return os.ReadFile(file)
}

// A diskState is how a file system is, in bytes. Of total 0 nobody knows how much room it has.
type diskState struct {
	free, total uint64 // free for us
	readOnly    bool
}

// isFull reports whether nothing can be written for long.
func (d diskState) isFull() bool { return d.free < min(leastSpace, d.total/100*leastPart) }

// writtenFolders are those in which the server writes, each with the key that says so.
func (e *examination) writtenFolders() map[string]string {
	o, folders := &e.loaded.Options, map[string]string{}
	for _, each := range [...]struct{ key, file string }{{"log_file", o.Log.File}, {"pid_file", o.PidFile}} {
		if each.file != "" {
			folders[filepath.Dir(each.file)] = each.key
		}
	}
	for _, each := range [...]struct{ key, folder string }{{"ports_file_dir", o.PortsFileDir}, {"resolver", o.Top.Operator.Resolver.Dir}} {
		if each.folder != "" {
			folders[filepath.Clean(each.folder)] = each.key
		}
	}
	return folders
}

// disks looks for room where the server writes, and where its configuration is written.
func (e *examination) disks() {
	folders := map[string]string{".": ""}
	if e.loaded != nil {
		folders = e.writtenFolders()
		if own := filepath.Dir(e.path); folders[own] == "" {
			folders[own] = ""
		}
	}
	for _, folder := range slices.Sorted(maps.Keys(folders)) {
		d, err := e.space(folder)
		key := folders[folder]
		switch {
		case err != nil:
			e.add(isError, "disk", "make this folder, and let the server write there", "%s: %v", folder, err)
		case d.readOnly && key != "":
			e.add(isError, "disk", "look in the kernel's log why, and mount it so that it can be written, or name another place for it", "the disk of %s is read-only, and %s is there", folder, key)
		case d.readOnly:
			e.add(isWell, "disk", "", "%s: read-only, and the server writes nothing there", folder)
		case d.total == 0: // nobody knows
		case d.isFull():
			e.add(isError, "disk", "make room: logs cannot be written, nor what has to be kept", "the disk of %s is full: %s are free", folder, volume(float64(d.free)))
		case d.free < d.total/100*scarceSpace:
			e.add(isWarning, "disk", "make room before it is full", "the disk of %s has %s free of %s", folder, volume(float64(d.free)), volume(float64(d.total)))
		default:
			e.add(isWell, "disk", "", "%s: %s free", folder, volume(float64(d.free)))
		}
	}
}

// descriptors looks how many files the running server has open, where the system tells and the
// configuration has a pid file.
func (e *examination) descriptors() {
	if e.loaded == nil || e.loaded.Options.PidFile == "" {
		return
	}
	text, err := os.ReadFile(e.loaded.Options.PidFile)
	pid, bad := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || bad != nil {
		return // it does not run, which has been said
	}
	process := filepath.Join(e.root, "proc", strconv.Itoa(pid))
	open, err := os.ReadDir(filepath.Join(process, "fd"))
	most := openFilesLimit(filepath.Join(process, "limits"))
	if err != nil || most == 0 {
		return
	}
	wanted := e.loaded.Options.Server.MaxConnections
	switch {
	case uint64(len(open))*100 >= most*nearlyAll:
		e.add(isError, "files", "raise LimitNOFILE of its unit, or ulimit -n, and start it again", "the server has %d sockets and files open, and may have %d", len(open), most)
	case uint64(wanted) > most:
		e.add(isWarning, "files", "raise LimitNOFILE of its unit, or ulimit -n, and start it again", "max_connections is %d, and the server may have %d sockets and files open", wanted, most)
	default:
		e.add(isWell, "files", "", "%d of %d sockets and files are open", len(open), most)
	}
}

// openFilesLimit reads the soft limit of a process's open files. 0: nobody knows.
func openFilesLimit(limits string) uint64 {
	text, err := os.ReadFile(limits)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			if words := strings.Fields(rest); len(words) > 0 {
				n, _ := strconv.ParseUint(words[0], 10, 64) // "unlimited" is not known to be any
				return n
			}
		}
	}
	return 0
}
