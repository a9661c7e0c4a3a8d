package auth

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func TestSubjectOptionsFromConfiguration(t *testing.T) {
	for _, c := range []struct {
		name string
		in   any
		want SubjectOptions
		bad  bool
	}{
		{"one", "a.>", SubjectOptions{Allow: []string{"a.>"}}, false},
		{"list", []any{"a", "b q"}, SubjectOptions{Allow: []string{"a", "b q"}}, false},
		{"empty list restricts nothing", []any{}, SubjectOptions{}, false},
		{"keys in any case", map[string]any{"Allow": "a", "DENY": []any{}}, SubjectOptions{Allow: []string{"a"}}, false},
		{"both", map[string]any{"allow": []any{"a"}, "deny": "b"}, SubjectOptions{Allow: []string{"a"}, Deny: []string{"b"}}, false},
		{"deny alone", map[string]any{"deny": []any{"b"}}, SubjectOptions{Deny: []string{"b"}}, false},
		{"unknown key", map[string]any{"alow": "a"}, SubjectOptions{}, true},
		{"number", int64(3), SubjectOptions{}, true},
		{"number in list", []any{"a", int64(3)}, SubjectOptions{}, true},
		{"list of lists", map[string]any{"allow": []any{[]any{"a"}}}, SubjectOptions{}, true},
	} {
		var got SubjectOptions
		err := got.UnmarshalConf(c.in)
		if c.bad != errors.Is(err, ErrOptions) || !c.bad && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestResponseOptionsFromConfiguration(t *testing.T) {
	for _, c := range []struct {
		name string
		in   any
		want ResponseOptions
		bad  bool
	}{
		{"true", true, ResponseOptions{}, false},
		{"false", false, ResponseOptions{Off: true}, false},
		{"block", map[string]any{"max": int64(5), "expires": "1m"}, ResponseOptions{Max: 5, Expires: time.Minute}, false},
		{"other names", map[string]any{"Max_Msgs": int64(5), "ttl": "0.5s"}, ResponseOptions{Max: 5, Expires: 500 * time.Millisecond}, false},
		{"number of seconds", map[string]any{"expires": int64(7)}, ResponseOptions{}, true},
		{"empty block", map[string]any{}, ResponseOptions{}, false},
		{"not a duration", map[string]any{"expires": "soon"}, ResponseOptions{}, true},
		{"not a number", map[string]any{"max": "many"}, ResponseOptions{}, true},
		{"unknown key", map[string]any{"maximum": int64(1)}, ResponseOptions{}, true},
		{"word", "yes please", ResponseOptions{}, true},
	} {
		var got ResponseOptions
		err := got.UnmarshalConf(c.in)
		if c.bad != errors.Is(err, ErrOptions) || !c.bad && got != c.want {
			t.Errorf("%s: %+v %v, want %+v", c.name, got, err, c.want)
		}
	}
}
