//go:build linux

package peers

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

// A pair is who plays the hub and who the leaf. What holds of edgebus with a nats-server has to hold
// of two nats-servers, or else the test is wrong; and of two edgebuses.
type pair struct{ hub, leaf process.Kind }

func (p pair) String() string { return fmt.Sprintf("hub=%s,leaf=%s", p.hub, p.leaf) }

// old reports whether one of them is the nats-server that knows neither compression, nor keys of
// remotes, nor isolation.
func (p pair) old() bool { return p.hub == process.Old || p.leaf == process.Old }

var (
	oursPairs = []pair{
		{process.Reference, process.Edgebus}, {process.Edgebus, process.Reference}, {process.Edgebus, process.Edgebus},
		{process.Old, process.Edgebus}, {process.Edgebus, process.Old},
	}
	stockPairs = []pair{
		{process.Reference, process.Reference}, {process.Old, process.Reference}, {process.Reference, process.Old},
	}
)

// pairs are the combinations that a test plays: all with edgebus. EDGEBUS_LEAF_DRAFT=stock plays those
// without instead, as the judges of the test itself; EDGEBUS_LONG=1 leaves nothing out.
func pairs() []pair {
	switch {
	case os.Getenv("EDGEBUS_LEAF_DRAFT") == "stock":
		return stockPairs
	case long():
		return append(slices.Clone(oursPairs), stockPairs...)
	}
	return oursPairs
}

// long reports whether tests take the minutes and hours of `make test-long`.
func long() bool { return os.Getenv("EDGEBUS_LONG") != "" }

// inForm chooses between a number for each change and one for the long form.
func inForm[T any](short, inFull T) T {
	if long() {
		return inFull
	}
	return short
}

// onPairs plays a test with each combination, one after the other. Keep tells which are to be played;
// nil: all.
func onPairs(t *testing.T, keep func(p pair) bool, f func(t *testing.T, p pair)) {
	t.Helper()
	t.Parallel()
	for _, p := range pairs() {
		if keep == nil || keep(p) {
			t.Run(p.String(), func(t *testing.T) { f(t, p) })
		}
	}
}

// onPairsAtOnce plays them side by side, for a test that waits more than it works.
func onPairsAtOnce(t *testing.T, keep func(p pair) bool, f func(t *testing.T, p pair)) {
	t.Helper()
	t.Parallel()
	sideBySide(t, keep, f)
}

// sideBySide is onPairsAtOnce for a part of a test.
func sideBySide(t *testing.T, keep func(p pair) bool, f func(t *testing.T, p pair)) {
	t.Helper()
	tests := map[string]func(t *testing.T){}
	for _, p := range pairs() {
		if keep == nil || keep(p) {
			tests[p.String()] = func(t *testing.T) { f(t, p) }
		}
	}
	atOnce(t, tests)
}

// atOnce runs subtests side by side, whatever -parallel says.
func atOnce(t *testing.T, tests map[string]func(t *testing.T)) {
	t.Helper()
	var wg sync.WaitGroup
	defer wg.Wait()
	for name, test := range tests {
		wg.Go(func() { t.Run(name, test) })
	}
}

// What takes seconds of waiting for want of anything else to look at waits together.
func TestLeafLinkOverTime(t *testing.T) {
	t.Parallel()
	atOnce(t, map[string]func(t *testing.T){
		"thin link delivers its backlog without a loss":     thinLinkDeliversItsBacklog,
		"interest overtakes a backlog":                      interestOvertakesABacklog,
		"silent link is given up under full load":           silentLinkIsGivenUp,
		"leaf is back soon after an outage":                 leafIsBackSoonAfterAnOutage,
		"reconnect is a fixed time":                         reconnectIsAFixedTime,
		"leaf older than the hub wants is refused":          leafOlderThanTheHubWantsIsRefused,
		"leaf that bears the hub's name stays away for 30s": leafThatBearsTheHubsNameStaysAway,
		"ring of leaves is cut":                             ringOfLeavesIsCut,
	})
}

// A layout is the configuration of one server among others.
type layout struct {
	kind    process.Kind
	name    string   // server_name; default: its kind and port
	hub     bool     // takes leaves
	port    int      // where it takes them; 0: a free one
	config  string   // lines beside the block
	block   string   // lines in the block
	remotes []string // what stands between the braces of each
	env     []string
}

// A node is a server with its links.
type node struct {
	*process.Server
	name  string
	leafs string // host:port where it takes leaves
	pages string // URL of the monitoring pages

	l layout
}

func (l layout) start(t *testing.T) *node {
	t.Helper()
	if l.port == 0 {
		l.port = process.FreePort(t)
	}
	port, pages := process.FreePort(t), process.FreePort(t)
	if l.name == "" {
		l.name = fmt.Sprintf("%s-%d", l.kind, port)
	}
	n := &node{name: l.name, leafs: address(l.port), pages: "http://" + address(pages), l: l}
	n.Server = process.Start(t, process.Options{Kind: l.kind, Config: n.text(), Port: port, Env: l.env})
	return n
}

// text is the configuration file.
func (n *node) text() string {
	text := &strings.Builder{}
	fmt.Fprintf(text, "server_name: %q\nhttp: %q\n%s\nleafnodes {\n", n.name, strings.TrimPrefix(n.pages, "http://"), n.l.config)
	if n.l.hub {
		fmt.Fprintf(text, "listen: %q\n", n.leafs)
	}
	fmt.Fprintln(text, n.l.block)
	if len(n.l.remotes) > 0 {
		fmt.Fprintln(text, "remotes: [")
		for _, each := range n.l.remotes {
			fmt.Fprintf(text, "{\n%s\n%s\n}\n", each, patient(n.l.kind, each))
		}
		fmt.Fprintln(text, "]")
	}
	fmt.Fprintln(text, "}")
	return text.String()
}

// restart ends the server as a power cut does, and starts it with the layout as it is now.
func (n *node) restart(change func(l *layout)) {
	n.Kill()
	change(&n.l)
	n.SetConfig(n.text())
	n.Again()
}

// quickly is the line of a block that makes the server come back soon after a loss; the old one
// knows no less than its default of a second.
func quickly(kind process.Kind) string {
	if kind == process.Old {
		return ""
	}
	return `reconnect: "50ms"`
}

// remote is the text of a remote: where it is, and more lines.
func remote(where string, lines ...string) string {
	if !strings.Contains(where, "://") {
		where = "nats-leaf://" + where
	}
	return fmt.Sprintf("url: %q\n", where) + strings.Join(lines, "\n")
}

// patient is the line of a remote that has a nats-server wait for its hub's INFO on a line or a machine that is
// slow: by itself it waits for a second, and then dials anew. The old one knows no such line.
func patient(kind process.Kind, remote string) string {
	if kind != process.Reference || strings.Contains(remote, "first_info_timeout") {
		return ""
	}
	return "first_info_timeout: \"10s\""
}

// link starts a hub and a leaf of it.
func (p pair) link(t *testing.T) (hub, leaf *node) {
	t.Helper()
	hub = layout{kind: p.hub, hub: true}.start(t)
	leaf = layout{kind: p.leaf, remotes: []string{remote(hub.leafs)}}.start(t)
	return hub, leaf
}

// linkThrough is link with a line between the two.
func (p pair) linkThrough(t *testing.T, w weather) (hub, leaf *node, between *line) {
	t.Helper()
	hub, between = layout{kind: p.hub}.startBehind(t, w)
	leaf = layout{kind: p.leaf, block: quickly(p.leaf), remotes: []string{remote(between.addr)}}.start(t)
	return hub, leaf, between
}

// startBehind starts a hub that is to be reached through a line. It tells leaves so: by themselves
// they would soon prefer its own address.
func (l layout) startBehind(t *testing.T, w weather) (*node, *line) {
	t.Helper()
	l.hub, l.port = true, process.FreePort(t)
	between := newLine(t, address(l.port), w)
	l.block += fmt.Sprintf("\nadvertise: %q", between.addr)
	return l.start(t), between
}

func (n *node) client(t *testing.T, options ...nats.Option) *nats.Conn {
	t.Helper()
	return connect(t, n.Server, options...)
}

// agree waits until each side knows what clients of the other have subscribed to so far.
func agree(t *testing.T, a, b *nats.Conn) {
	t.Helper()
	reach(t, a, b)
	reach(t, b, a)
}

// reach waits until a request of one client is answered by the other. All that the other has
// subscribed to before is known then: interest and messages keep their order on a link.
func reach(t *testing.T, from, to *nats.Conn) {
	t.Helper()
	subject := "reach." + nats.NewInbox()
	sub, err := to.Subscribe(subject, func(m *nats.Msg) { m.Respond(nil) })
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	flush(t, to)
	for deadline := time.Now().Add(patience); ; {
		_, err := from.Request(subject, nil, 2*time.Second)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("no way from one side to the other within %v: %v", patience, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// page reads one of the monitoring pages.
func (n *node) page(t *testing.T, path string, into any) {
	t.Helper()
	response, err := http.Get(n.pages + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s%s: %v: %.200s", n.name, path, err, text)
	}
}

// A leafz is what we read of the page of that name.
type leafz struct {
	Count int `json:"leafnodes"`
	Leafs []struct {
		Name        string
		Port        int // at the other end
		Account     string
		Compression string
		InMsgs      int64 `json:"in_msgs"`
		OutMsgs     int64 `json:"out_msgs"`
	}
}

func (n *node) links(t *testing.T) leafz {
	t.Helper()
	var page leafz
	n.page(t, "/leafz", &page)
	return page
}

// leaves are the names of those who have joined a node.
func (n *node) leaves(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	for _, each := range n.links(t).Leafs {
		names[each.Name] = true
	}
	return names
}

// awaitLinks waits until a node has just so many links.
func (n *node) awaitLinks(t *testing.T, count int) {
	t.Helper()
	process.Eventually(t, 2*patience, fmt.Sprintf("%s has %d links", n.name, count),
		func() bool { return n.links(t).Count == count })
}

// interest is what a node has been told to be wanted at the other end of its links, below a prefix: the
// subjects, sorted, with one more for each queue group. (/subsz does not list what comes by links.)
func (n *node) interest(t *testing.T, prefix string) []string {
	t.Helper()
	var page struct {
		Leafs []struct {
			List []string `json:"subscriptions_list"`
		}
	}
	n.page(t, "/leafz?subs=1", &page)
	var all []string
	for _, each := range page.Leafs {
		for _, subject := range each.List {
			if strings.HasPrefix(subject, prefix) {
				all = append(all, subject)
			}
		}
	}
	slices.Sort(all)
	return all
}

// awaitLog waits until the log has one of the texts.
func (n *node) awaitLog(t *testing.T, texts ...string) {
	t.Helper()
	process.Eventually(t, patience, fmt.Sprintf("the log of %s has one of %q", n.name, texts),
		func() bool { return slices.ContainsFunc(texts, n.Logged) })
}

func address(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
