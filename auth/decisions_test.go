package auth

import (
	"bufio"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/edgebus-io/edgebus/subject"
)

// permissionsFrom makes Permissions of a block as a configuration has it.
func permissionsFrom(t *testing.T, text string) *Permissions {
	t.Helper()
	var block map[string]any
	if err := json.Unmarshal([]byte(text), &block); err != nil {
		t.Fatal(err)
	}
	o := &PermissionOptions{}
	for key, value := range block {
		var err error
		switch key {
		case "publish":
			o.Publish = &SubjectOptions{}
			err = o.Publish.UnmarshalConf(value)
		case "subscribe":
			o.Subscribe = &SubjectOptions{}
			err = o.Subscribe.UnmarshalConf(value)
		case "allow_responses":
			o.AllowResponses = &ResponseOptions{}
			err = o.AllowResponses.UnmarshalConf(value)
		default:
			t.Fatalf("unknown key %q", key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	p, err := NewPermissions(o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDecisionsAreThoseOfTheReference compares with what testdata/decisions.txt holds.
func TestDecisionsAreThoseOfTheReference(t *testing.T) {
	file, err := os.Open("testdata/decisions.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var published []string
	var p *Permissions
	decisions := map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := lines.Text()
		verb, rest, _ := strings.Cut(line, " ")
		words := strings.Fields(rest)
		switch verb {
		case "#":
		case "published":
			published = words
		case "permissions":
			p = permissionsFrom(t, rest)
		case "publish":
			decisions[words[1]]++
			if got := p.MayPublish([]byte(words[0])); got != (words[1] == "yes") {
				t.Errorf("%s: we say %v", line, got)
			}
		case "subscribe":
			decisions[words[2]]++
			checkSubscription(t, p, line, words, published)
		}
	}
	if decisions["yes"] < 400 || decisions["no"] < 400 {
		t.Errorf("%v decisions: too few to say anything", decisions)
	}
}

// checkSubscription takes: filter, queue, yes or no, and what was kept back.
func checkSubscription(t *testing.T, p *Permissions, line string, words, published []string) {
	t.Helper()
	filter, queue := words[0], words[1]
	if queue == "-" {
		queue = ""
	}
	ok, filtered := p.MaySubscribe(filter, queue)
	if ok != (words[2] == "yes") {
		t.Errorf("%s: we say %v", line, ok)
	}
	if !ok {
		return
	}
	kept := words[min(4, len(words)):]
	for _, s := range published {
		if !subject.Matches(filter, s) {
			continue
		}
		if got := filtered && p.Denies([]byte(s), queue); got != slices.Contains(kept, s) {
			t.Errorf("%s: we keep back %q: %v", line, s, got)
		}
	}
}
