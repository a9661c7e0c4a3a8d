//go:build linux

package peers

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/client"
	"github.com/edgebus-io/edgebus/tests/process"
)

// sdk connects with our own SDK, which is judged here beside nats.go and against both servers.
func sdk(t *testing.T, urls string, options ...client.Option) *client.Conn {
	t.Helper()
	conn, err := client.Connect(sdkSoon(t), urls, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		receive(t, conn.Done(), "end of the SDK's goroutines")
	})
	return conn
}

// sdkSoon is a context that ends with the test's patience.
func sdkSoon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func sdkFlush(t *testing.T, conn *client.Conn) {
	t.Helper()
	if err := conn.Flush(sdkSoon(t)); err != nil {
		t.Fatal(err)
	}
}

func TestSDKAndOthersHearEachOther(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		ours, theirs := sdk(t, s.URL()), connect(t, s)
		heard := make(chan *client.Msg, 8)
		must(ours.Subscribe("to.ours.>", func(m *client.Msg) { heard <- m }))
		queued := make(chan *client.Msg, 8)
		must(ours.QueueSubscribe("group", "q", func(m *client.Msg) { queued <- m }))
		must(ours.QueueSubscribe("group", "q", func(m *client.Msg) { queued <- m }))
		channel := make(chan *client.Msg, 8)
		must(ours.SubscribeChan("to.ours.*", "", channel))
		read := must(ours.SubscribeSync("to.ours.*", ""))
		sdkFlush(t, ours)
		sub := subscribe(t, theirs, "to.theirs")

		m := nats.NewMsg("to.ours.x")
		m.Data = []byte("1")
		m.Header.Set("Unit", "C")
		if err := theirs.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		publish(t, theirs, "group", "one")
		got := receive(t, heard, "message")
		if got.Subject != "to.ours.x" || string(got.Data) != "1" || got.Header.Get("Unit") != "C" {
			t.Errorf("got %+v", got)
		}
		if got := receive(t, channel, "message by channel"); string(got.Data) != "1" {
			t.Errorf("by channel %+v", got)
		}
		for got, err := range read.Messages(sdkSoon(t)) {
			if err != nil || string(got.Data) != "1" {
				t.Errorf("by iterator %+v, %v", got, err)
			}
			break
		}
		receive(t, queued, "message of the group")
		if err := ours.PublishMsg(&client.Msg{Subject: "to.theirs", Header: client.Header{"A": {"b"}}, Data: []byte("2")}); err != nil {
			t.Fatal(err)
		}
		if back := expect(t, sub, "to.theirs", "2"); back.Header.Get("A") != "b" {
			t.Errorf("headers %v", back.Header)
		}
		sdkFlush(t, ours)
		if len(queued) != 0 {
			t.Error("two of a group had one message")
		}
	})
}

func TestSDKAsksAndAnswers(t *testing.T) {
	onEach(t, "", func(t *testing.T, s *process.Server) {
		ours, theirs := sdk(t, s.URL()), connect(t, s)
		must(ours.Subscribe("double", func(m *client.Msg) { m.Respond(append(m.Data, m.Data...)) }))
		sdkFlush(t, ours)
		for i := range 3 {
			must(theirs.Subscribe("who", func(m *nats.Msg) { m.Respond([]byte(strconv.Itoa(i))) }))
		}
		flush(t, theirs)
		if m := must(theirs.Request("double", []byte("ab"), patience)); string(m.Data) != "abab" {
			t.Errorf("answered %q", m.Data)
		}
		if m := must(ours.Request(sdkSoon(t), "double", []byte("c"))); string(m.Data) != "cc" {
			t.Errorf("answered %q", m.Data)
		}
		if _, err := ours.Request(sdkSoon(t), "nobody", nil); !errors.Is(err, client.ErrNoResponders) {
			t.Errorf("nobody: %v", err)
		}
		seen := map[string]bool{}
		for m, err := range ours.RequestMany(sdkSoon(t), &client.Msg{Subject: "who"}, client.Replies{Max: 3}) {
			if err != nil {
				t.Fatal(err)
			}
			seen[string(m.Data)] = true
		}
		if len(seen) != 3 {
			t.Errorf("answers %v", seen)
		}
		n := 0
		for _, err := range ours.RequestMany(sdkSoon(t), &client.Msg{Subject: "who"}, client.Replies{Gap: 3 * time.Second}) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 3 {
			t.Errorf("%d answers until a gap", n)
		}
		for _, err := range ours.RequestMany(sdkSoon(t), &client.Msg{Subject: "nobody"}, client.Replies{}) {
			if !errors.Is(err, client.ErrNoResponders) {
				t.Errorf("nobody: %v", err)
			}
		}
	})
}

func TestSDKPublishSyncTellsOfRefusal(t *testing.T) {
	config := `authorization { users: [ {user: u, password: p, permissions: {publish: "ok.>"}} ] }`
	onEach(t, config, func(t *testing.T, s *process.Server) {
		for _, outbox := range []bool{false, true} {
			options := []client.Option{client.UserPassword("u", "p")}
			if outbox {
				options = append(options, client.WithOutbox(client.OutboxOptions{}))
			}
			conn := sdk(t, s.URL(), options...)
			if err := conn.PublishSync(sdkSoon(t), "ok.a", nil); err != nil {
				t.Errorf("outbox %t: allowed: %v", outbox, err)
			}
			if err := conn.PublishSync(sdkSoon(t), "secret", nil); !errors.Is(err, client.ErrPermission) {
				t.Errorf("outbox %t: not allowed: %v", outbox, err)
			}
			if err := conn.PublishSync(sdkSoon(t), "ok.b", nil); err != nil {
				t.Errorf("outbox %t: allowed, after a refusal: %v", outbox, err)
			}
			want := client.OutboxStats{Sent: 3, Confirmed: 2, Dropped: client.Dropped{Refused: 1}}
			if got := conn.OutboxStats(); outbox && got != want {
				t.Errorf("accounts %+v", got)
			}
		}
	})
}

func TestSDKLeavesALameDuckBeforeItIsCut(t *testing.T) {
	config := "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"10s\""
	onEach(t, config, func(t *testing.T, s *process.Server) {
		other := process.Start(t, process.Options{Kind: s.Kind})
		why := make(chan error, 1)
		back := make(chan struct{}, 1)
		conn := sdk(t, s.URL()+","+other.URL(), client.NoRandomize(),
			client.OnDisconnect(func(_ *client.Conn, err error) { why <- err }),
			client.OnReconnect(func(*client.Conn) { back <- struct{}{} }))
		got := make(chan string, 1000)
		must(conn.Subscribe("n.*", func(m *client.Msg) { got <- m.Subject }))
		sdkFlush(t, conn)
		s.Signal(signalLameDuck)
		sent := 0
		for moved := false; !moved; sent++ {
			if err := conn.PublishSync(sdkSoon(t), fmt.Sprintf("n.%d", sent), nil); err != nil {
				t.Fatalf("%d: %v", sent, err)
			}
			select {
			case <-back:
				moved = true
			default:
			}
			time.Sleep(time.Millisecond)
		}
		if err := receive(t, why, "reason"); !errors.Is(err, client.ErrLameDuck) {
			t.Errorf("left for %v", err)
		}
		if conn.Server() != other.Addr() {
			t.Errorf("is at %s", conn.Server())
		}
		for i := range sent {
			if name := receive(t, got, "message"); name != fmt.Sprintf("n.%d", i) {
				t.Fatalf("%s instead of %d: lost on the way over", name, i)
			}
		}
	})
}
