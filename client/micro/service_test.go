package micro

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/edgebus-io/edgebus/client"
)

// start makes a service of one client, and another client that asks.
func start(t *testing.T, config Config, options ...client.Option) (*Service, *client.Conn, *client.Conn) {
	t.Helper()
	b := &bus{t: t}
	conn := b.join(options...)
	service, err := AddService(conn, config)
	if err != nil {
		t.Fatal(err)
	}
	return service, conn, b.join()
}

var plain = Config{Name: "valve", Version: "1.0.0"}

func add(t *testing.T, err error, conn *client.Conn) {
	t.Helper()
	if err == nil {
		err = conn.Flush(within(t))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestConfigsThatMakeNoSenseAreRefused(t *testing.T) {
	conn := (&bus{t: t}).join()
	for _, c := range []struct {
		config Config
		want   error
	}{
		{Config{Version: "1.0.0"}, ErrName},
		{Config{Name: "a.b", Version: "1.0.0"}, ErrName},
		{Config{Name: "a", Version: "1"}, ErrVersion},
	} {
		if _, err := AddService(conn, c.config); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.config, err, c.want)
		}
	}
	service, err := AddService(conn, plain)
	if err != nil {
		t.Fatal(err)
	}
	ok := func(*Request) {}
	for _, c := range []struct {
		err  error
		want error
	}{
		{service.AddEndpoint("a.b", ok), ErrName},
		{service.AddEndpoint("a", nil), ErrHandler},
		{service.AddEndpoint("a", ok, Subject("a..b")), client.ErrSubject},
		{service.AddEndpoint("a", ok, QueueGroup("two words")), client.ErrQueueName},
		{service.AddGroup("a b").AddEndpoint("a", ok), client.ErrSubject},
		{service.AddGroup("g", Subject("s")).AddGroup("h").AddEndpoint("a", ok), ErrGroup},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("got %v, want %v", c.err, c.want)
		}
	}
	if n := len(service.Info().Endpoints); n != 0 {
		t.Errorf("%d endpoints after as many refusals", n)
	}
}

func TestGroupsAndOptionsPlaceEndpoints(t *testing.T) {
	service, conn, asker := start(t, Config{Name: "valve", Version: "1.0.0", QueueGroup: "house"})
	echo := func(r *Request) { r.Respond([]byte(r.Subject())) }
	about := map[string]string{"schema": "{}"}
	add(t, service.AddEndpoint("plain", echo), conn)
	add(t, service.AddEndpoint("named", echo, Subject("x.*"), QueueGroup("own"), Metadata(about)), conn)
	add(t, service.AddEndpoint("alone", echo, NoQueueGroup()), conn)
	crew := service.AddGroup("north", QueueGroup("crew"), Metadata(about))
	add(t, crew.AddEndpoint("set", echo), conn)
	add(t, crew.AddGroup("deep").AddGroup("").AddEndpoint("set", echo), conn)
	add(t, crew.AddGroup("all", NoQueueGroup()).AddEndpoint("set", echo), conn)
	about["schema"] = "changed later"
	want := []EndpointInfo{
		{"plain", "plain", "house", map[string]string{}},
		{"named", "x.*", "own", map[string]string{"schema": "{}"}},
		{"alone", "alone", "", map[string]string{}},
		{"set", "north.set", "crew", map[string]string{"schema": "{}"}},
		{"set", "north.deep.set", "crew", map[string]string{"schema": "{}"}},
		{"set", "north.all.set", "", map[string]string{"schema": "{}"}},
	}
	var info Info
	if err := json.Unmarshal(ask(t, asker, "$SRV.INFO.valve", "").Data, &info); err != nil {
		t.Fatal(err)
	}
	same := func(a, b EndpointInfo) bool {
		return a.Name == b.Name && a.Subject == b.Subject && a.QueueGroup == b.QueueGroup && a.Metadata != nil &&
			len(a.Metadata) == len(b.Metadata) && a.Metadata["schema"] == b.Metadata["schema"]
	}
	if !slices.EqualFunc(info.Endpoints, want, same) {
		t.Errorf("got  %+v\nwant %+v", info.Endpoints, want)
	}
	for _, each := range want {
		to := strings.Replace(each.Subject, "*", "7", 1)
		if got := string(ask(t, asker, to, "").Data); got != to {
			t.Errorf("%s answered %q", to, got)
		}
	}
}

func TestStatsCountRequestsErrorsAndTime(t *testing.T) {
	config := plain
	config.Data = func(endpoint, subject string) any {
		if endpoint == "odd" {
			return math.Inf(1) // JSON has none
		}
		return map[string]string{"at": subject}
	}
	service, conn, asker := start(t, config)
	add(t, service.AddEndpoint("set", func(r *Request) {
		switch string(r.Data()) {
		case "bad":
			if err := r.Error("", "no code", nil); !errors.Is(err, ErrArgument) {
				t.Errorf("an error without a code: %v", err)
			}
			r.Error("400", "what?", nil)
		case "json":
			r.RespondJSON(map[string]int{"open": 7})
		case "not json":
			if r.RespondJSON(math.NaN()) != nil {
				r.Respond(nil)
			}
		}
	}), conn)
	add(t, service.AddEndpoint("odd", func(*Request) {}), conn)
	if got := string(ask(t, asker, "set", "json").Data); got != `{"open":7}` {
		t.Errorf("JSON came as %s", got)
	}
	ask(t, asker, "set", "not json")
	var told *Error
	if err := ErrorOf(ask(t, asker, "set", "bad")); !errors.As(err, &told) || told.Code != "400" || told.Description != "what?" {
		t.Errorf("an error came as %v", err)
	}
	if err := ErrorOf(&client.Msg{}); err != nil {
		t.Errorf("no error is %v", err)
	}
	read := func() (stats Stats) {
		if err := json.Unmarshal(ask(t, asker, "$SRV.STATS.valve."+service.ID(), "").Data, &stats); err != nil {
			t.Fatal(err)
		}
		return stats
	}
	// The answer is out before the handler returns, so the last request may not be counted yet.
	var stats Stats
	for stats = read(); stats.Endpoints[0].Requests < 3; stats = read() {
	}
	set, odd := stats.Endpoints[0], stats.Endpoints[1]
	if set.Errors != 2 || set.LastError != "400:what?" || set.ProcessingTime <= 0 || set.AverageProcessingTime != set.ProcessingTime/3 {
		t.Errorf("counted %+v", set)
	}
	if string(set.Data) != `{"at":"set"}` || !strings.Contains(string(odd.Data), "not shown: ") {
		t.Errorf("data are %s and %s", set.Data, odd.Data)
	}
	service.Reset()
	again := read()
	if got := again.Endpoints[0]; got.Requests != 0 || got.Errors != 0 || got.LastError != "" || !again.Started.After(stats.Started) {
		t.Errorf("after Reset: %+v, since %v", got, again.Started)
	}
}

// What an error says may have several lines, as those that are joined have. A header has one.
func TestErrorsOfSeveralLinesAreAnswered(t *testing.T) {
	service, conn, asker := start(t, plain)
	text := errors.Join(errors.New("first"), errors.New("second")).Error() + "\r\nthird"
	add(t, service.AddEndpoint("set", func(r *Request) {
		if err := r.Error("500", text, nil); err != nil {
			t.Error(err)
		}
	}), conn)
	answer, err := asker.Request(within(t), "set", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Header.Get(ErrorHeader); got != "first second third" {
		t.Errorf("the answer says %q", got)
	}
}

func TestRequestsDroppedBySlowHandlersAreErrors(t *testing.T) {
	service, conn, asker := start(t, plain, client.SubscriptionQueue(1, 1<<20))
	began, finish := make(chan bool), make(chan bool)
	add(t, service.AddEndpoint("slow", func(r *Request) { began <- true; <-finish }), conn)
	asker.Publish("slow", nil)
	<-began
	for range 4 { // one waits, three are lost
		asker.Publish("slow", nil)
	}
	var stats Stats
	for len(stats.Endpoints) == 0 || stats.Endpoints[0].Errors < 3 {
		if err := json.Unmarshal(ask(t, asker, "$SRV.STATS", "").Data, &stats); err != nil {
			t.Fatal(err)
		}
	}
	if got := stats.Endpoints[0]; got.Errors != 3 || got.LastError != client.ErrSlowConsumer.Error() {
		t.Errorf("counted %+v", got)
	}
	service.Reset()
	if got := service.Stats().Endpoints[0]; got.Errors != 0 {
		t.Errorf("after Reset: %+v", got)
	}
	close(finish)
	<-began
}

func TestAnswersMayComeFromAnywhere(t *testing.T) {
	service, conn, asker := start(t, plain)
	later := make(chan *Request)
	add(t, service.AddEndpoint("slow", func(r *Request) { go func() { later <- r }() }), conn)
	answers := make(chan string, 2)
	for _, body := range []string{"one", "two"} {
		go func() { answers <- string(ask(t, asker, "slow", body).Data) }()
	}
	first, second := <-later, <-later // side by side, though there is one handler
	second.RespondMsg(&client.Msg{Header: client.Header{"Late": {"yes"}}, Data: second.Data()})
	first.Respond(first.Data())
	got := []string{<-answers, <-answers}
	slices.Sort(got)
	if !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("answered %v", got)
	}
	asker.Publish("slow", nil)
	if err := (<-later).Respond(nil); !errors.Is(err, client.ErrNoReply) {
		t.Errorf("an answer to nobody: %v", err)
	}
}

func TestServicesEndWithTheirConnection(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *client.Conn){
		"closed":  func(_ *testing.T, conn *client.Conn) { conn.Close() },
		"drained": func(t *testing.T, conn *client.Conn) { conn.Drain(within(t)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service, conn, asker := start(t, plain)
				add(t, service.AddEndpoint("set", func(r *Request) {}), conn)
				if service.Stopped() {
					t.Error("stopped before its end")
				}
				end(t, conn)
				<-service.Done()
				if !service.Stopped() || service.Stop(within(t)) != nil {
					t.Error("not stopped, or not for good")
				}
				// The bus learns of the end in its own time; a question before is lost with the line.
				var err error
				for all := within(t); all.Err() == nil && !errors.Is(err, client.ErrNoResponders); {
					one, cancel := context.WithTimeout(all, 20*time.Millisecond)
					_, err = asker.Request(one, "$SRV.PING.valve", nil)
					cancel()
				}
				if !errors.Is(err, client.ErrNoResponders) {
					t.Errorf("it is still asked: %v", err)
				}
			})
		})
	}
}

func TestStopEndsWithItsContext(t *testing.T) {
	service, conn, asker := start(t, plain)
	began, finish := make(chan bool), make(chan bool)
	add(t, service.AddEndpoint("stuck", func(r *Request) { began <- true; <-finish }), conn)
	asker.Publish("stuck", nil)
	<-began
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := service.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop under a handler that is stuck: %v", err)
	}
	if err := service.AddEndpoint("late", func(*Request) {}); !errors.Is(err, ErrStopped) {
		t.Errorf("an endpoint after the end: %v", err)
	}
	close(finish)
	if err := service.Stop(within(t)); err != nil {
		t.Errorf("Stop once it is not stuck any more: %v", err)
	}
}

// Find returns when it has been quiet for a while, which is of the bubble: a busy machine is quiet at any time.
func TestFindSeesAllAndPassesOverNonsense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bus{t: t}
		conn := b.join()
		if found, err := Find(within(t), conn, ""); err != nil || len(found) != 0 {
			t.Errorf("on an empty bus: %v, %v", found, err)
		}
		if _, err := Find(within(t), conn, "a.b"); !errors.Is(err, ErrName) {
			t.Errorf("a name of two tokens: %v", err)
		}
		var ids []string
		for _, name := range []string{"valve", "valve", "pump"} {
			other := b.join()
			service, err := AddService(other, Config{Name: name, Version: "1.0.0"})
			add(t, err, other)
			ids = append(ids, service.ID())
		}
		_, err := conn.Subscribe("$SRV.INFO", func(m *client.Msg) { m.Respond([]byte("nonsense")) })
		add(t, err, conn)
		for name, want := range map[string][]string{"": ids, "valve": ids[:2], "pump": ids[2:], "none": nil} {
			found, err := Find(within(t), conn, name)
			var got []string
			for _, each := range found {
				got = append(got, each.ID)
			}
			slices.Sort(got)
			if want = slices.Sorted(slices.Values(want)); err != nil || !slices.Equal(got, want) {
				t.Errorf("%q: found %v, want %v, error %v", name, got, want, err)
			}
		}
	})
}

func TestTablesAreBounded(t *testing.T) {
	service, conn, _ := start(t, plain)
	service.mu.Lock()
	service.endpoints = make([]*endpoint, MaxEndpoints)
	service.mu.Unlock()
	if err := service.AddEndpoint("more", func(*Request) {}); !errors.Is(err, ErrEndpoints) {
		t.Errorf("endpoint %d: %v", MaxEndpoints+1, err)
	}
	service.mu.Lock()
	service.endpoints = nil
	service.mu.Unlock()
	conn.Close()
	<-service.Done()
}
