package auth

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"
)

const (
	// fetchPause keeps clients of an account that is gone from asking the resolver all the time.
	fetchPause = time.Second
	// keptPause is the same for accounts that were taken over from before a reload: they work as they
	// are, and whoever logs in should not wait for an account server that may still be away.
	keptPause = 30 * time.Second
	// maxGather bounds the accounts that one account's imports make us load, directly or not.
	maxGather = 1024
	// maxAlarm is the longest wait for an expiry, in case the clock is set.
	maxAlarm = time.Hour
)

// A fetch is under way; whoever wants the same account waits for it too.
type fetch struct {
	done    chan struct{} // closed by whoever started it, after the rest is set
	account *claimed
	err     error
}

// loaded returns an account if it is loaded. It never waits.
func (p *operator) loaded(name string) *claimed {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.known[name]
}

// load returns an account that is in force, fetching it if necessary.
func (p *operator) load(name string) (*claimed, error) {
	a, now := p.loaded(name), p.now()
	if a != nil && !a.stand && !a.kept && !p.isExpired(a, now) {
		return a, nil
	}
	if a != nil && !p.mayFetchAgain(a, now) {
		return p.stillThere(a)
	}
	fresh, err := p.fetch(name)
	if err != nil {
		if a == nil {
			return nil, err
		}
		if a.kept && errors.Is(err, errNoAccount) {
			p.remove(name) // as a reload would have done
		}
		return p.stillThere(a)
	}
	p.install(p.gather(fresh), nil)
	if a = p.loaded(name); a == nil {
		return nil, refuse("more than %d accounts", maxAccounts)
	}
	return a, nil
}

func (p *operator) isExpired(a *claimed, now time.Time) bool {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return a.expired(now)
}

func (p *operator) mayFetchAgain(a *claimed, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	pause := fetchPause
	if a.kept && !a.expired(now) {
		pause = keptPause
	}
	if since := now.Sub(a.fetched); since >= 0 && since < pause {
		return false
	}
	a.fetched = now
	return true
}

func (p *operator) stillThere(a *claimed) (*claimed, error) {
	if p.isExpired(a, p.now()) {
		return nil, refuse("account %s has expired", a.name)
	}
	return a, nil
}

// fetch asks the resolver and checks what it says.
func (p *operator) fetch(name string) (*claimed, error) {
	if !isAccount(name) {
		return nil, refuse("%q is not the public key of an account", cut(name))
	}
	p.mu.Lock()
	f := p.fetching[name]
	if f != nil {
		p.mu.Unlock()
		p.aside(func() { <-f.done })
		return f.account, f.err
	}
	f = &fetch{done: make(chan struct{})}
	p.fetching[name] = f
	p.mu.Unlock()

	var token string
	var err error
	p.aside(func() { token, err = p.resolver.fetch(name) })
	if errors.Is(err, errNoAccount) {
		token, err = p.askOthers(name)
	}
	if err == nil {
		f.account, err = p.verify(token, true)
	}
	if err == nil && f.account.name != name {
		f.account, err = nil, fmt.Errorf("%w: the JWT is that of another account", ErrCredentials)
	}
	if err != nil {
		f.err = refuse("account %s: %w", name, err)
	}
	p.mu.Lock()
	delete(p.fetching, name)
	p.mu.Unlock()
	close(f.done)
	return f.account, f.err
}

// gather returns the account and those it imports from, directly or not, that are not loaded yet.
// What cannot be fetched is left out: its imports stay out until somebody loads it.
func (p *operator) gather(first *claimed) []*claimed {
	list := []*claimed{first}
	seen := map[string]bool{first.name: true}
	for i := 0; i < len(list) && len(list) < maxGather; i++ {
		for _, claim := range list[i].claims.Imports {
			if seen[claim.Account] {
				continue
			}
			seen[claim.Account] = true
			if p.loaded(claim.Account) != nil {
				continue
			}
			if other, err := p.fetch(claim.Account); err == nil {
				list = append(list, other)
			}
		}
	}
	return list
}

// install puts accounts into force: fetched ones unless something at least as good is there, and
// the pushed one, if any, in any case. Those who asked are told before it returns.
func (p *operator) install(fetched []*claimed, pushed *claimed) {
	p.changing.Lock()
	defer p.changing.Unlock()
	now := p.now()
	p.mu.Lock()
	var fresh []*claimed
	for _, a := range fetched {
		before := p.known[a.name]
		if before != nil && !before.stand && !before.kept && !before.expired(now) || a == pushed {
			continue
		}
		if p.put(a, before) {
			fresh = append(fresh, a)
		}
	}
	if pushed != nil && p.put(pushed, p.known[pushed.name]) {
		fresh = append(fresh, pushed)
	}
	p.settleLocked(fresh, now)
}

// put needs the lock held.
func (p *operator) put(a, before *claimed) bool {
	if before == nil {
		if len(p.known) >= maxAccounts {
			return false
		}
		p.orders++
		a.order = p.orders
	} else {
		a.order = before.order
		if reflect.DeepEqual(a.claims.DefaultPermissions, before.claims.DefaultPermissions) {
			a.defaults = before.defaults // so that whoever caches by it need not begin anew
		}
	}
	a.fetched = p.now()
	a.shown = &Account{Name: a.name, Exports: a.exports} // imports are not worked out yet
	p.known[a.name] = a
	return true
}

// settleLocked works out what is shown of the fresh accounts and of all that import from them,
// unlocks, and tells. It needs both locks held, and gives mu back.
func (p *operator) settleLocked(fresh []*claimed, now time.Time) {
	var changed []*Account
	for _, a := range fresh {
		p.workOut(a, now)
		changed = append(changed, a.shown)
	}
	var importers []*claimed
	for _, a := range p.known {
		if importsFrom(a, fresh) && !slices.Contains(fresh, a) {
			importers = append(importers, a)
		}
	}
	slices.SortFunc(importers, func(a, b *claimed) int { return a.order - b.order })
	for _, a := range importers {
		if p.workOut(a, now) {
			changed = append(changed, a.shown)
		}
	}
	p.armLocked(now)
	p.tellUnlock(changed)
}

// workOut makes anew what is shown of an account, and reports whether it differs. It needs the lock
// held.
func (p *operator) workOut(a *claimed, now time.Time) bool {
	made, until := a.show(p.system, now, p.getLocked)
	a.until = until
	if reflect.DeepEqual(made, a.shown) {
		return false
	}
	a.shown = made
	return true
}

// tellUnlock gives mu back and tells of changed accounts.
func (p *operator) tellUnlock(changed []*Account) {
	listeners := slices.Clone(p.listeners)
	p.mu.Unlock()
	for _, a := range changed {
		for _, listener := range listeners {
			listener(a)
		}
	}
}

func (p *operator) getLocked(name string) *claimed { return p.known[name] }

func importsFrom(a *claimed, exporters []*claimed) bool {
	for _, claim := range a.claims.Imports {
		for _, exporter := range exporters {
			if claim.Account == exporter.name {
				return true
			}
		}
	}
	return false
}

// armLocked sets the alarm for the next account or activation token to expire.
func (p *operator) armLocked(now time.Time) {
	if p.closed {
		return
	}
	var next time.Time
	for _, a := range p.known {
		switch {
		case a.gone.IsZero():
			next = sooner(next, sooner(a.expires, a.until))
		case a.gone.Equal(a.expires):
			next = sooner(next, now.Add(maxAlarm)) // the clock may be set back
		}
	}
	if p.alarm != nil {
		p.alarm.Stop()
	}
	if next.IsZero() {
		p.alarm = nil
		return
	}
	p.alarm = time.AfterFunc(min(max(next.Sub(now), 0), maxAlarm), p.expire)
}

// expire is the alarm: accounts whose time is up are shown as expired, imports whose token is
// expired are taken out. If the clock was set back, they are there again.
func (p *operator) expire() {
	p.changing.Lock()
	defer p.changing.Unlock()
	now := p.now()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	var changed []*Account
	for _, a := range p.inOrder() {
		over := a.gone.IsZero() && a.expired(now)
		back := !a.gone.IsZero() && a.gone.Equal(a.expires) && !a.expired(now)
		switch {
		case over:
			a.gone = a.expires
		case back:
			a.gone = time.Time{}
		}
		if p.workOut(a, now) || over || back {
			changed = append(changed, a.shown)
		}
	}
	p.armLocked(now)
	p.tellUnlock(changed)
}

// remove takes an account out of force. Its clients are expired.
func (p *operator) remove(name string) {
	p.changing.Lock()
	defer p.changing.Unlock()
	now := p.now()
	p.mu.Lock()
	a := p.known[name]
	if a == nil || !a.gone.IsZero() {
		p.mu.Unlock()
		return
	}
	a.gone = now
	p.settleLocked([]*claimed{a}, now)
}
