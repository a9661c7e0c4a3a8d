package auth

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
)

// answers sends one request and returns its answers as text.
func answers(d *Directory, subject, body string) (all []string) {
	d.AnswerClaims(subject, []byte(body), func(reply ClaimsReply) {
		switch {
		case reply.Data != nil:
			text, _ := json.Marshal(map[string]any{"data": reply.Data})
			all = append(all, string(text))
		case reply.Error != nil:
			text, _ := json.Marshal(map[string]any{"error": reply.Error})
			all = append(all, string(text))
		default:
			all = append(all, string(reply.Raw))
		}
	})
	return all
}

func (r *realm) deletion(by keyed, subject string, accounts ...any) string {
	claims := jwt.NewGenericClaims(subject)
	claims.Data["accounts"] = accounts
	return encode(r.t, claims, by)
}

// The texts are those of nats-server 2.15.2.
func TestRequestsAboutClaimsAreAnsweredAsTheReferenceDoes(t *testing.T) {
	r := newRealm(t)
	m, foreign := r.account("acme"), newRealm(t)
	d := r.directory(r.stored(func(o *ResolverOptions) { o.AllowDelete = true }))
	update := accountStart + m.key + accountUpdateEnd
	invalid := r.account("invalid")
	invalid.claims.AddMapping("a.*", jwt.WeightedMapping{Subject: "b", Weight: 60}, jwt.WeightedMapping{Subject: "c", Weight: 60})
	for _, c := range []struct{ subject, body, want string }{
		{update, m.token(), `{"data":{"account":"` + m.key + `","code":200,"message":"jwt updated"}}`},
		{accountStartOld + m.key + accountUpdateEnd, m.token(), `{"data":{"account":"` + m.key + `","code":200,"message":"jwt updated"}}`},
		{subjectUpdate, m.token(), `{"data":{"account":"` + m.key + `","code":200,"message":"jwt updated"}}`},
		{subjectUpdate, "x", `{"error":{"account":"n/a","code":500,"description":"jwt update resulted in error - expected 3 chunks"}}`},
		{update, r.system.token(), `{"error":{"account":"` + m.key + `","code":500,"description":"jwt update resulted in error - subject does not match jwt content"}}`},
		{subjectUpdate, encode(t, m.claims, foreign.root), `{"error":{"account":"` + m.key + `","code":500,"description":"jwt update resulted in error - account validation failed"}}`},
		{subjectUpdate, invalid.token(), `{"error":{"account":"` + invalid.key + `","code":500,"description":"jwt validation failed - validation errors: [Mapping \"a.*\" exceeds 100% among all of it's weighted to mappings]"}}`},
		{subjectList, "", `{"data":["` + m.key + `"]}`},
		{accountStart + m.key + accountLookupEnd, "", "the JWT"},
		{accountStart + invalid.key + accountLookupEnd, "", ""},
		{subjectDelete, "x", `{"error":{"code":500,"description":"delete accounts request by  failed - expected 3 chunks"}}`},
		{subjectDelete, r.deletion(foreign.root, foreign.root.key, m.key), `{"error":{"code":500,"description":"delete accounts request by ` + foreign.root.key + ` failed - not trusted"}}`},
		{subjectDelete, r.deletion(r.root, r.signing.key, m.key), `{"error":{"code":500,"description":"delete accounts request by ` + r.signing.key + ` failed - not self signed"}}`},
		{subjectDelete, r.deletion(r.root, r.root.key, 5), `{"error":{"code":500,"description":"delete accounts request by ` + r.root.key + ` failed - malformed request"}}`},
		{subjectDelete, r.deletion(r.root, r.root.key, r.system.key), `{"error":{"code":500,"description":"delete accounts request by ` + r.root.key + ` failed - not allowed to delete system account"}}`},
		{subjectDelete, r.deletion(r.signing, r.signing.key, m.key), `{"data":{"code":200,"message":"deleted 1 accounts"}}`},
		{subjectList, "", `{"data":[]}`},
	} {
		got := answers(d, c.subject, c.body)
		if c.want == "the JWT" {
			if len(got) != 1 || peek(got[0]).Subject != m.key {
				t.Errorf("lookup: %q", got)
			}
			continue
		}
		if len(got) != 1 || got[0] != c.want {
			t.Errorf("%s: %q\nwant %q", c.subject, got, c.want)
		}
	}
}

func TestCachesAndOthersTakeOnlyWhatIsInUse(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	cache := r.stored(func(o *ResolverOptions) { o.Type = resolverCache })
	cache.Operator.Preload = map[string]string{r.system.key: r.system.token()}
	for _, c := range []struct {
		o                     Options
		subjects              int
		skipped, done, badend string
	}{
		{cache, 5, "jwt update cache skipped", "jwt updated cache", "jwt update cache resulted in error"},
		{r.options(m), 2, "jwt update skipped", "jwt updated", "jwt update resulted in error"},
	} {
		d := r.directory(c.o)
		if got := d.ClaimsSubjects(); len(got) != c.subjects {
			t.Errorf("subjects %q", got)
		}
		update := accountStart + m.key + accountUpdateEnd
		if got := answers(d, update, m.token()); !strings.Contains(got[0], c.skipped) {
			t.Errorf("not loaded: %q", got)
		}
		system := accountStart + r.system.key + accountUpdateEnd
		if got := answers(d, system, r.system.token()); !strings.Contains(got[0], `"message":"`+c.done+`"`) {
			t.Errorf("loaded: %q", got)
		}
		if got := answers(d, update, "x"); !strings.Contains(got[0], `"account":"`+m.key+`"`) || !strings.Contains(got[0], c.badend) {
			t.Errorf("bad: %q", got)
		}
	}
}

func TestDeletedAccountsAreOutOfForceAtOnce(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	for _, hard := range []bool{false, true} {
		o := r.stored(func(o *ResolverOptions) { o.AllowDelete, o.HardDelete = true, hard })
		o.Operator.Preload = map[string]string{m.key: m.token()}
		d := r.directory(o)
		id := mustLogin(t, d, m.user(nil, nil))
		var h heard
		d.OnChange(h.note)
		deleted, _, err := d.operator.deleteClaims(r.deletion(r.root, r.root.key, m.key))
		if err != nil || !slices.Equal(deleted, []string{m.key}) || len(h.take()) != 1 {
			t.Fatalf("%v %v", deleted, err)
		}
		if _, err := d.Recheck(id); !errors.Is(err, ErrAccountExpired) {
			t.Errorf("recheck: %v", err)
		}
		if _, _, err := login(d, m.user(nil, nil)); !errors.Is(err, ErrCredentials) {
			t.Errorf("login: %v", err)
		}
		_, err = os.Stat(o.Operator.Resolver.Dir + "/" + m.key + fileEnd + deletedEnd)
		if (err == nil) == hard {
			t.Errorf("hard %v: %v", hard, err)
		}
		if err := pushed(d, m.token()); err != nil {
			t.Fatal(err)
		}
		if now, err := d.Recheck(id); now != id {
			t.Errorf("pushed again: %v", err)
		}
	}
	d := r.directory(r.stored(nil))
	if _, _, err := d.operator.deleteClaims(r.deletion(r.root, r.root.key, m.key)); !errors.Is(err, errNoDelete) {
		t.Errorf("not allowed: %v", err)
	}
}

func TestPackSendsWhatTheAskerLacks(t *testing.T) {
	r := newRealm(t)
	m := r.account("acme")
	o := r.stored(nil)
	o.Operator.Preload = map[string]string{m.key: m.token()}
	d := r.directory(o)
	got := answers(d, subjectPack, "")
	if len(got) != 2 || !strings.HasPrefix(got[0], m.key+"|eyJ") || got[1] != "" {
		t.Errorf("%q", got)
	}
	sum := d.operator.resolver.(*directoryResolver).hash()
	if got := answers(d, subjectPack, string(sum[:])); len(got) != 1 || got[0] != "" {
		t.Errorf("the same already: %q", got)
	}
}
