package daemon

import (
	"slices"
	"strings"
	"testing"
)

const hashedUser = `{user: a, password: "$2a$04$JV6pTzTDmdqJ8VQVB6uFG.VLNb0oA6bNCXQ0n1hXH7OYKYAIlVYm6"}`

// What is open to more people than may be meant is said to whoever checks the file, at its place.
func TestExposuresNameWhatIsOpen(t *testing.T) {
	const (
		everything = "anybody who reaches 0.0.0.0 may read and write everything"
		leaf       = "anybody who reaches 0.0.0.0:7422 may join as a leaf, and read and write everything: add leafnodes.authorization"
		pages      = "anybody who reaches 0.0.0.0:8222 sees who is connected"
		plain      = "Plaintext passwords detected"
	)
	for name, test := range map[string]struct {
		text string
		want []string // beginnings, place included
	}{
		"nothing":                 {"", nil},
		"a port":                  {"port: 4333\nhttp: 8222\nleafnodes {port: 7422}", nil},
		"this machine":            {"host: 127.0.0.1\nhttp: \"localhost:8222\"\nleafnodes {listen: \"127.0.0.1:7422\"}", nil},
		"hashes":                  {"host: 0.0.0.0\nauthorization {users: [" + hashedUser + "]}\nleafnodes {listen: \"0.0.0.0:7422\"}", nil},
		"clients":                 {"\nhost: 0.0.0.0", []string{":2:1: " + everything}},
		"leaves":                  {"leafnodes {listen: \"0.0.0.0:7422\"}", []string{":1:12: " + leaf}},
		"leaves by host":          {"leafnodes {\n  host: 0.0.0.0\n  port: 7422\n}", []string{":2:3: " + leaf}},
		"leaves who log in":       {"leafnodes {listen: \"0.0.0.0:7422\", authorization " + hashedUser + "}", nil},
		"pages":                   {"http: \"0.0.0.0:8222\"", []string{":1:1: " + pages}},
		"pages beside users":      {"authorization {users: [" + hashedUser + "]}\nhttp_port: 8222", []string{":2:1: " + pages}},
		"pages with a password":   {"http: \"0.0.0.0:8222\"\nhttp_user: a\nhttp_password: b", nil},
		"a word in the clear":     {"authorization {user: a, password: b}", []string{":1:1: " + plain}},
		"a token":                 {"authorization {token: b}", nil},
		"a name alone":            {"authorization {user: a}", []string{":1:1: users without a password: a: whoever knows such a name comes in"}},
		"names of users":          {"authorization {users: [{user: b}, {user: a}, " + strings.Replace(hashedUser, ": a", ": c", 1) + "]}", []string{":1:1: users without a password: a, b: ", ":1:1: " + plain}},
		"a name in an account":    {"accounts {A {users: [{user: a}]}}", []string{":1:1: users without a password: a: ", ":1:1: " + plain}},
		"whom everybody may be":   {"no_auth_user: a\nauthorization {users: [{user: a}]}", []string{":2:1: " + plain}},
		"a name of a key's owner": {"authorization {users: [{nkey: UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4}]}", nil},
	} {
		loaded, err := load(mustWrite(t, test.text), nil, testMemory)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, problem := range loaded.Exposures() {
			got = append(got, problem.String())
		}
		loaded.Close()
		if !slices.EqualFunc(got, test.want, strings.Contains) {
			t.Errorf("%s: %q\nwant %q", name, got, test.want)
		}
	}
}

// And the server says so when it starts.
func TestStartSaysThatALeafPortIsOpen(t *testing.T) {
	for text, want := range map[string]string{
		`leafnodes {listen: "0.0.0.0:-1"}`:   "[WRN] anybody who reaches 0.0.0.0 may join as a leaf",
		`leafnodes {listen: "127.0.0.1:-1"}`: "",
		`leafnodes {port: -1}`:               "",
	} {
		_, out := logOfRun(t, mustWrite(t, text))
		if got := strings.Contains(out, "may join as a leaf"); got != (want != "") || !strings.Contains(out, want) {
			t.Errorf("%s: %s", text, out)
		}
	}
}
