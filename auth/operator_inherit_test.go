package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"sync"
	"testing"
	"time"
)

// An accountDesk is an account server that can be told to be silent.
type accountDesk struct {
	mu     sync.Mutex
	tokens map[string]string // by account; under mu
	asked  int               // requests; under mu
	silent bool
}

func (a *accountDesk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.asked++
	token := a.tokens[path.Base(r.URL.Path)]
	a.mu.Unlock()
	switch {
	case a.silent:
		<-r.Context().Done()
	case token == "":
		http.NotFound(w, r)
	default:
		fmt.Fprint(w, token)
	}
}

// open starts a server. Each has one behaviour, so that what a slow one counts late is not another's.
func (a *accountDesk) open(t *testing.T) (url string) {
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return server.URL
}

// begin says who is known from now on, and counts anew.
func (a *accountDesk) begin(members ...*member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.asked, a.tokens = 0, make(map[string]string)
	for _, m := range members {
		a.tokens[m.key] = m.token()
	}
}

func (a *accountDesk) requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func deskOptions(r *realm, url string, timeout time.Duration) Options {
	o := r.options()
	o.Operator.Preload = nil
	o.Operator.Resolver = ResolverOptions{Type: resolverURL, URL: url + "/jwt", Timeout: timeout}
	return o
}

// reloading is a server with users of some accounts, the system account's first, just before a reload.
func reloading(t *testing.T) (r *realm, desk *accountDesk, url string, members []*member, old *Directory, ids []*Identity) {
	r, desk = newRealm(t), &accountDesk{}
	url = desk.open(t)
	members = []*member{r.system}
	for i := range 5 {
		members = append(members, r.account(fmt.Sprint("plant", i)))
	}
	desk.begin(members...)
	old = r.directory(deskOptions(r, url, time.Minute))
	for _, m := range members {
		ids = append(ids, mustLogin(t, old, m.user(nil, nil)))
	}
	return r, desk, url, members, old, ids
}

func mustKnow(t *testing.T, d *Directory, ids []*Identity) {
	t.Helper()
	for i, id := range ids {
		if now, err := d.Recheck(id); now != id {
			t.Errorf("account %d: %v", i, err)
		}
	}
}

// silence is how long a silent server is waited for.
const silence = 50 * time.Millisecond

func TestAReloadAsksASilentAccountServerOnce(t *testing.T) {
	r, _, _, members, old, ids := reloading(t)
	desk := &accountDesk{silent: true}
	d := r.directory(deskOptions(r, desk.open(t), silence)) // asks for the system account
	d.Inherit(old)
	mustKnow(t, d, ids)
	if n := desk.requests(); n > 1 {
		t.Errorf("a silent server was asked %d times", n)
	}

	desk = &accountDesk{silent: true}
	o := deskOptions(r, desk.open(t), silence)
	o.NoSystemAccount = true
	d = r.directory(o)
	d.Inherit(old)
	mustKnow(t, d, ids)
	mustLogin(t, d, members[1].user(nil, nil))
	if n := desk.requests(); n > 1 {
		t.Errorf("without a system account, and with a login right behind, it was asked %d times", n)
	}
}

func TestAReloadGoesOnWithoutAnAccountServer(t *testing.T) {
	r, _, _, _, old, ids := reloading(t)
	d := r.directory(deskOptions(r, "http://127.0.0.1:1", time.Minute)) // where nobody listens
	d.Inherit(old)
	mustKnow(t, d, ids)
}

func TestAReloadAsksAnAccountServerThatAnswersForEach(t *testing.T) {
	r, desk, url, members, old, ids := reloading(t)
	desk.begin(members[:5]...)
	d := r.directory(deskOptions(r, url, time.Minute))
	d.Inherit(old)
	if n := desk.requests(); n != len(members) {
		t.Errorf("asked %d times for %d accounts", n, len(members))
	}
	mustKnow(t, d, ids[:5])
	if now, err := d.Recheck(ids[5]); now != nil || !errors.Is(err, ErrCredentials) {
		t.Errorf("an account that is gone: %v", err)
	}
}

// What was taken over is fetched when somebody needs it, once the server may be there again.
func TestAccountsThatWereTakenOverAreFetchedLater(t *testing.T) {
	r, desk, url, members, old, ids := reloading(t)
	away := &accountDesk{silent: true}
	d := r.directory(deskOptions(r, away.open(t), silence))
	d.Inherit(old)
	back := d.operator.resolver.(*urlResolver)
	back.base, back.timeout = url+"/jwt/", time.Minute
	d.operator.now = func() time.Time { return time.Now().Add(keptPause) }
	members[1].claims.Limits.Conn = 7
	desk.begin(members[:5]...)
	if id := mustLogin(t, d, members[1].user(nil, nil)); d.Account(id.Account).Limits.MaxConnections != 7 {
		t.Errorf("limits as before the reload: %+v", d.Account(id.Account).Limits)
	}
	mustLogin(t, d, members[1].user(nil, nil))
	if n := desk.requests(); n != 1 {
		t.Errorf("asked %d times for one account", n)
	}
	if _, _, err := login(d, members[5].user(nil, nil)); err == nil {
		t.Error("login to an account that is gone")
	}
	if now, _ := d.Recheck(ids[5]); now != nil {
		t.Error("a client of an account that is gone stays")
	}
	mustKnow(t, d, ids[2:5])
}

func TestAReloadDoesNotWaitForASlowAccountServer(t *testing.T) {
	desk := &accountDesk{}
	late := &hurriedResolver{resolver: urlResolverOf(t, desk.open(t), nil), until: time.Now().Add(-time.Second)}
	for range 2 {
		if _, err := late.fetch("ACCOUNT"); err == nil || errors.Is(err, errNoAccount) {
			t.Errorf("asked when the time is over: %v", err)
		}
	}
	if n := desk.requests(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}
