//go:build linux

package peers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/edgebus-io/edgebus/tests/process"
)

func TestMaxPayloadIsKnownToTheClient(t *testing.T) {
	onEach(t, "max_payload: 1024", func(t *testing.T, s *process.Server) {
		nc := connect(t, s)
		if nc.MaxPayload() != 1024 {
			t.Fatalf("max payload %d", nc.MaxPayload())
		}
		sub := subscribe(t, nc, "x")
		expectError(t, nc.Publish("x", make([]byte, 1025)), nats.ErrMaxPayload)
		full := strings.Repeat("x", 1024)
		publish(t, nc, "x", full)
		expect(t, sub, "x", full)
	})
}

func TestMaxConnections(t *testing.T) {
	onEach(t, "max_connections: 2", func(t *testing.T, s *process.Server) {
		connect(t, s)
		second := connect(t, s)
		// The server may have closed before the client has said its CONNECT, so the client
		// may report a broken line instead of the reason.
		if third, err := nats.Connect(s.URL()); err == nil {
			third.Close()
			t.Fatal("a third connection was accepted")
		}
		second.Close()
		process.Eventually(t, patience, "there is room again", func() bool {
			nc, err := nats.Connect(s.URL())
			if err == nil {
				nc.Close()
			}
			return err == nil
		})
	})
}

func TestMaxSubscriptions(t *testing.T) {
	onEach(t, "max_subscriptions: 3", func(t *testing.T, s *process.Server) {
		failed := make(chan error, 1)
		nc := connect(t, s, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { failed <- err }))
		var last *nats.Subscription
		for range 3 {
			last = subscribe(t, nc, "x")
		}
		subscribe(t, nc, "y")
		if err := receive(t, failed, "error"); !strings.Contains(err.Error(), "maximum subscriptions exceeded") {
			t.Fatalf("got %v", err)
		}
		publish(t, nc, "x", "1")
		expect(t, last, "x", "1")
	})
}

func TestPassword(t *testing.T) {
	onEach(t, "authorization { user: u, password: p }", func(t *testing.T, s *process.Server) {
		nc := connect(t, s, nats.UserInfo("u", "p"))
		sub := subscribe(t, nc, "x")
		publish(t, nc, "x", "1")
		expect(t, sub, "x", "1")
		refused(t, s, nats.UserInfo("u", "q"))
		refused(t, s, nats.UserInfo("v", "p"))
		refused(t, s)
		refused(t, s, nats.Token("p"))
	})
}

func TestToken(t *testing.T) {
	onEach(t, "authorization { token: t0ken }", func(t *testing.T, s *process.Server) {
		flush(t, connect(t, s, nats.Token("t0ken")))
		refused(t, s, nats.Token("other"))
		refused(t, s)
		nc, err := nats.Connect(strings.Replace(s.URL(), "nats://", "nats://t0ken@", 1))
		if err != nil {
			t.Fatal(err)
		}
		nc.Close()
	})
}

func TestBcryptPassword(t *testing.T) {
	const hash = "$2a$04$BMkw5ykfBefoTxs/yCC2fOZLQr6tQmeQgvu6SnM57JVIGyl0eVFXe" // of "secret"
	onEach(t, `authorization { users: [{user: a, password: "`+hash+`"}] }`, func(t *testing.T, s *process.Server) {
		for range 3 {
			flush(t, connect(t, s, nats.UserInfo("a", "secret")))
			refused(t, s, nats.UserInfo("a", "Secret"))
			refused(t, s, nats.UserInfo("a", hash))
		}
	})
}

func refused(t *testing.T, s *process.Server, options ...nats.Option) {
	t.Helper()
	nc, err := nats.Connect(s.URL(), append([]nats.Option{nats.Timeout(patience)}, options...)...)
	if err == nil {
		nc.Close()
	}
	expectError(t, err, nats.ErrAuthorization)
}

const permissionsConfig = `
authorization { users: [
	{user: admin, password: p}
	{user: sensor, password: p, permissions: {publish: "data.>", subscribe: ["cmd.sensor", "_INBOX.>"]}}
	{user: worker, password: p, permissions: {publish: {deny: "cmd.>"}, subscribe: {allow: ["jobs team", "data.*"], deny: "data.secret"}}}
	{user: service, password: p, permissions: {subscribe: "svc", allow_responses: true}}
] }`

func TestPermissionsOfUsers(t *testing.T) {
	onEach(t, permissionsConfig, func(t *testing.T, s *process.Server) {
		admin := connect(t, s, nats.UserInfo("admin", "p"))
		sensor, sensorErrors := connectUser(t, s, "sensor")
		worker, workerErrors := connectUser(t, s, "worker")

		all := subscribe(t, admin, "data.>")
		publish(t, sensor, "data.temp", "21")
		expect(t, all, "data.temp", "21")
		publish(t, sensor, "cmd.sensor", "no")
		violation(t, sensorErrors, `publish to "cmd.sensor"`)
		sub := subscribe(t, sensor, "data.temp")
		violation(t, sensorErrors, `subscription to "data.temp"`)
		publish(t, admin, "data.temp", "22")
		expect(t, all, "data.temp", "22")
		expectNothing(t, sub, admin, sensor)
		commands := subscribe(t, sensor, "cmd.sensor")
		publish(t, admin, "cmd.sensor", "go")
		expect(t, commands, "cmd.sensor", "go")

		data := subscribe(t, worker, "data.*")
		publish(t, admin, "data.secret", "s")
		publish(t, admin, "data.open", "o")
		expect(t, data, "data.open", "o")
		if _, err := worker.QueueSubscribeSync("jobs", "rivals"); err != nil {
			t.Fatal(err)
		}
		flush(t, worker)
		violation(t, workerErrors, `subscription to "jobs" using queue "rivals"`)
		jobs, err := worker.QueueSubscribeSync("jobs", "team")
		if err != nil {
			t.Fatal(err)
		}
		flush(t, worker)
		publish(t, admin, "jobs", "1")
		expect(t, jobs, "jobs", "1")
	})
}

func TestAllowedResponses(t *testing.T) {
	onEach(t, permissionsConfig, func(t *testing.T, s *process.Server) {
		admin := connect(t, s, nats.UserInfo("admin", "p"))
		service, failed := connectUser(t, s, "service")
		if _, err := service.Subscribe("svc", func(m *nats.Msg) {
			m.Respond([]byte("first"))
			m.Respond([]byte("second"))
		}); err != nil {
			t.Fatal(err)
		}
		flush(t, service)
		m, err := admin.Request("svc", nil, patience)
		if err != nil || string(m.Data) != "first" {
			t.Fatalf("got %v, %v", m, err)
		}
		violation(t, failed, `publish to "_inbox.`)
	})
}

// connectUser also gives what its error handler is told.
func connectUser(t *testing.T, s *process.Server, user string) (*nats.Conn, <-chan error) {
	t.Helper()
	failed := make(chan error, 16)
	handler := func(_ *nats.Conn, _ *nats.Subscription, err error) { failed <- err }
	return connect(t, s, nats.UserInfo(user, "p"), nats.ErrorHandler(handler)), failed
}

func violation(t *testing.T, failed <-chan error, what string) {
	t.Helper()
	err := receive(t, failed, "permissions violation")
	if !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(strings.ToLower(err.Error()), what) {
		t.Fatalf("got %v, want a permissions violation with %s", err, what)
	}
}

func TestServerFindsDeadClients(t *testing.T) {
	onEach(t, "ping_interval: \"1s\"\nping_max: 2", func(t *testing.T, s *process.Server) {
		keeper := &gatekeeper{}
		gone := make(chan error, 1)
		connect(t, s, nats.SetCustomDialer(keeper), nats.NoReconnect(), nats.PingInterval(time.Hour),
			nats.ClosedHandler(func(nc *nats.Conn) { gone <- nc.LastError() }))
		t.Cleanup(func() { keeper.gate.set(false) })
		keeper.gate.set(true)
		process.Eventually(t, patience, "the server has closed", func() bool { return keeper.gate.ended(t) })
		keeper.gate.set(false)
		expectError(t, receive(t, gone, "end of the connection"), nats.ErrStaleConnection)
	})
}
