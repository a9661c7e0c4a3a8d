package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	natsmicro "github.com/nats-io/nats.go/micro"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/client/micro"
	"github.com/edgebus-io/edgebus/tests/process"
)

// Services of our SDK and of nats.go beside each other, on each server: whoever looks at them, asks
// them, or shares their work must not be able to tell which is which.

// edgeConn is a connection of our SDK with an end.
func edgeConn(t *testing.T, s *process.Server, options ...client.Option) *client.Conn {
	t.Helper()
	conn, err := client.Connect(within(t), s.URL(), options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// within is the patience of one step as a context.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func edgeService(t *testing.T, conn *client.Conn, config micro.Config) *micro.Service {
	t.Helper()
	service, err := micro.AddService(conn, config)
	if err != nil {
		t.Fatal(err)
	}
	return service
}

func edgeFlush(t *testing.T, conn *client.Conn) {
	t.Helper()
	if err := conn.Flush(within(t)); err != nil {
		t.Fatal(err)
	}
}

// askAll asks on a subject and returns the answers of so many services by their id, as JSON has them.
func askAll(t *testing.T, nc *nats.Conn, subject string, count int) map[string]map[string]any {
	t.Helper()
	inbox := subscribe(t, nc, nats.NewInbox())
	if err := nc.PublishRequest(subject, inbox.Subject, nil); err != nil {
		t.Fatal(err)
	}
	answers := map[string]map[string]any{}
	for len(answers) < count {
		m, err := inbox.NextMsg(patience)
		if err != nil {
			t.Fatalf("%s: %d of %d answers: %v", subject, len(answers), count, err)
		}
		answer := map[string]any{}
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			t.Fatalf("%s: %q: %v", subject, m.Data, err)
		}
		id, _ := answer["id"].(string)
		if id == "" || answers[id] != nil {
			t.Fatalf("%s: an answer without an id of its own: %s", subject, m.Data)
		}
		answers[id] = answer
	}
	return answers
}

// likeness replaces what two instances differ in by what it must be at least.
func likeness(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for key, inner := range v {
			switch key {
			case "id":
				out[key] = inner != ""
			case "started":
				at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(inner))
				out[key] = err == nil && time.Since(at) < time.Minute && strings.HasSuffix(fmt.Sprint(inner), "Z")
			case "processing_time", "average_processing_time":
				nanoseconds, isNumber := inner.(float64)
				out[key] = isNumber && nanoseconds > 0 && nanoseconds < float64(patience)
			default:
				out[key] = likeness(inner)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = likeness(v[i])
		}
		return out
	}
	return value
}

// twins starts the same service with each library: two endpoints, one in a group, one of which was
// asked once with success and once without.
func twins(t *testing.T, s *process.Server) (edge *micro.Service, other natsmicro.Service) {
	t.Helper()
	about := map[string]string{"site": "north"}
	conn, nc := edgeConn(t, s), connect(t, s)
	edge = edgeService(t, conn, micro.Config{
		Name: "valve", Version: "1.2.3", Description: "turns", Metadata: about,
		Data: func(endpoint, subject string) any { return endpoint + " " + subject },
	})
	handle := func(data string, respond func([]byte) error, fail func() error) {
		if data == "bad" {
			fail()
			return
		}
		respond([]byte("turned " + data))
	}
	ours := func(r *micro.Request) {
		handle(string(r.Data()), r.Respond, func() error { return r.Error("400", "what?", []byte("more")) })
	}
	mustNot(t, edge.AddEndpoint("edge", ours, micro.Metadata(about)))
	mustNot(t, edge.AddGroup("valves").AddGroup("north", micro.QueueGroup("crew")).
		AddEndpoint("set", ours, micro.Subject("edge.*"), micro.Metadata(about)))

	other, err := natsmicro.AddService(nc, natsmicro.Config{
		Name: "valve", Version: "1.2.3", Description: "turns", Metadata: about,
		StatsHandler: func(e *natsmicro.Endpoint) any { return e.Name + " " + e.Subject },
	})
	mustNot(t, err)
	theirs := natsmicro.HandlerFunc(func(r natsmicro.Request) {
		handle(string(r.Data()), func(b []byte) error { return r.Respond(b) },
			func() error { return r.Error("400", "what?", []byte("more")) })
	})
	mustNot(t, other.AddEndpoint("edge", theirs, natsmicro.WithEndpointSubject("other"), natsmicro.WithEndpointMetadata(about)))
	mustNot(t, other.AddGroup("valves").AddGroup("north", natsmicro.WithGroupQueueGroup("crew")).
		AddEndpoint("set", theirs, natsmicro.WithEndpointSubject("other.*"), natsmicro.WithEndpointMetadata(about)))
	edgeFlush(t, conn)
	flush(t, nc)
	return edge, other
}

func mustNot(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMicroServicesOfBothLibrariesLookAlike(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		edge, other := twins(t, s)
		nc := connect(t, s)
		for _, subject := range []string{"edge", "valves.north.edge.7", "other", "valves.north.other.7"} {
			for _, body := range []string{"7", "bad"} {
				answer, err := nc.Request(subject, []byte(body), patience)
				if err != nil {
					t.Fatalf("%s: %v", subject, err)
				}
				if body == "7" && string(answer.Data) != "turned 7" {
					t.Errorf("%s answered %q", subject, answer.Data)
				}
				want := nats.Header{natsmicro.ErrorHeader: {"what?"}, natsmicro.ErrorCodeHeader: {"400"}}
				if body == "bad" && (!reflect.DeepEqual(answer.Header, want) || string(answer.Data) != "more") {
					t.Errorf("%s answered %v %q", subject, answer.Header, answer.Data)
				}
			}
		}
		// A request counts when its handler has returned, which it does after it has answered.
		process.Eventually(t, patience, "all requests are counted", func() bool {
			counted := 0
			for _, each := range edge.Stats().Endpoints {
				counted += int(each.Requests)
			}
			for _, each := range other.Stats().Endpoints {
				counted += int(each.NumRequests)
			}
			return counted == 8
		})
		ids := []string{edge.ID(), other.Info().ID}
		slices.Sort(ids)
		for _, verb := range []natsmicro.Verb{natsmicro.PingVerb, natsmicro.InfoVerb, natsmicro.StatsVerb} {
			for _, name := range []string{"", "valve"} {
				subject, _ := natsmicro.ControlSubject(verb, name, "")
				answers := askAll(t, nc, subject, 2)
				if got := slices.Sorted(maps.Keys(answers)); !slices.Equal(got, ids) {
					t.Fatalf("%s: answered by %v, want %v", subject, got, ids)
				}
				ours := likeness(renamed(t, answers[edge.ID()]))
				if theirs := likeness(answers[other.Info().ID]); !reflect.DeepEqual(ours, theirs) {
					t.Errorf("%s:\n  ours %v\ntheirs %v", subject, ours, theirs)
				}
			}
			alone, _ := natsmicro.ControlSubject(verb, "valve", edge.ID())
			askAll(t, nc, alone, 1)
			if ours := micro.ControlSubject(micro.Verb(verb.String()), "valve", edge.ID()); ours != alone {
				t.Errorf("we ask on %s, they on %s", ours, alone)
			}
		}
	})
}

// renamed calls our endpoints' subjects as the other library's.
func renamed(t *testing.T, answer map[string]any) (out map[string]any) {
	t.Helper()
	text, err := json.Marshal(answer)
	mustNot(t, err)
	text = []byte(strings.NewReplacer(
		`"subject":"edge"`, `"subject":"other"`, `"subject":"valves.north.edge.*"`, `"subject":"valves.north.other.*"`,
		`"edge edge"`, `"edge other"`, `"set valves.north.edge.*"`, `"set valves.north.other.*"`).Replace(string(text)))
	mustNot(t, json.Unmarshal(text, &out))
	return out
}

// What nats.go declares strictly is read back strictly: every field of ours is one of theirs.
func TestMicroAnswersFitTheOtherLibrarysTypes(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		conn := edgeConn(t, s)
		service := edgeService(t, conn, micro.Config{Name: "bare", Version: "0.1.0"})
		mustNot(t, service.AddEndpoint("one", func(r *micro.Request) {}))
		edgeFlush(t, conn)
		nc := connect(t, s)
		for verb, into := range map[string]any{"PING": &natsmicro.Ping{}, "INFO": &natsmicro.Info{}, "STATS": &natsmicro.Stats{}} {
			m, err := nc.Request("$SRV."+verb+".bare", nil, patience)
			if err != nil {
				t.Fatal(err)
			}
			decoder := json.NewDecoder(strings.NewReader(string(m.Data)))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(into); err != nil {
				t.Errorf("%s: %v in %s", verb, err, m.Data)
			}
			if strings.Contains(string(m.Data), "null") {
				t.Errorf("%s has a null, which tools trip over: %s", verb, m.Data)
			}
		}
	})
}

func TestMicroInstancesOfBothLibrariesShareTheWork(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		conn, nc := edgeConn(t, s), connect(t, s)
		edge := edgeService(t, conn, micro.Config{Name: "work", Version: "1.0.0"})
		mustNot(t, edge.AddEndpoint("job", func(r *micro.Request) { r.Respond([]byte("edge")) }))
		mustNot(t, edge.AddEndpoint("everyone", func(r *micro.Request) { r.Respond([]byte("edge")) }, micro.NoQueueGroup()))
		other, err := natsmicro.AddService(nc, natsmicro.Config{Name: "work", Version: "1.0.0"})
		mustNot(t, err)
		reply := natsmicro.HandlerFunc(func(r natsmicro.Request) { r.Respond([]byte("other")) })
		mustNot(t, other.AddEndpoint("job", reply))
		mustNot(t, other.AddEndpoint("everyone", reply, natsmicro.WithEndpointQueueGroupDisabled()))
		edgeFlush(t, conn)
		flush(t, nc)
		askAll(t, nc, "$SRV.PING.work", 2)

		inbox := subscribe(t, nc, nats.NewInbox())
		const jobs = 200
		for range jobs {
			mustNot(t, nc.PublishRequest("job", inbox.Subject, nil))
		}
		mustNot(t, nc.PublishRequest("everyone", inbox.Subject, []byte("all")))
		by := map[string]int{}
		for range jobs + 2 {
			m, err := inbox.NextMsg(patience)
			mustNot(t, err)
			by[string(m.Data)]++
		}
		expectNothing(t, inbox, nc)
		if by["edge"] < 10 || by["other"] < 10 || by["edge"]+by["other"] != jobs+2 {
			t.Errorf("answered by %v", by)
		}
		// A job counts when its handler has returned, which it does after it has answered.
		process.Eventually(t, patience, fmt.Sprintf("the two have counted %d jobs", jobs), func() bool {
			return edge.Stats().Endpoints[0].Requests+other.Stats().Endpoints[0].NumRequests >= jobs
		})
		if got := edge.Stats().Endpoints[0].Requests + other.Stats().Endpoints[0].NumRequests; got != jobs {
			t.Errorf("the two counted %d of %d jobs", got, jobs)
		}
	})
}

func TestMicroFindsAndAsksTheOtherLibrarysServices(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		conn := edgeConn(t, s)
		if found, err := micro.Find(within(t), conn, ""); err != nil || len(found) != 0 {
			t.Fatalf("on an empty bus: %v, %v", found, err)
		}
		edge, other := twins(t, s)
		edgeService(t, conn, micro.Config{Name: "pump", Version: "1.0.0"})
		edgeFlush(t, conn)
		askAll(t, connect(t, s), "$SRV.PING", 3)
		for name, want := range map[string]int{"": 3, "valve": 2, "pump": 1, "nothing": 0} {
			found, err := micro.Find(within(t), conn, name)
			if err != nil || len(found) != want {
				t.Errorf("%q: found %d, want %d, error %v", name, len(found), want, err)
			}
		}
		found, err := micro.Find(within(t), conn, "valve")
		mustNot(t, err)
		for _, info := range found {
			if info.ID == other.Info().ID && (info.Description != "turns" || len(info.Endpoints) != 2 ||
				info.Endpoints[1].Subject != "valves.north.other.*" || info.Endpoints[1].QueueGroup != "crew") {
				t.Errorf("theirs is %+v", info)
			}
			if info.ID == edge.ID() && !reflect.DeepEqual(info, edge.Info()) {
				t.Errorf("ours is\n%+v\n, says itself\n%+v", info, edge.Info())
			}
		}
		answer, err := conn.Request(within(t), "other", []byte("bad"))
		mustNot(t, err)
		var told *micro.Error
		if err := micro.ErrorOf(answer); !errors.As(err, &told) || *told != (micro.Error{Code: "400", Description: "what?"}) {
			t.Errorf("their error is %v", err)
		}
	})
}

func TestMicroServiceOutlivesItsServer(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		back := make(chan bool, 1)
		conn := edgeConn(t, s, client.ReconnectWait(10*time.Millisecond, 100*time.Millisecond),
			client.OnReconnect(func(*client.Conn) { back <- true }))
		service := edgeService(t, conn, micro.Config{Name: "sensor", Version: "1.0.0"})
		mustNot(t, service.AddEndpoint("read", func(r *micro.Request) { r.Respond([]byte("21.5")) }))
		edgeFlush(t, conn)
		s.Kill()
		s.Again()
		receive(t, back, "reconnect")
		edgeFlush(t, conn)
		nc := connect(t, s)
		if m, err := nc.Request("read", nil, patience); err != nil || string(m.Data) != "21.5" {
			t.Errorf("after the server's return: %v, %v", m, err)
		}
		askAll(t, nc, "$SRV.STATS.sensor."+service.ID(), 1)
	})
}

func TestMicroStopFinishesWhatItHas(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		conn := edgeConn(t, s)
		service := edgeService(t, conn, micro.Config{Name: "slow", Version: "1.0.0"})
		began, finish := make(chan bool, 1), make(chan bool)
		mustNot(t, service.AddEndpoint("slow", func(r *micro.Request) {
			select {
			case began <- true:
			default: // it is the first that matters, and what we ask below may come in as well
			}
			<-finish
			r.Respond(r.Data())
		}))
		edgeFlush(t, conn)
		nc := connect(t, s)
		inbox := subscribe(t, nc, nats.NewInbox())
		for _, body := range []string{"1", "2", "3"} {
			mustNot(t, nc.PublishRequest("slow", inbox.Subject, []byte(body)))
		}
		flush(t, nc)
		receive(t, began, "request")
		stopped := make(chan error, 1)
		go func() { stopped <- service.Stop(within(t)) }()
		// New requests find nobody before the old ones are done.
		process.Eventually(t, patience, "no more requests", func() bool {
			_, err := nc.Request("slow", nil, 10*time.Millisecond)
			return errors.Is(err, nats.ErrNoResponders)
		})
		if len(stopped) > 0 {
			t.Fatalf("stopped before the handlers were done: %v", <-stopped)
		}
		close(finish)
		mustNot(t, receive(t, stopped, "end"))
		for _, body := range []string{"1", "2", "3"} {
			expect(t, inbox, inbox.Subject, body)
		}
		if _, err := nc.Request("$SRV.PING.slow", nil, patience); !errors.Is(err, nats.ErrNoResponders) {
			t.Errorf("it is still found: %v", err)
		}
		if err := service.AddEndpoint("late", func(*micro.Request) {}); !errors.Is(err, micro.ErrStopped) {
			t.Errorf("an endpoint after the end: %v", err)
		}
	})
}
