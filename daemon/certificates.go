package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/edgebus-io/edgebus/engine"
)

const (
	// certsEvery is how often the files of tls blocks are looked at, so that the log has what becomes of them
	// and when certificates expire; without such files nobody wakes up for that. What was renewed is in use
	// sooner: handshakes look too.
	certsEvery = time.Minute
	// certsSettle is when files that could not be used are looked at again.
	certsSettle = 3 * time.Second
	// certsAgain is how often it is said of a certificate that it expires soon.
	certsAgain = int64(24 * time.Hour)
)

// watchedFiles are the files of one tls block.
type watchedFiles struct {
	key   string // of the block, for its place in the configuration
	place string // which of several it is, in front of a text about it
	files interface {
		Refresh() (changed bool, err error)
		OnRefresh(func(error))
		HasFiles() bool
		Warnings(now time.Time) []string
	}
}

// watched lists the blocks that have files.
func (l *Loaded) watched() (all []watchedFiles) {
	if l.certs != nil {
		all = append(all, watchedFiles{"tls", "", l.certs})
	}
	if l.leafCerts != nil {
		all = append(all, watchedFiles{"leafnodes", "tls: ", l.leafCerts})
	}
	for i, own := range l.remoteCerts {
		if own.HasFiles() {
			all = append(all, watchedFiles{"leafnodes", fmt.Sprintf("remotes %d: ", i+1), own})
		}
	}
	for i, own := range l.proxyCerts {
		if own.HasFiles() {
			all = append(all, watchedFiles{"leafnodes", fmt.Sprintf("remotes %d: proxy: ", i+1), own})
		}
	}
	return all
}

// name is the block as a log line has it.
func (w *watchedFiles) name() string {
	if w.place == "" {
		return w.key
	}
	return w.key + ": " + w.place[:len(w.place)-2]
}

// tellRefreshes logs what becomes of files that change while they are in use.
func (d *Daemon) tellRefreshes(all []watchedFiles) {
	for _, one := range all {
		one.files.OnRefresh(func(err error) {
			if err != nil {
				d.logger.Error("The files of a tls block have changed and cannot be used; what was there stays in use", "block", one.name(), "error", optionError{err: err}.text())
				return
			}
			d.logger.Info("Certificates read anew; connections that there are stay as they are", "block", one.name())
		})
	}
}

// watchCerts looks at the files of tls blocks, and at when certificates expire, until ctx is over.
func (d *Daemon) watchCerts(ctx context.Context) {
	every := d.certsEvery
	timer := time.NewTimer(every)
	defer timer.Stop()
	var before *shown
	said := make(map[string]int64)
	for {
		set := d.shown.Load()
		if set != before {
			// What there is to say of a configuration was said when it was read.
			newWarnings(set.watched, said, d.clock(), engine.Now())
			before = set
		}
		if len(set.watched) == 0 {
			timer.Stop()
		} else {
			timer.Reset(every)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.reshown:
			continue
		case <-timer.C:
		}
		every = d.certsEvery
		for _, one := range set.watched {
			if _, err := one.files.Refresh(); err != nil { // whoever is told by OnRefresh logs it
				every = min(every, certsSettle)
			}
		}
		for _, text := range newWarnings(set.watched, said, d.clock(), engine.Now()) {
			d.logger.Warn(text)
		}
	}
}

// newWarnings are those that were not said lately. said has when they were, on the engine's scale, and
// holds no more than there are now.
func newWarnings(all []watchedFiles, said map[string]int64, now time.Time, at int64) (texts []string) {
	valid := make(map[string]bool)
	for _, one := range all {
		for _, warning := range one.files.Warnings(now) {
			text := one.place + warning
			valid[text] = true
			if last, known := said[text]; !known || at-last >= certsAgain {
				said[text] = at
				texts = append(texts, text)
			}
		}
	}
	for text := range said {
		if !valid[text] {
			delete(said, text)
		}
	}
	return texts
}
