package broker

import (
	"math"
	"testing"

	"github.com/edgebus-io/edgebus/auth"
)

func to(subject string, weight int) auth.Destination {
	return auth.Destination{Subject: subject, Weight: weight}
}

func mapsFor(name string, mappings ...auth.Mapping) *auth.Account {
	return &auth.Account{Name: name, Mappings: mappings}
}

func TestMappingsChangeWhereAMessageGoes(t *testing.T) {
	w := newWorld(t, mapsFor("A",
		auth.Mapping{Source: "foo", Destinations: []auth.Destination{to("bar", 100)}},
		auth.Mapping{Source: "bar", Destinations: []auth.Destination{to("never", 100)}},
		auth.Mapping{Source: "w.*", Destinations: []auth.Destination{to("m.$1", 100)}},
		auth.Mapping{Source: "t.*.>", Destinations: []auth.Destination{to("u.$1.x.>", 100)}},
		auth.Mapping{Source: "p.*", Destinations: []auth.Destination{to("part.{{partition(10,1)}}", 100)}},
		auth.Mapping{Source: "other", Destinations: []auth.Destination{{Subject: "x", Weight: 100, Cluster: "c"}}},
		auth.Mapping{Source: "lost", Destinations: []auth.Destination{to("lost", 0)}},
	))
	w.sub("A", ">", "")
	for _, c := range [][2]string{
		{"foo", "bar"}, {"w.a", "m.a"}, {"w.*", "m.*"}, {"w.>", "w.>"}, {"w.a.b", "w.a.b"}, {"w", "w"},
		{"t.1.2.3", "u.1.x.2.3"}, {"p.7", "part.6"}, {"other", "other"}, {"plain", "plain"}, {"lost", ""},
	} {
		for range 3 {
			m := &Msg{Subject: []byte(c[0]), Payload: []byte("m")}
			n, err := w.peer["A"].Publish(w.l, m)
			if string(m.Subject) != c[1] || err != nil {
				t.Errorf("%s: the subject is %q, %v; want %q", c[0], m.Subject, err, c[1])
			}
			if c[1] == "" {
				w.want("A")
			} else {
				w.want("A", c[1]+" m >>")
			}
			if (n == 1) != (c[1] != "") {
				t.Errorf("%s: delivered %d", c[0], n)
			}
		}
	}
}

func TestPermissionsAreForTheMappedSubject(t *testing.T) {
	w := newWorld(t, mapsFor("A", auth.Mapping{Source: "foo", Destinations: []auth.Destination{to("bar", 100)}}))
	w.at("A1", mustPermit(t, auth.PermissionOptions{Publish: list("foo")}), Traits{})
	w.at("A2", mustPermit(t, auth.PermissionOptions{Publish: list("bar")}), Traits{})
	w.sub("A", ">", "")
	for _, name := range []string{"A1", "A2"} {
		m := &Msg{Subject: []byte("foo")}
		_, err := w.peer[name].Publish(w.l, m)
		if (err == nil) != (name == "A2") || string(m.Subject) != "bar" {
			t.Errorf("%s: %v, %q", name, err, m.Subject)
		}
	}
	w.want("A", "bar >>")
}

func TestWeightsBelowAHundredLeaveTheRest(t *testing.T) {
	w := newWorld(t, mapsFor("A",
		auth.Mapping{Source: "keep.*", Destinations: []auth.Destination{to("a.$1", 20), to("b.$1", 30)}},
		auth.Mapping{Source: "lose", Destinations: []auth.Destination{to("a.x", 20), to("lose", 30)}},
	))
	w.sub("A", ">", "")
	for _, c := range []struct {
		publish string
		want    map[string]float64
	}{
		{"keep.x", map[string]float64{"a.x m >>": .2, "b.x m >>": .3, "keep.x m >>": .5}},
		{"lose", map[string]float64{"a.x m >>": .2, "lose m >>": .3}},
	} {
		const rounds = 20000
		n := map[string]float64{}
		for range rounds {
			w.pub("A", c.publish, "", "m")
			for _, line := range w.sink["A"].got {
				n[line]++
			}
			w.sink["A"].got = nil
		}
		for line := range n {
			if math.Abs(n[line]/rounds-c.want[line]) > .03 {
				t.Errorf("%s: %s came %v times of %v", c.publish, line, n[line], rounds)
			}
		}
		if len(n) != len(c.want) {
			t.Errorf("%s: got %v", c.publish, n)
		}
	}
}

func TestServiceRequestsAndAnswersAreMapped(t *testing.T) {
	a := offers("A", auth.Export{Subject: "svc.*"})
	a.Mappings = []auth.Mapping{{Source: "svc.x", Destinations: []auth.Destination{to("real", 100)}}}
	b := account("B", service("A", "svc.*", "svc.*"))
	b.Mappings = []auth.Mapping{{Source: "in", Destinations: []auth.Destination{to("out", 100)}}}
	w := newWorld(t, a, b)
	w.sub("A", "*", "")
	w.sub("B", "out", "")
	w.pub("B", "svc.x", "in", "q")
	w.want("A", `real _R_ NATS/1.0|Nats-Request-Info: {"acc":"B","rtt":5}|| q >*`)
	w.pub("A", w.sink["A"].reply, "", "answer")
	w.want("B", "out answer >out")
}

func TestMapIsNotDoneTwice(t *testing.T) {
	w := newWorld(t, mapsFor("A",
		auth.Mapping{Source: "a", Destinations: []auth.Destination{to("b", 100)}},
		auth.Mapping{Source: "b", Destinations: []auth.Destination{to("c", 100)}},
	))
	w.sub("A", ">", "")
	m := &Msg{Subject: []byte("a")}
	w.peer["A"].Map(w.l, m)
	if string(m.Subject) != "b" {
		t.Fatalf("mapped to %q", m.Subject)
	}
	w.peer["A"].Publish(w.l, m)
	w.want("A", "b >>")
	m.Subject = []byte("b")
	w.peer["A"].Publish(w.l, m)
	w.want("A", "c >>")
}
