package daemon

import (
	"encoding/json"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/monitor"
)

// allocated is how many bytes f takes, the least of some times: other goroutines take some as well.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// mustSubscribe makes many subscriptions and waits until they are there.
func mustSubscribe(t *testing.T, c *client, n int) {
	t.Helper()
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "SUB sensors.%d.temperature %d\r\n", i, i)
	}
	fmt.Fprint(c, text.String()+"PING\r\n")
	c.awaitPongs(t)
}

// A page of one row takes no more memory when there are many subscriptions, and one that asks for all of
// them is refused before it takes what there is not.
func TestAPageTakesWhatItShows(t *testing.T) {
	const many = 20_000 // above 1 MB, in a list
	o := Options{MemoryLimit: 64 << 20, Monitor: MonitorOptions{HTTP: Address{Host: loopbackHost, Port: randomPort}}}
	r := mustRun(t, o)
	mustConnect(t, r, "")
	mustSubscribe(t, mustConnect(t, r, ""), many)
	p := pages{r.Daemon}
	for what, make := range map[string]func() (total, shown int){
		"subsz": func() (int, int) {
			z, err := p.subsz(monitor.SubszOptions{Subscriptions: true, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			return z.Total - (many - 2), len(z.List)
		},
		"subsz of a subject": func() (int, int) {
			z, err := p.subsz(monitor.SubszOptions{Subscriptions: true, Test: "sensors.7.temperature"})
			if err != nil {
				t.Fatal(err)
			}
			return z.Total + 1, len(z.List)
		},
		"connz": func() (int, int) {
			z, err := p.connz(monitor.ConnzOptions{Detail: true, Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			return z.Total, len(z.Connections)
		},
		"connz of a subject": func() (int, int) {
			z, err := p.connz(monitor.ConnzOptions{Account: "$G", FilterSubject: "sensors.7.temperature"})
			if err != nil {
				t.Fatal(err)
			}
			return z.Total, len(z.Connections)
		},
	} {
		took := allocated(func() {
			// Whoever is late is left out, which is to be expected where there is much to do.
			inTime(t, what, func() bool {
				total, shown := make()
				return total == 2 && shown == 1
			})
		})
		if took > 256<<10 {
			t.Errorf("%s: %d bytes for one row", what, took)
		}
	}
	for _, path := range []string{"/subsz?subs=1&limit=20000", "/connz?subs=1"} {
		inTime(t, path, func() bool {
			code, text := r.look(t, "http", path, "", "")
			return code == http.StatusBadRequest && strings.Contains(text, "ask for fewer with limit")
		})
	}
	for path, want := range map[string]int{"/subsz?subs=1&offset=100": 1024, "/subsz?subs=1&limit=3000": 3000, "/subsz?subs=1&offset=19998": 2} {
		inTime(t, path, func() bool {
			var z monitor.Subsz
			code, text := r.look(t, "http", path, "", "")
			err := json.Unmarshal([]byte(text), &z)
			return err == nil && code == http.StatusOK && len(z.List) == want && z.Total == many
		})
	}
	r.Stop()
	r.mustEnd(t)
}

// inTime asks until an answer is right: a page leaves out who has too much to do to answer.
func inTime(t *testing.T, what string, right func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !right(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what + ": never as it should be")
		}
	}
}
