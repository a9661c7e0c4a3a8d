package auth

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func mustPermissions(t *testing.T, o PermissionOptions) *Permissions {
	t.Helper()
	p, err := NewPermissions(&o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestMayPublish(t *testing.T) {
	for _, c := range []struct {
		name    string
		o       *SubjectOptions
		subject string
		want    bool
	}{
		{"nothing said", nil, "a", true},
		{"no allow list", &SubjectOptions{Deny: []string{"b"}}, "a", true},
		{"denied", &SubjectOptions{Deny: []string{"b"}}, "b", false},
		{"denied by wildcard", &SubjectOptions{Deny: []string{"b.>"}}, "b.c.d", false},
		{"allowed", &SubjectOptions{Allow: []string{"a"}}, "a", true},
		{"not in the list", &SubjectOptions{Allow: []string{"a"}}, "b", false},
		{"allowed by star", &SubjectOptions{Allow: []string{"a.*"}}, "a.b", true},
		{"star is one token", &SubjectOptions{Allow: []string{"a.*"}}, "a.b.c", false},
		{"tail is one token at least", &SubjectOptions{Allow: []string{"a.>"}}, "a", false},
		{"deny wins", &SubjectOptions{Allow: []string{"a.>"}, Deny: []string{"a.b"}}, "a.b", false},
		{"empty list", &SubjectOptions{Allow: []string{}}, "a", false},
		{"a wildcard published is a literal", &SubjectOptions{Allow: []string{"a.b"}}, "a.*", false},
		{"empty token", &SubjectOptions{Allow: []string{"a.>"}}, "a..b", false},
	} {
		p := mustPermissions(t, PermissionOptions{Publish: c.o})
		if got := p.MayPublish([]byte(c.subject)); got != c.want {
			t.Errorf("%s: publish %q is %v, want %v", c.name, c.subject, got, c.want)
		}
	}
}

// TestMaySubscribe follows the table of the client protocol's permissions, row by row.
func TestMaySubscribe(t *testing.T) {
	allow := func(s ...string) *SubjectOptions { return &SubjectOptions{Allow: append([]string{}, s...)} }
	deny := func(s ...string) *SubjectOptions { return &SubjectOptions{Deny: s} }
	for _, c := range []struct {
		name          string
		o             *SubjectOptions
		filter, queue string
		ok, filtered  bool
	}{
		{"nothing said", nil, ">", "", true, false},
		{"no allow list", deny("b"), "a", "", true, false},
		{"covered", allow("a.>"), "a.b", "", true, false},
		{"covered wildcard", allow("a.>"), "a.*", "", true, false},
		{"not covered", allow("a.>"), "b", "", false, false},
		{"empty list", allow(), "b", "", false, false},
		{"wildcard not fully inside allow", allow("a.b"), "a.*", "", false, false},
		{"tail is a word for a star", allow("a.*"), "a.>", "", true, false},
		{"all is a word for a star", allow("*"), ">", "", true, false},
		{"tail is a word for a denied star", deny("a.*"), "a.>", "", false, false},
		{"all is a word for a denied star", deny("*"), ">", "", false, false},
		{"tail is one word only", allow("a.*.c"), "a.>", "", false, false},
		{"tail beside a denied star", deny("a.*.c"), "a.>", "", true, true},
		{"inside two entries together only", allow("a.b", "a.c"), "a.*", "", false, false},
		{"deny wins", &SubjectOptions{Allow: []string{"a.>"}, Deny: []string{"a.b"}}, "a.b", "", false, false},
		{"wildcard overlaps deny", deny("a.b"), "a.*", "", true, true},
		{"wildcard overlaps deny from the side", deny("*.b"), "a.*", "", true, true},
		{"wildcard beside deny", deny("b.c"), "a.*", "", true, false},
		{"literal inside deny", deny("a.*"), "a.b", "", false, false},
		{"narrower inside deny", deny("a.>"), "a.*.c", "", false, false},
		{"the same as deny", deny("a.*"), "a.*", "", false, false},
		{"plain entry, any queue", allow("foo"), "foo", "v1", true, false},
		{"queue entry, its queue", allow("foo v1"), "foo", "v1", true, false},
		{"queue entry, plain", allow("foo v1"), "foo", "", false, false},
		{"queue entry, another queue", allow("foo v1"), "foo", "v2", false, false},
		{"queue entry, another subject", allow("foo v1"), "bar", "v1", false, false},
		{"plain and queue entry, another queue", allow("foo", "foo v1"), "foo", "v2", false, false},
		{"plain and queue entry, plain", allow("foo", "foo v1"), "foo", "", true, false},
		{"queue wildcard", allow("q.> v1.>"), "q.a", "v1.x", true, false},
		{"queue wildcard, more tokens", allow("q.> v1.>"), "q.a.b", "v1.x.y", true, false},
		{"queue wildcard, not inside", allow("q.> v1.>"), "q.a", "v1", false, false},
		{"queue wildcard, plain", allow("q.> v1.>"), "q.a", "", false, false},
		{"queue star", allow("q.> v1.*"), "q.a", "v1.x.y", false, false},
		{"queue with a star inside a token is a word", allow("q.> v*"), "q.a", "v1", false, false},
		{"any queue but not none", allow("q >"), "q", "anything", true, false},
		{"any queue but not none, plain", allow("q >"), "q", "", false, false},
		{"queue name that is no subject", allow("q >"), "q", "a..b", false, false},
		{"deny queue, that queue", deny("foo bar"), "foo", "bar", false, false},
		{"deny queue, plain", deny("foo bar"), "foo", "", true, false},
		{"deny queue, another", deny("foo bar"), "foo", "baz", true, false},
		{"deny queue, wildcard overlaps", deny("foo.a bar"), "foo.*", "bar", true, true},
		{"deny queue, wildcard of another queue", deny("foo.a bar"), "foo.*", "baz", true, false},
		{"deny queue by wildcard", deny("foo v1.*"), "foo", "v1.x", false, false},
		{"deny plain covers queues", deny("foo"), "foo", "bar", false, false},
		{"deny plain and queue, another queue", deny("foo", "foo bar"), "foo", "baz", false, false},
		{"system queue", allow(">"), "foo", systemQueue, false, false},
		{"empty token, allow list", allow("a.>"), "a..b", "", false, false},
		{"empty token, deny list", deny("a.>"), "a..b", "", true, false},
		{"system queue, no lists", nil, "foo", systemQueue, false, false},
	} {
		p := mustPermissions(t, PermissionOptions{Subscribe: c.o})
		ok, filtered := p.MaySubscribe(c.filter, c.queue)
		if ok != c.ok || filtered != c.filtered {
			t.Errorf("%s: subscribe %q %q is %v %v, want %v %v", c.name, c.filter, c.queue, ok, filtered, c.ok, c.filtered)
		}
	}
}

func TestNilPermissionsAllowEverything(t *testing.T) {
	var p *Permissions
	ok, filtered := p.MaySubscribe(">", "workers")
	if !p.MayPublish([]byte("a")) || !ok || filtered || p.Denies([]byte("a"), "") {
		t.Error("something is denied")
	}
	if ok, _ := p.MaySubscribe("foo", systemQueue); ok {
		t.Error("the servers' own queue is open to somebody without permissions")
	}
	if _, ok := p.Responses(); ok {
		t.Error("responses are tracked for someone who may publish anyway")
	}
}

func TestDeniesWhatTheRuleIsAbout(t *testing.T) {
	p := mustPermissions(t, PermissionOptions{Subscribe: &SubjectOptions{Deny: []string{"a.b", "c.* q", "d w.*"}}})
	for _, c := range []struct {
		subject, queue string
		want           bool
	}{
		{"a.b", "", true}, {"a.b", "q", true}, {"a.c", "", false}, {"c.x", "", false}, {"c.x", "q", true},
		{"c.x", "r", false}, {"d", "w.1", true}, {"d", "w", false},
	} {
		if got := p.Denies([]byte(c.subject), c.queue); got != c.want {
			t.Errorf("%q %q is %v, want %v", c.subject, c.queue, got, c.want)
		}
	}
}

func TestAllowResponses(t *testing.T) {
	for _, c := range []struct {
		name       string
		o          PermissionOptions
		want       Responses
		ok         bool
		mayPublish bool
	}{
		{"not said", PermissionOptions{}, Responses{}, false, true},
		{"true", PermissionOptions{AllowResponses: &ResponseOptions{}}, Responses{1, 2 * time.Minute}, true, false},
		{"false", PermissionOptions{AllowResponses: &ResponseOptions{Off: true}}, Responses{}, false, true},
		{"max and expires", PermissionOptions{AllowResponses: &ResponseOptions{Max: 2, Expires: time.Second}},
			Responses{2, time.Second}, true, false},
		{"no end", PermissionOptions{AllowResponses: &ResponseOptions{Max: -1, Expires: -1}}, Responses{-1, -1}, true, false},
		{"with a denial", PermissionOptions{Publish: &SubjectOptions{Deny: []string{"y"}}, AllowResponses: &ResponseOptions{}},
			Responses{1, 2 * time.Minute}, true, false},
		{"with publish", PermissionOptions{Publish: &SubjectOptions{Allow: []string{"x"}}, AllowResponses: &ResponseOptions{}},
			Responses{1, 2 * time.Minute}, true, true},
	} {
		p := mustPermissions(t, c.o)
		got, ok := p.Responses()
		if got != c.want || ok != c.ok || p.MayPublish([]byte("x")) != c.mayPublish {
			t.Errorf("%s: %v %v, publish x %v", c.name, got, ok, p.MayPublish([]byte("x")))
		}
	}
}

func TestBadPermissionsAreRefused(t *testing.T) {
	for _, entry := range []string{"", " ", "a..b", ".a", "a.", "a.>.b", "a b c", " a", "a ", "a b..c"} {
		for _, o := range []SubjectOptions{{Allow: []string{entry}}, {Deny: []string{entry}}} {
			if _, err := NewPermissions(&PermissionOptions{Subscribe: &o}); !errors.Is(err, ErrOptions) {
				t.Errorf("subscribe %q: %v", entry, err)
			}
			if _, err := NewPermissions(&PermissionOptions{Publish: &o}); !errors.Is(err, ErrOptions) {
				t.Errorf("publish %q: %v", entry, err)
			}
		}
	}
	o := &SubjectOptions{Allow: []string{"a queue"}}
	if _, err := NewPermissions(&PermissionOptions{Publish: o}); !errors.Is(err, ErrOptions) {
		t.Errorf("a queue in publish: %v", err)
	}
}

func TestVerdictsAllocateNothing(t *testing.T) {
	p := mustPermissions(t, PermissionOptions{
		Publish:   &SubjectOptions{Allow: []string{"a.*.c", "b.>"}, Deny: []string{"b.x"}},
		Subscribe: &SubjectOptions{Allow: []string{"a.> q.*"}, Deny: []string{"a.x"}},
	})
	text := []byte("b.y.z")
	if n := testing.AllocsPerRun(100, func() {
		p.MayPublish(text)
		p.MaySubscribe("a.b.*", "q.1")
		p.Denies(text, "q.1")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPermissionsCanBeShown(t *testing.T) {
	o := PermissionOptions{
		Publish:        &SubjectOptions{Allow: []string{}, Deny: []string{"a"}},
		Subscribe:      &SubjectOptions{Allow: []string{"a.>", "b q.*"}},
		AllowResponses: &ResponseOptions{Max: 1, Expires: time.Second},
	}
	if got := mustPermissions(t, o).Options(); !reflect.DeepEqual(*got, o) {
		t.Errorf("%+v", got)
	}
	if got := mustPermissions(t, PermissionOptions{}).Options(); *got != (PermissionOptions{}) {
		t.Errorf("nothing said: %+v", got)
	}
	var none *Permissions
	if none.Options() != nil {
		t.Error("somebody without permissions shows some")
	}
}
