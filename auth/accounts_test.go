package auth

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// of makes options of accounts alone.
func of(accounts AccountsOptions) Options {
	return Options{TopOptions: TopOptions{Accounts: accounts}}
}

func from(account, subject string) *SourceOptions {
	return &SourceOptions{Account: account, Subject: subject}
}

func TestErrorsKnowTheirKey(t *testing.T) {
	for key, o := range map[string]Options{
		"accounts":       of(AccountsOptions{GlobalAccount: {}}),
		"system_account": {TopOptions: TopOptions{SystemAccount: "X"}},
		"no_auth_user":   {TopOptions: TopOptions{NoAuthUser: "x"}},
		"mappings":       {TopOptions: TopOptions{Mappings: MappingsOptions{"a": {{Subject: "b c", Weight: 100}}}}},
		"authorization":  {Users: []User{{User: "a", Password: "$2a$11$short"}}},
	} {
		_, err := New(o)
		var known *OptionError
		if !errors.As(err, &known) || known.Key != key || !errors.Is(err, ErrOptions) {
			t.Errorf("%v is about another key than %q", err, key)
		}
	}
}

func TestAccountsAreWhatIsConfigured(t *testing.T) {
	five, none, zero := int64(5), int64(-1), int64(0)
	d := mustDirectory(t, Options{TopOptions: TopOptions{
		Accounts: AccountsOptions{
			"A": {
				Users:   []User{{User: "a"}},
				Exports: []ExportOptions{{Stream: "ev.>"}, {Service: "svc.*", Accounts: []string{"B"}, Response: "Stream", Threshold: time.Second}},
				Limits:  LimitsOptions{MaxConnections: &five, MaxSubscriptions: &none, MaxPayload: &zero},
			},
			"B": {Imports: []ImportOptions{
				{Stream: from("A", "ev.x"), Prefix: "fromA"}, {Stream: from("A", "ev.y"), To: "y"}, {Stream: from("A", "ev.z"), Prefix: "p."},
				{Service: from("A", "svc.*"), To: "calc.*", Share: true},
			}},
		},
		Mappings: MappingsOptions{"x": {{Subject: "y", Weight: 20}}},
	}})
	names := []string{}
	for _, a := range d.Accounts() {
		names = append(names, a.Name)
	}
	if !slices.Equal(names, []string{"$G", "$SYS", "A", "B"}) || d.SystemAccount() != "$SYS" || !d.Account("$SYS").System || d.Account("C") != nil {
		t.Errorf("accounts %s, system account %q", names, d.SystemAccount())
	}
	a := d.Account("A")
	if a.Limits != (AccountLimits{MaxConnections: 5, MaxPayload: -1}) {
		t.Errorf("limits %+v", a.Limits)
	}
	if e := a.Exports[1]; !e.Service || e.Response != Stream || e.Threshold != time.Second || len(e.Accounts) != 1 {
		t.Errorf("export %+v", e)
	}
	if want := []Import{
		{From: "A", Subject: "ev.x", To: "fromA.ev.x"}, {From: "A", Subject: "ev.y", To: "y"}, {From: "A", Subject: "ev.z", To: "p.ev.z"},
		{Service: true, From: "A", Subject: "svc.*", To: "calc.*", Share: true},
	}; !slices.Equal(d.Account("B").Imports, want) {
		t.Errorf("imports %+v, want %+v", d.Account("B").Imports, want)
	}
	if m := d.Account(GlobalAccount).Mappings; len(m) != 1 || m[0].Source != "x" || m[0].Destinations[0] != (Destination{Subject: "y", Weight: 20}) {
		t.Errorf("mappings %+v", m)
	}
	if d.Guest() != nil || !d.Required() {
		t.Error("users of accounts keep nobody out")
	}
}

func TestSystemAccounts(t *testing.T) {
	for _, c := range []struct {
		name string
		o    TopOptions
		want string
	}{
		{"by default", TopOptions{}, "$SYS"},
		{"switched off", TopOptions{NoSystemAccount: true}, ""},
		{"named", TopOptions{Accounts: AccountsOptions{"S": {}}, SystemAccount: "S"}, "S"},
		{"named and switched off", TopOptions{Accounts: AccountsOptions{"S": {}}, SystemAccount: "S", NoSystemAccount: true}, "S"},
		{"defined and switched off", TopOptions{Accounts: AccountsOptions{"$SYS": {}}, NoSystemAccount: true}, "$SYS"},
		{"the global one", TopOptions{SystemAccount: "$G"}, "$G"},
	} {
		d := mustDirectory(t, Options{TopOptions: c.o})
		marked := ""
		for _, a := range d.Accounts() {
			if a.System {
				marked += a.Name
			}
		}
		if d.SystemAccount() != c.want || marked != c.want {
			t.Errorf("%s: %q, marked %q, want %q", c.name, d.SystemAccount(), marked, c.want)
		}
	}
}

func TestNarrowestExportDecides(t *testing.T) {
	a := &Account{Exports: []Export{
		{Subject: ">", Accounts: []string{"B"}}, {Subject: "a.*"}, {Subject: "a.x", Accounts: []string{"C"}}, {Service: true, Subject: "a.x"},
		{Subject: "own.*", TokenPosition: 2},
	}}
	for _, c := range []struct {
		subject, importer string
		exported, admits  bool
	}{
		{"z", "B", true, true}, {"z", "C", true, false}, {"a.b", "C", true, true}, {"a.x", "C", true, true}, {"a.x", "B", true, false},
		{"a.*", "C", true, true}, {"a.>", "C", true, false}, {"own.B", "B", true, true}, {"own.C", "B", true, false}, {"own.*", "B", true, false},
	} {
		e := a.ExportOf(false, c.subject)
		if (e != nil) != c.exported || e != nil && e.admits(c.importer, c.subject) != c.admits {
			t.Errorf("%q for %s: %+v", c.subject, c.importer, e)
		}
	}
	if a.ExportOf(true, "a.y") != nil {
		t.Error("a stream is taken for a service")
	}
}

func TestSubjectExportedTwiceIsOneExport(t *testing.T) {
	d := mustDirectory(t, of(AccountsOptions{"B": {}, "C": {}, "A": {Exports: []ExportOptions{
		{Stream: "x", Accounts: []string{"B"}}, {Stream: "x", Accounts: []string{"C"}}, {Stream: "y"}, {Stream: "y", Accounts: []string{"B"}}, {Service: "x"},
	}}}))
	a := d.Account("A")
	if len(a.Exports) != 3 || !slices.Equal(a.Exports[0].Accounts, []string{"B", "C"}) || !slices.Equal(a.Exports[1].Accounts, []string{"B"}) {
		t.Errorf("%+v", a.Exports)
	}
}

// TestCirclesOfImports has ways that do and do not come back, with nats-server's verdict where it
// is always the same.
func TestCirclesOfImports(t *testing.T) {
	service := func(from, subject, to string) Import {
		return Import{Service: true, From: from, Subject: subject, To: to}
	}
	stream := func(from, subject, to string) Import { return Import{From: from, Subject: subject, To: to} }
	for _, c := range []struct {
		name    string
		a, b, c []Import
		circle  bool
	}{
		{"service there and back", []Import{service("B", "x", "x")}, []Import{service("A", "x", "x")}, nil, true},
		{"stream there and back", []Import{stream("B", "x.>", "x.>")}, []Import{stream("A", "x.1", "x.2")}, nil, true},
		{"over three", []Import{service("B", "b", "a")}, []Import{service("C", "c", "b")}, []Import{service("A", "a", "c")}, true},
		{"by wildcards", []Import{service("B", "b.*", "a.$1")}, []Import{service("A", "a.x", "b.>")}, nil, true},
		{"from itself", []Import{service("A", "x", "x")}, nil, nil, true},
		{"from itself under another name", []Import{service("A", "x", "y")}, nil, nil, false},
		{"prefixes that do not meet", []Import{stream("B", "b.>", "fromb.b.>")}, []Import{stream("A", "a.>", "froma.a.>")}, nil, false},
		{"stream there, service back", []Import{stream("B", "x", "x")}, []Import{service("A", "x", "x")}, nil, false},
		{"other subjects back", []Import{service("B", "x", "x")}, []Import{service("A", "y", "y")}, nil, false},
		{"two ways to one place", []Import{service("B", "x", "x"), service("C", "x", "y")}, []Import{service("C", "x", "x")}, nil, false},
	} {
		all := []Export{{Subject: ">"}, {Service: true, Subject: ">"}}
		err := checkImports([]*Account{{Name: "A", Imports: c.a, Exports: all}, {Name: "B", Imports: c.b, Exports: all}, {Name: "C", Imports: c.c, Exports: all}})
		if (err != nil) != c.circle {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestLatencyFromConfiguration(t *testing.T) {
	for _, c := range []struct {
		in   any
		want LatencyOptions
		bad  bool
	}{
		{"lat", LatencyOptions{"lat", 100}, false},
		{map[string]any{"subject": "lat"}, LatencyOptions{"lat", 100}, false},
		{map[string]any{"Subject": "lat", "sampling": int64(5)}, LatencyOptions{"lat", 5}, false},
		{map[string]any{"subject": "lat", "sampling": "50%"}, LatencyOptions{"lat", 50}, false},
		{map[string]any{"subject": "lat", "sampling": "Headers"}, LatencyOptions{"lat", 0}, false},
		{map[string]any{"subject": "lat", "sampling": int64(0)}, LatencyOptions{}, true},
		{map[string]any{"subject": "lat", "sampling": true}, LatencyOptions{}, true},
		{map[string]any{"subject": int64(1)}, LatencyOptions{}, true},
		{map[string]any{"to": "lat"}, LatencyOptions{}, true},
		{int64(1), LatencyOptions{}, true},
	} {
		var got LatencyOptions
		if err := got.UnmarshalConf(c.in); (err != nil) != c.bad || !c.bad && got != c.want {
			t.Errorf("%v: %+v %v", c.in, got, err)
		}
	}
}

func TestDestinationsFromConfiguration(t *testing.T) {
	for _, c := range []struct {
		in   any
		want []Destination
		bad  bool
	}{
		{"b", []Destination{{Subject: "b", Weight: 100}}, false},
		{map[string]any{"dest": "b", "Weight": "20%"}, []Destination{{Subject: "b", Weight: 20}}, false},
		{[]any{map[string]any{"destination": "b", "weight": int64(20), "cluster": "c"}}, []Destination{{Subject: "b", Weight: 20, Cluster: "c"}}, false},
		{map[string]any{"destination": "b"}, nil, true},
		{map[string]any{"destination": "b", "weight": int64(101)}, nil, true},
		{map[string]any{"destination": "b", "weight": "x"}, nil, true},
		{map[string]any{"to": "b", "weight": int64(1)}, nil, true},
		{[]any{"b"}, nil, true},
		{int64(1), nil, true},
	} {
		var got DestinationOptions
		if err := got.UnmarshalConf(c.in); (err != nil) != c.bad || !c.bad && !slices.Equal(got, c.want) {
			t.Errorf("%v: %+v %v", c.in, got, err)
		}
	}
}
