package certs

import (
	"crypto/x509"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// refreshEvery is how often, at the most, handshakes look at the files for changes: a certificate that
// was renewed is to be in use within 5 s.
const refreshEvery = 3 * time.Second

// A kept is what came out of a block and its files, and stays in use until newer files can be.
type kept struct {
	// Set by begin, never written again.
	listener bool

	// Anyone's.
	current atomic.Pointer[loaded]
	refresh struct {
		mu   sync.Mutex
		next time.Time
		told func(error)
		seen string // the error of the last look; empty: there was none
		last string // the error that was told last
	}
}

// begin reads the files for the first time.
func (k *kept) begin(o *Options, listener bool) error {
	l, err := load(o, listener)
	if err != nil {
		return err
	}
	k.listener = listener
	k.current.Store(l)
	k.refresh.next = time.Now().Add(refreshEvery)
	return nil
}

// OnRefresh has f told, from any goroutine, when files have changed: they are used from now on, or
// err says why they cannot be, and the old ones stay. An error is told once, and not before a second
// look has found it too: certificate and key are written one after the other.
func (k *kept) OnRefresh(f func(err error)) {
	k.refresh.mu.Lock()
	k.refresh.told = f
	k.refresh.mu.Unlock()
}

// look uses the files that have changed, if it is time to look at them.
func (k *kept) look() {
	k.refresh.mu.Lock()
	if now := time.Now(); now.Before(k.refresh.next) {
		k.refresh.mu.Unlock()
		return
	} else {
		k.refresh.next = now.Add(refreshEvery)
	}
	k.refresh.mu.Unlock()
	k.Refresh()
}

// Refresh reads the files anew if they have changed, and reports whether they have. With an error
// what was there stays in use.
func (k *kept) Refresh() (changed bool, err error) {
	old := k.current.Load()
	if !old.stale() {
		return false, nil
	}
	l, err := load(&old.options, k.listener)
	if err == nil && !k.current.CompareAndSwap(old, l) {
		return true, nil // somebody else has looked, and was faster
	}
	if told := k.noteRefresh(err); told != nil {
		told(err)
	}
	return true, err
}

// noteRefresh says whom to tell of how a look has ended; nil: nobody.
func (k *kept) noteRefresh(err error) func(error) {
	k.refresh.mu.Lock()
	defer k.refresh.mu.Unlock()
	r := &k.refresh
	if err == nil {
		r.seen, r.last = "", ""
		return r.told
	}
	text := err.Error()
	again := text == r.seen
	r.seen = text
	if !again || text == r.last {
		return nil
	}
	r.last = text
	return r.told
}

// HasFiles reports whether there is anything to look at.
func (k *kept) HasFiles() bool { return len(k.current.Load().files) > 0 }

// NotAfter is when the first of our own certificates expires; zero: there are none.
func (k *kept) NotAfter() time.Time { return k.current.Load().notAfter }

// Warnings are what the operator should know of what is in use, at a time.
func (k *kept) Warnings(now time.Time) []string {
	l := k.current.Load()
	all := slices.Clone(l.warnings)
	for _, one := range l.own {
		if text := judge(one.file, one.leaf, k.listener, now); text != "" {
			all = append(all, text)
		}
	}
	return all
}

// judge warns of a certificate whose time is not now, or is soon over.
func judge(file string, leaf *x509.Certificate, listener bool, now time.Time) string {
	day := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	harm := "clients that check it do not connect"
	if !listener {
		harm = "the other side does not let us in"
	}
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("cert_file %q: the certificate expired at %s: %s; put a new one in its place, or set the clock if it is wrong", file, day(leaf.NotAfter), harm)
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("cert_file %q: the certificate is not valid before %s: %s; look at this machine's clock", file, day(leaf.NotBefore), harm)
	case now.Add(expirySoon).After(leaf.NotAfter):
		return fmt.Sprintf("cert_file %q: the certificate expires at %s: put a new one in its place before that", file, day(leaf.NotAfter))
	}
	return ""
}
