package daemon

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Each change of the block is a line of its own where links go by it at once, without secrets.
func TestReloadSaysWhatHasChangedOfLeafnodes(t *testing.T) {
	options := func(text string) *LeafnodeOptions {
		t.Helper()
		l, err := Load(mustWrite(t, "leafnodes { listen: \"127.0.0.1:-1\", "+text+" }"), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		return &l.Options.Leaf
	}
	const a, b = `url: "nats-leaf://u:hush@a:7422"`, `url: "nats-leaf://u:hush@b:7422"`
	for _, c := range []struct {
		name, from, to string
		want           []string
	}{
		{"nothing", "compression: s2_auto", "", nil},
		{"the block's own", "", "compression: s2_best, min_version: 2.10.0, isolate_leafnode_interest: true", []string{
			"leafnodes.compression = s2_best", "leafnodes.min_version = 2.10.0", "leafnodes.isolate_leafnode_interest = true"}},
		{"and back", "min_version: 2.10.0, compression: {mode: s2_auto, rtt_thresholds: [1ms, 5ms]}", "", []string{
			"leafnodes.compression = s2_auto", "leafnodes.min_version = none"}},
		{"thresholds", "", "compression: {mode: s2_auto, rtt_thresholds: [1ms, 5ms]}", []string{"leafnodes.compression = s2_auto [1ms 5ms]"}},
		{"of a remote", "remotes: [{" + a + "}, {" + b + "}]", "remotes: [{" + b + ", isolate_leafnode_interest: true}, {" + a + ", compression: off}]", []string{
			"leafnodes.remotes nats-leaf://a:7422: compression = off", "leafnodes.remotes nats-leaf://b:7422: isolate_leafnode_interest = true"}},
		{"remotes", "remotes: [{" + a + "}]", "remotes: [{" + b + "}]", []string{
			"leafnodes.remotes nats-leaf://a:7422 removed", "leafnodes.remotes nats-leaf://b:7422 added"}},
		{"a remote's rest", "remotes: [{" + a + "}]", "remotes: [{" + a + ", deny_imports: x, disabled: true}]", []string{
			"leafnodes.remotes nats-leaf://a:7422: disabled = true", "leafnodes.remotes nats-leaf://a:7422"}},
		{"the rest", "", "max_links: 3", []string{"leafnodes"}},
	} {
		if got := options(c.from).changes(options(c.to)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestMissingCredentialsOfARemoteAreAWarning(t *testing.T) {
	there := mustWrite(t, "")
	gone := there + ".gone"
	for _, c := range []struct{ name, key, want string }{
		{"credentials that are there", fmt.Sprintf("credentials: %q", there), ""},
		{"credentials that are not", fmt.Sprintf("credentials: %q", gone), "credentials"},
		{"a key that is not", fmt.Sprintf("nkey: %q", gone), "nkey"},
		{"the key itself", "nkey: SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY", ""},
		{"a key with a slip", "nkey: SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3V1", ""},
	} {
		path := mustWrite(t, "leafnodes { remotes = [\n  { url: \"tls://hub.example.com\"\n    "+c.key+" }\n] }")
		loaded, err := Load(path, nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		loaded.Close()
		want := ""
		if c.want != "" {
			want = fmt.Sprintf("%s:3:5: %s %q: ", path, c.want, gone)
		}
		switch w := loaded.Warnings; {
		case want == "" && len(w) > 0, want != "" && (len(w) != 1 || !strings.HasPrefix(w[0].String(), want)):
			t.Errorf("%s: warnings %v, want %q", c.name, w, want)
		}
	}
}
