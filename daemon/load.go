package daemon

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/auth"
	"github.com/edgebus-io/edgebus/broker"
	"github.com/edgebus-io/edgebus/config"
	"github.com/edgebus-io/edgebus/server"
	"github.com/edgebus-io/edgebus/transport/certs"
)

// A Loaded is a configuration that a server can start with.
type Loaded struct {
	Options  Options
	Warnings []config.Problem
	// Digest names the content of the file; empty without one.
	Digest string

	available int64 // memory, as found
	directory *auth.Directory
	certs     *certs.Server // nil: no TLS

	leafDirectory *auth.Directory // who may join as a leaf; directory, unless leafnodes has users of its own
	leafCerts     *certs.Server   // nil: leaves join without TLS
	remoteCerts   []*certs.Client // of each of the remotes
	proxyCerts    []*certs.Client // of the proxies of each

	file *config.Result // where keys stand; empty without a file
}

// Close ends what reading has started, for someone who only wanted to know whether it can be read.
func (l *Loaded) Close() {
	if l.directory != nil {
		l.directory.Close()
	}
	if l.leafDirectory != nil && l.leafDirectory != l.directory {
		l.leafDirectory.Close()
	}
}

// Load reads the configuration file at path, applies override to what it says (nil: nothing), fills
// in defaults and checks everything that can be checked without listening. Without a path there
// are only defaults and override.
//
// The error is config.Problems when there is a file, and OptionErrors otherwise.
func Load(path string, override func(*Options)) (*Loaded, error) {
	return load(path, override, memoryAvailable("/"))
}

func load(path string, override func(*Options), memory int64) (*Loaded, error) {
	result := &config.Result{}
	l := &Loaded{available: memory, file: result}
	if path != "" {
		var err error
		if result, err = config.Load(path, &l.Options, classes()); err != nil {
			return nil, err
		}
		l.Digest, l.Warnings, l.file = result.Digest, result.Warnings, result
	}
	l.Options.Auth.Given = result.Has("authorization")
	problems := l.Options.foldListen()
	l.Options.ConfigFile, l.Options.Override = path, override
	if override != nil {
		override(&l.Options)
	}
	problems = append(problems, l.settle()...)
	if len(problems) > 0 {
		l.Close()
		if path != "" {
			return nil, problems.placed(result).With(result.Warnings)
		}
		return nil, problems
	}
	l.warn(result)
	return l, nil
}

// ControlSocket is the socket that the configuration file at path names; empty: it names none, or cannot be
// read. Mistakes in other keys do not matter: a server that was started before them runs behind it.
func ControlSocket(path string) string {
	var named struct {
		Path string `conf:"control_socket"`
	}
	config.Load(path, &named, nil) // which knows no other keys, and says so
	return named.Path
}

// settle fills defaults in and lets every part look at its options.
func (l *Loaded) settle() OptionErrors {
	o := &l.Options
	problems := o.foldListen()
	o.fill(l.available)
	problems = append(problems, o.check()...)
	if err := l.secure(); err != nil {
		problems = append(problems, optionError{"tls", err})
	}
	if err := l.secureResolver(); err != nil {
		problems = append(problems, optionError{"resolver_tls", err})
	}
	if err := l.secureLeaf(); err != nil {
		problems = append(problems, optionError{"leafnodes", err})
	}
	directory, err := auth.New(o.Auth)
	if err != nil {
		key := "authorization"
		if known := new(auth.OptionError); errors.As(err, &known) && known.Key != "" {
			key = known.Key
		}
		return append(problems, optionError{key, err})
	}
	l.directory = directory
	// A server that is thrown away again: making one is how its options are checked.
	if _, err := server.New(o.Server, broker.New(o.Broker), nil, directory, nil); err != nil {
		problems = append(problems, optionError{keyOf(err, server.ErrOptions), err})
	}
	if err := l.makeLeafDirectory(); err != nil {
		problems = append(problems, optionError{"leafnodes", err})
	} else if err := l.checkLeaf(); err != nil {
		problems = append(problems, optionError{"leafnodes", err})
	}
	if len(problems) == 0 {
		if err := o.budget().check(o.MemoryLimit); err != nil {
			problems = append(problems, optionError{"memory_limit", err})
		}
	}
	return problems
}

// keyOf finds the key that an error of a part is about: the first word behind the sentinel.
func keyOf(err, sentinel error) string {
	text := strings.TrimPrefix(err.Error(), sentinel.Error()+": ")
	key, _, _ := strings.Cut(text, " ")
	return key
}

// warn says what works and is probably not meant.
func (l *Loaded) warn(result *config.Result) {
	o := &l.Options
	add := func(key, format string, args ...any) {
		l.Warnings = append(l.Warnings, result.At(fmt.Errorf(format, args...), key))
	}
	if o.Server.MaxPayload > largePayload {
		add("max_payload", "max_payload %d is above 8 MB: each such message is held once for every client that is behind", o.Server.MaxPayload)
	}
	if result.Has("authorization") && !l.directory.Required() && !o.asksCertificate() {
		add("authorization", "authorization names nobody, so anybody may come in")
	}
	for _, name := range slices.Sorted(maps.Keys(o.Top.Accounts)) {
		for _, export := range o.Top.Accounts[name].Exports {
			if export.Latency != nil {
				add("accounts.exports.latency", "account %q: latency of %q has no effect: nothing is measured yet, and nobody gets messages about it", cut(name), cut(export.Service))
			}
		}
	}
	for _, one := range l.watched() {
		for _, warning := range one.files.Warnings(time.Now()) {
			add(one.key, "%s%s", one.place, warning)
		}
	}
	for i := range o.Leaf.Remotes {
		if key, text := o.Leaf.Remotes[i].Missing(); text != "" {
			add("leafnodes.remotes."+key, "%s", text)
		}
	}
	if o.MemoryLimit > 0 && o.MemoryLimit < 2*runtimeBytes {
		add("memory_limit", "memory_limit %s is little: the program itself takes %s", showBytes(o.MemoryLimit), showBytes(runtimeBytes))
	}
	if text := o.scarceDescriptors(maxDescriptors()); text != "" && result.Has("max_connections") {
		add("max_connections", "%s", text)
	}
	if o.Log.File != "" && (o.Log.Syslog || o.Log.RemoteSyslog != "") {
		add("log_file", "log_file is set, so that syslog gets nothing")
	}
	if info, err := os.Stat(o.ConfigFile); err == nil && info.Mode().Perm()&0o002 != 0 {
		add("", "anybody on this machine may write this file: chmod o-w it")
	}
}
