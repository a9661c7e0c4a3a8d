// Package client is the Go SDK of edgebus: connect, publish, subscribe, request, and survive
// a broken line. It speaks the NATS client protocol, so it works with nats-server as well.
//
//	conn, err := client.Connect(ctx, "nats://127.0.0.1:4222", client.Name("boiler"))
//	sub, err := conn.Subscribe("sensors.>", func(m *client.Msg) { ... })
//	err = conn.Publish("sensors.boiler.temp", []byte("71.5"))
//	answer, err := conn.Request(ctx, "boiler.setpoint", nil)
//	err = conn.Drain(ctx)
//
// # What is promised
//
// Delivery is at most once. A publish returns as soon as the message is in the connection's
// buffer; Flush tells that the server has it, PublishSync that it has the one message. While the
// line is down publishes are kept, up to ReconnectBuffer, and sent when it is back; what was on its
// way when the line broke is lost.
//
// With an outbox (WithOutbox) delivery to the server is at least once: a message is kept until the
// server has processed it. Those that are given up for the outbox's bounds are counted by reason, so
// that sent = confirmed + queued + dropped at any time (Conn.OutboxStats).
//
// Every queue is bounded. A subscription whose callback is too slow loses its newest messages, or
// its oldest (WhenFull), counts them (Subscription.Dropped) and says so once through OnError.
//
// # Goroutines
//
// A Conn owns two: one dials, reads and reconnects, the other writes. An outbox has one more. A subscription with a
// callback owns one more, so a slow callback holds up nobody else; callbacks of one
// subscription never overlap. One calls the On... functions, if any is set. All end with Close;
// Done is closed when the last of them has.
//
// All methods of Conn and Subscription may be called from any goroutine, callbacks included.
//
// Lock order: requests.opening, then Conn.mu, then Conn.subsMu, then one Subscription's own, or
// outbox.mu; requests.mu and events.mu are held alone. None is held while user code runs or while a
// socket is read or written; a store that the caller gave an outbox runs under outbox.mu.
package client
