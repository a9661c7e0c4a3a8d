package broker

// Interest is one change of what an account's peers have subscribed to. Whoever adds up Delta by
// subject and queue, leaving out Subs of its own, sees interest appear when the sum leaves 0 and
// disappear when it comes back.
type Interest struct {
	Subject, Queue string
	Delta          int32 // members that came (1, or a link's weight) or went (negative)
	Sub            *Sub  // whose change it is
}

// watcher is one function given to Watch.
type watcher struct {
	f func(Interest)
}

// Watch reports interest as it appears and disappears, beginning with what is there now. Every
// change is reported once, in order. f runs under the account's lock: put it in a queue and return.
func (a *Account) Watch(f func(Interest)) (stop func()) {
	w := &watcher{f: f}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.index.Walk(func(_, _ string, members []*Sub) bool {
		for _, s := range members {
			w.tell(s, s.members())
		}
		return true
	})
	a.watchers = append(a.watchers, w)
	return func() { a.unwatch(w) }
}

func (a *Account) unwatch(w *watcher) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range a.watchers {
		if a.watchers[i] == w {
			// A new slice, since the old one may not be changed under a walk of it.
			a.watchers = append(a.watchers[:i:i], a.watchers[i+1:]...)
			return
		}
	}
}

func (w *watcher) tell(s *Sub, delta int32) {
	w.f(Interest{Subject: s.Subject(), Queue: s.Queue(), Delta: delta, Sub: s})
}

// tellLocked reports one change to all who watch.
func (a *Account) tellLocked(s *Sub, delta int32) {
	for _, w := range a.watchers {
		w.tell(s, delta)
	}
}
