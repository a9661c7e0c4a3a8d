package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
)

// stored is a directory resolver's options, with the system account pushed already.
func (r *realm) stored(edit func(*ResolverOptions)) Options {
	var o Options
	o.Operator.Operators = []string{r.operator(nil)}
	o.Operator.Resolver = ResolverOptions{Type: resolverFull, Dir: filepath.Join(r.t.TempDir(), "jwt")}
	if edit != nil {
		edit(&o.Operator.Resolver)
	}
	return o
}

func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDirectoryKeepsWhatIsPushed(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	o := r.stored(nil)
	d := r.directory(o)
	// Nothing is there yet, but somebody must be able to push.
	mustLogin(t, d, r.system.user(nil, nil))
	for _, each := range []*member{m, r.system} {
		if err := pushed(d, each.token()); err != nil {
			t.Fatal(err)
		}
	}
	id := mustLogin(t, d, m.user(nil, nil))
	if got, err := d.operator.lookup(m.key); err != nil || got != m.token() && peek(got).Subject != m.key {
		t.Errorf("lookup: %q %v", got, err)
	}
	want := []string{m.key, r.system.key}
	slices.Sort(want)
	if got := d.operator.resolver.(*directoryResolver).list(); !slices.Equal(got, want) {
		t.Errorf("list %q", got)
	}
	for _, name := range files(t, o.Operator.Resolver.Dir) {
		if !strings.HasSuffix(name, fileEnd) {
			t.Errorf("left over: %s", name)
		}
	}
	again := r.directory(o)
	again.Inherit(d)
	if now, err := again.Recheck(id); now != id {
		t.Errorf("after a restart: %v", err)
	}
}

func TestDirectoryRefusesOtherNames(t *testing.T) {
	r := newRealm(t)
	d := r.directory(r.stored(nil))
	dir := d.operator.resolver.(*directoryResolver)
	for _, name := range []string{"", "..", "../" + r.system.key, r.root.key, r.system.key + "/x"} {
		if dir.save(name, "x") == nil {
			t.Errorf("saved %q", name)
		}
		if _, err := dir.fetch(name); !errors.Is(err, errNoAccount) {
			t.Errorf("fetched %q: %v", name, err)
		}
	}
}

func TestDirectoryLimits(t *testing.T) {
	r := newRealm(t)
	a, b, c := r.account("a"), r.account("b"), r.account("c")
	full, err := openDirectory(&ResolverOptions{Type: resolverFull, Dir: t.TempDir(), Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer full.close()
	cache, err := openDirectory(&ResolverOptions{Type: resolverCache, Dir: t.TempDir(), Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.close()
	for _, dir := range []*directoryResolver{full, cache} {
		for _, m := range []*member{a, b} {
			if err := dir.save(m.key, m.token()); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := dir.fetch(a.key); err != nil {
			t.Fatal(err)
		}
	}
	if err := full.save(c.key, c.token()); !errors.Is(err, errFull) {
		t.Errorf("full: %v", err)
	}
	if err := full.save(a.key, a.token()); err != nil {
		t.Errorf("full, an account that is there: %v", err)
	}
	if err := cache.save(c.key, c.token()); err != nil {
		t.Errorf("cache: %v", err)
	}
	want := []string{a.key, c.key} // b was not used for the longest time
	slices.Sort(want)
	if got := cache.list(); !slices.Equal(got, want) {
		t.Errorf("the cache holds %q, want %q", got, want)
	}
}

func TestExpiredFilesAreSwept(t *testing.T) {
	r := newRealm(t)
	a, b := r.account("a"), r.account("b")
	a.claims.Expires = time.Now().Add(time.Hour).Unix()
	for _, ttl := range []time.Duration{0, time.Hour} {
		o := ResolverOptions{Type: resolverCache, Dir: t.TempDir(), TTL: ttl}
		dir, err := openDirectory(&o)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.close()
		for _, m := range []*member{a, b} {
			if err := dir.save(m.key, m.token()); err != nil {
				t.Fatal(err)
			}
		}
		dir.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
		if ttl == 0 {
			// The clock is set ahead and back, as often as it may be, and then stays.
			for range 2 * sweepsExpired {
				dir.sweep()
				dir.now = func() time.Time { return time.Now() }
				dir.sweep()
				dir.now = func() time.Time { return time.Now().Add(2 * time.Hour) }
			}
			if n := len(files(t, o.Dir)); n != 2 {
				t.Errorf("%d files are left by a clock that was wrong for a while", n)
			}
			for range sweepsExpired - 1 {
				dir.sweep()
			}
		}
		dir.sweep()
		want := []string{b.key}
		if ttl > 0 {
			want = nil
		}
		if got := dir.list(); !slices.Equal(got, want) || len(files(t, o.Dir)) != len(want) {
			t.Errorf("ttl %s: %q is left", ttl, got)
		}
	}
}

func TestPreloadDoesNotReplaceWhatIsNewer(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	dir, err := openDirectory(&ResolverOptions{Type: resolverFull, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer dir.close()
	forged := func(issued int64, id string) string {
		body, err := jwtBody(m.key, id, issued)
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	older, newer := forged(100, "x"), forged(200, "y")
	for _, token := range []string{newer, older} {
		if err := dir.saveIfNewer(m.key, token); err != nil {
			t.Fatal(err)
		}
	}
	if got, _ := dir.fetch(m.key); got != newer {
		t.Errorf("kept %q", got)
	}
}

func TestURLResolver(t *testing.T) {
	r := newRealm(t)
	m, other := r.account("acme"), r.account("other")
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked.Add(1)
		switch q.URL.Path {
		case "/jwt/" + m.key:
			fmt.Fprint(w, m.token())
		case "/jwt/" + r.system.key:
			fmt.Fprint(w, r.system.token())
		case "/jwt/" + other.key: // not the one that was asked for
			fmt.Fprint(w, m.token())
		default:
			http.NotFound(w, q)
		}
	}))
	defer server.Close()
	var o Options
	o.Operator.Operators = []string{r.operator(nil)}
	o.Operator.Resolver = ResolverOptions{Type: resolverURL, URL: server.URL + "/jwt"}
	d := r.directory(o)
	mustLogin(t, d, r.system.user(nil, nil))
	mustLogin(t, d, m.user(nil, nil))
	mustLogin(t, d, m.user(nil, nil))
	if n := asked.Load(); n != 2 {
		t.Errorf("asked %d times", n)
	}
	for _, each := range []*member{other, r.account("unknown")} {
		if _, _, err := login(d, each.user(nil, nil)); !errors.Is(err, ErrCredentials) {
			t.Errorf("%v", err)
		}
	}
	m.claims.Limits.Conn = 3
	if err := pushed(d, m.token()); err != nil || d.Account(m.key).Limits.MaxConnections != 3 {
		t.Errorf("push: %v, %+v", err, d.Account(m.key).Limits)
	}
	o.Operator.Operators = []string{r.operator(func(c *jwt.OperatorClaims) { c.AccountServerURL = server.URL + "/x" })}
	o.Operator.Resolver = ResolverOptions{}
	if d, err := New(o); err != nil {
		t.Errorf("the operator's account server: %v", err)
	} else if d.Close(); d.operator.resolver.(*urlResolver).base != server.URL+"/x/accounts/" {
		t.Errorf("base %q", d.operator.resolver.(*urlResolver).base)
	}
}
