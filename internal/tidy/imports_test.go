package tidy

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// DO NOT CHANGE THIS DATA TO FIX BUILDS.
//
// The table is the design: who may stand on whom. An import that it refuses is almost always a
// function in the wrong folder, or a word missing on the floor below. Changing a row is a decision
// of its own: a record in docs/adr, and a commit that does nothing else.
//
// policy maps a folder to what its production code may import of ours. "..." at the end of a name
// means all folders below it.
var policy = map[string]string{
	// The ground floor: none of ours. What is pure can be fuzzed alone and shared with the client.
	"parser":              "",
	"subject":             "",
	"engine":              "",
	"config":              "",
	"jsapi":               "",
	"monitor":             "",
	"mqtt/packet":         "",
	"coap/message":        "",
	"transport/certs":     "",
	"transport/websocket": "",
	"transport/dtls":      "",

	"auth":   "subject",
	"store":  "subject",
	"broker": "subject auth",

	// The adapters. None imports another.
	"server":    "engine parser broker auth",
	"leafnode":  "engine parser subject broker auth store",
	"mqtt":      "engine mqtt/packet broker auth store",
	"coap":      "engine coap/message broker auth",
	"jetstream": "jsapi broker store subject",

	"lastvalue": "broker subject store",
	"system":    "broker",

	// An SDK never pulls a server.
	"client":           "parser subject",
	"client/jetstream": "client jsapi",
	"client/micro":     "client",
	"client/dtls":      "client coap/message",

	"daemon": "parser subject engine config jsapi monitor mqtt/packet coap/message transport/... " +
		"auth store broker server leafnode mqtt coap jetstream lastvalue system",
	"cmd/edgebus": "daemon client client/jetstream store",

	"internal/testnet": "",
	"internal/script":  "",
	"internal/tidy":    "",
}

// forbidden are arrows that would cost so much that the table is checked for them as well: a row that
// lets one in, directly or by way of others, fails with what it would cost.
var forbidden = []struct{ from, to, cost string }{
	{"broker", "server leafnode mqtt coap jetstream", "the core grows a switch over protocols, and each new one edits the hot path"},
	{"broker", "engine parser", "the core learns of sockets and of a wire format"},
	{"server", "leafnode mqtt coap jetstream", "two protocols can no longer be understood, tested or left out one at a time"},
	{"leafnode", "server mqtt coap jetstream", "two protocols can no longer be understood, tested or left out one at a time"},
	{"mqtt", "server leafnode coap jetstream", "two protocols can no longer be understood, tested or left out one at a time"},
	{"coap", "server leafnode mqtt jetstream", "two protocols can no longer be understood, tested or left out one at a time"},
	{"jetstream", "server leafnode mqtt coap engine", "streams learn of a protocol or a socket"},
	{"parser", "...", "it could not be fuzzed without building a server, nor used by the SDK"},
	{"subject", "...", "it is shared by both sides and stays pure"},
	{"engine", "...", "moving bytes would learn what they mean"},
	{"store", "jetstream jsapi broker", "a log knows records; once it knows streams its interface never stops growing"},
	{"client", "server broker daemon auth engine store config", "every user of the SDK would ship a server"},
	{"config", "...", "it knows the grammar; each package knows the meaning of its own options"},
	{"monitor", "...", "it prints what it is handed; a new page is a registration, not an import"},
}

// thirdParty maps a module, or a package of one, to the folders that may import it. Everything else
// in the main module stands on the standard library.
var thirdParty = map[string]string{
	"github.com/nats-io/nkeys":                      "auth leafnode client",
	"github.com/nats-io/jwt/v2":                     "auth",
	"golang.org/x/crypto/bcrypt":                    "auth",
	"golang.org/x/crypto/x509roots/fallback/bundle": "transport/certs",
	"github.com/klauspost/compress/s2":              "leafnode store",
	"github.com/klauspost/compress/flate":           "transport/websocket",
	"github.com/gobwas/ws":                          "transport/websocket",
	"github.com/pion/dtls/v2":                       "transport/dtls client/dtls",
	"github.com/nats-io/nats-server/v2/conf":        "config",
	"golang.org/x/sys/unix":                         "engine store",
}

// heavy are packages of the standard library that production code does without, each with what it costs.
var heavy = map[string]string{
	"net/http":      "it brings HTTP/2, MIME and proxies: 1.4 MB of program and 0.8 MB of memory, see docs/adr/0009-no-net-http.md",
	"text/template": "it calls methods by name, so that the linker keeps every exported one, see docs/adr/0008-command-line-on-flag.md",
	"html/template": "it stands on text/template, see docs/adr/0008-command-line-on-flag.md",
}

const module = "github.com/edgebus-io/edgebus"

// allowed reports whether a space-separated list of folders, "..." at an end, covers folder.
func allowed(list, folder string) bool {
	for _, each := range strings.Fields(list) {
		if prefix, all := strings.CutSuffix(each, "..."); all && strings.HasPrefix(folder, prefix) {
			return true
		}
		if each == folder {
			return true
		}
	}
	return false
}

// below returns all that a folder reaches by the policy: what its tests may import.
func below(folder string) map[string]bool {
	reached := map[string]bool{}
	var visit func(string)
	visit = func(from string) {
		for other := range policy {
			if allowed(policy[from], other) && !reached[other] {
				reached[other] = true
				visit(other)
			}
		}
	}
	visit(folder)
	return reached
}

// ours returns the folder of one of the main module's packages.
func ours(name string) (folder string, ok bool) {
	if name == module {
		return ".", true
	}
	return strings.CutPrefix(name, module+"/")
}

func standard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

func TestImportsFollowThePolicy(t *testing.T) {
	for _, s := range sources(t) {
		if s.module != "." {
			continue
		}
		for _, name := range s.imports() {
			if folder, ok := ours(name); ok {
				checkOwn(t, s, folder)
			}
		}
	}
}

func checkOwn(t *testing.T, s source, to string) {
	switch {
	case strings.HasPrefix(s.folder, "tests/") || s.folder == "tests":
		// Whole-process tests stand above everything.
	case s.isTest():
		if to != s.folder && !below(s.folder)[to] && to != "internal/testnet" && to != "internal/script" {
			t.Errorf("%s imports %s: neither does its folder stand on it, directly or not, nor is it a test helper", s.path, to)
		}
	case !allowed(policy[s.folder], to):
		t.Errorf("%s imports %s: %s/ may import of ours: [%s]", s.path, to, s.folder, policy[s.folder])
	}
}

func TestEveryFolderHasARow(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if s.module != "." || seen[s.folder] || s.folder == "tests" || strings.HasPrefix(s.folder, "tests/") {
			continue
		}
		seen[s.folder] = true
		if _, ok := policy[s.folder]; !ok {
			t.Errorf("folder %s has Go files but no row in the policy table: say first what it may import", s.folder)
		}
	}
}

func TestPolicyLetsNoForbiddenArrowIn(t *testing.T) {
	for _, rule := range forbidden {
		reached := below(rule.from)
		for _, to := range slices.Sorted(maps.Keys(reached)) {
			if allowed(rule.to, to) {
				t.Errorf("the table lets %s reach %s: %s", rule.from, to, rule.cost)
			}
		}
	}
	for from := range policy {
		if strings.HasPrefix(from, "internal/") {
			continue
		}
		for to := range below(from) {
			if strings.HasPrefix(to, "internal/") || strings.HasPrefix(to, "cmd/") {
				t.Errorf("the table lets %s reach %s: production code does not stand on tests or commands", from, to)
			}
		}
	}
}

func TestPolicyHasNoCircle(t *testing.T) {
	for from := range policy {
		if below(from)[from] {
			t.Errorf("%s reaches itself", from)
		}
	}
}

func TestProductionCodeImportsNoTesting(t *testing.T) {
	for _, s := range sources(t) {
		if s.isTest() || strings.HasPrefix(s.folder, "internal/") || strings.HasPrefix(s.folder, "tests") {
			continue
		}
		for _, name := range s.imports() {
			if name == "testing" || strings.HasPrefix(name, "testing/") {
				t.Errorf("%s imports %s: it would be in everybody's binary", s.path, name)
			}
		}
	}
}

func TestProductionCodeImportsNothingHeavy(t *testing.T) {
	for _, s := range sources(t) {
		if s.module != "." || s.isTest() || strings.HasPrefix(s.folder, "internal/") || strings.HasPrefix(s.folder, "tests") {
			continue
		}
		for _, name := range s.imports() {
			for each, cost := range heavy {
				if name == each || strings.HasPrefix(name, each+"/") {
					t.Errorf("%s imports %s: %s", s.path, name, cost)
				}
			}
		}
	}
}

func TestThirdPartyStaysInItsFolder(t *testing.T) {
	for _, s := range sources(t) {
		if s.module != "." {
			continue
		}
		for _, name := range s.imports() {
			if _, ok := ours(name); ok || standard(name) || name == "C" {
				continue
			}
			folders, known := home(name)
			if !known {
				t.Errorf("%s imports %s: a dependency needs a decision record and one folder that hides it", s.path, name)
			} else if !allowed(folders, s.folder) && !(s.isTest() && reachesOne(s.folder, folders)) {
				t.Errorf("%s imports %s: only these may: [%s]", s.path, name, folders)
			}
		}
	}
}

// reachesOne reports whether a folder stands on one of those listed. Its tests may then use the
// module too, as to make what the hidden folder reads.
func reachesOne(folder, list string) bool {
	for each := range below(folder) {
		if allowed(list, each) {
			return true
		}
	}
	return false
}

// home finds the row of a third-party package: its own or that of a folder above it. For
// nats-server only the conf package has a row, so nothing else of it gets in.
func home(name string) (folders string, ok bool) {
	for prefix := name; prefix != ""; {
		if folders, ok = thirdParty[prefix]; ok {
			return folders, true
		}
		cut := strings.LastIndexByte(prefix, '/')
		if cut < 0 {
			return "", false
		}
		prefix = prefix[:cut]
	}
	return "", false
}

func TestCgoIsNotUsed(t *testing.T) {
	for _, s := range sources(t) {
		if s.module == "." && slices.Contains(s.imports(), "C") {
			t.Errorf("%s imports C: binaries are static and cross-compiled", s.path)
		}
	}
}
