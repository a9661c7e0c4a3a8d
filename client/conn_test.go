package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestConnectSaysWhoItIs(t *testing.T) {
	cases := []struct {
		name string
		url  string
		opts []Option
		want map[string]any
	}{
		{"nothing", "one", nil, map[string]any{"verbose": false, "echo": true, "headers": true, "no_responders": true, "protocol": 1.0, "lang": "go", "user": nil}},
		{"password", "one", []Option{UserPassword("ann", "x")}, map[string]any{"user": "ann", "pass": "x", "auth_token": nil}},
		{"token", "one", []Option{Token("secret")}, map[string]any{"auth_token": "secret", "user": nil}},
		{"address wins", "nats://bob:y@one", []Option{UserPassword("ann", "x")}, map[string]any{"user": "bob", "pass": "y"}},
		{"token in address", "nats://secret@one", nil, map[string]any{"auth_token": "secret", "user": nil}},
		{"name and no echo", "one", []Option{Name("boiler"), NoEcho()}, map[string]any{"name": "boiler", "echo": false}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				said := make(chan string, 1)
				go func() { said <- (<-n.peers).hello(plainInfo) }()
				conn, err := Connect(t.Context(), c.url, append(c.opts, Dialer(n.dial))...)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				var got map[string]any
				if err := json.Unmarshal([]byte(<-said), &got); err != nil {
					t.Fatal(err)
				}
				for key, want := range c.want {
					if got[key] != want {
						t.Errorf("%s is %v, want %v", key, got[key], want)
					}
				}
				if conn.ServerName() != "one" || conn.MaxPayload() != 1024 || conn.ClientID() != 7 || conn.Server() != "one:4222" {
					t.Errorf("INFO was not taken over: %q %d %d %q", conn.ServerName(), conn.MaxPayload(), conn.ClientID(), conn.Server())
				}
			})
		})
	}
}

func TestConnectFailsWithTheReason(t *testing.T) {
	cases := []struct {
		name string
		says string // instead of INFO, or after CONNECT when it begins with INFO
		want error
	}{
		{"not NATS", "SSH-2.0-OpenSSH\r\n", ErrHandshake},
		{"bad INFO", "INFO {\r\n", ErrHandshake},
		{"TLS", `INFO {"tls_required":true}` + "\r\n", ErrTLSMissing},
		{"refused", "INFO {}\r\n-ERR 'Authorization Violation'\r\n", ErrAuthorization},
		{"expired", "INFO {}\r\n-ERR 'User Authentication Expired'\r\n", ErrAuthorization},
		{"full", "INFO {}\r\n-ERR 'maximum connections exceeded'\r\n", &ServerError{"maximum connections exceeded"}},
		{"silent", "", context.DeadlineExceeded},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newNetwork(t)
				go func() {
					p := <-n.peers
					go p.lines.WriteTo(discard{}) // a pipe holds nothing: read all that comes
					if c.says != "" {
						p.send(c.says)
					}
				}()
				_, err := Connect(t.Context(), "one", Dialer(n.dial))
				var said *ServerError
				if want, ok := c.want.(*ServerError); ok && errors.As(err, &said) && *said == *want {
					return
				}
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				if !strings.Contains(err.Error(), "one:4222") {
					t.Errorf("%v does not name the server", err)
				}
			})
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestFirstConnectRetriesUntilTheServerIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		n.set("one:4222", true)
		time.AfterFunc(time.Minute, func() { n.set("one:4222", false) })
		go func() { (<-n.peers).hello(plainInfo) }()
		failures := 0
		conn, err := Connect(t.Context(), "one", Dialer(n.dial), RetryFirstConnect(), ReconnectWait(time.Second, 8*time.Second),
			OnError(func(_ *Conn, _ *Subscription, err error) { failures++ }))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
		if attempts := len(n.dialled()); failures != attempts-1 {
			t.Errorf("%d attempts, and %d failures are told", attempts, failures)
		}
		// 1, 2, 4, 8, 8, ... seconds, each less up to a half.
		if n := len(n.dialled()); n < 9 || n > 20 {
			t.Errorf("%d attempts in a minute", n)
		}
	})
}

func TestAddresses(t *testing.T) {
	cases := []struct {
		text, address, user, password, token string
		ok                                   bool
	}{
		{"localhost", "localhost:4222", "", "", "", true},
		{"localhost:1", "localhost:1", "", "", "", true},
		{"nats://h", "h:4222", "", "", "", true},
		{"tcp://h:5", "h:5", "", "", "", true},
		{"nats://u:p@h:5", "h:5", "u", "p", "", true},
		{"nats://t@h", "h:4222", "", "", "t", true},
		{"nats://[::1]:5", "[::1]:5", "", "", "", true},
		{"[::1]", "[::1]:4222", "", "", "", true},
		{"tls://h", "h:4222", "", "", "", true},
		{"http://h", "", "", "", "", false},
		{"nats://", "", "", "", "", false},
		{"nats://h:port", "", "", "", "", false},
		{"nats://u:se\x7fcret@h", "", "", "", "", false},
	}
	for _, c := range cases {
		s, err := parseServer(c.text)
		if c.ok != (err == nil) {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if err != nil {
			if !errors.Is(err, ErrAddress) || strings.Contains(err.Error(), "cret") {
				t.Errorf("%q: unfit error %v", c.text, err)
			}
			continue
		}
		host, _, _ := net.SplitHostPort(c.address)
		want := server{address: c.address, user: c.user, password: c.password, token: c.token, tlsName: host, tls: strings.HasPrefix(c.text, "tls:")}
		if *s != want {
			t.Errorf("%q: got %+v, want %+v", c.text, *s, want)
		}
	}
	if _, err := parseServers(" , ", false); !errors.Is(err, ErrNoServers) {
		t.Errorf("empty list: %v", err)
	}
	if p, err := parseServers("a, b:1 ,c", false); err != nil || len(p.list) != 3 || p.list[1].address != "b:1" {
		t.Errorf("list: %v %v", p, err)
	}
}

func TestStaleServerIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		why := make(chan error, 1)
		conn, p := connect(t, n, Ping(time.Minute, 2), OnDisconnect(func(_ *Conn, err error) { why <- err }))
		defer conn.Close()
		began := time.Now()
		// Data of the handshake counts for the first minute; then two PINGs stay alone.
		p.expect("PING", "PING", "(EOF)")
		if err := <-why; !errors.Is(err, ErrStale) {
			t.Errorf("reason %v", err)
		}
		if after := time.Since(began); after != 4*time.Minute {
			t.Errorf("left after %v", after)
		}
		n.next(plainInfo)
	})
}

func TestAnsweredPingsKeepTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n, Ping(time.Minute, 1))
		defer conn.Close()
		for range 5 {
			p.expect("PING")
			p.send("PONG\r\n")
		}
		p.send("PING\r\n")
		p.expect("PONG")
		if conn.Status() != Connected {
			t.Error(conn.Status())
		}
	})
}

func TestComplaintsAboutOneOperationDoNotEndTheLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type told struct {
			sub *Subscription
			err error
		}
		n := newNetwork(t)
		all := make(chan told, 9)
		conn, p := connect(t, n, OnError(func(_ *Conn, s *Subscription, err error) { all <- told{s, err} }))
		defer conn.Close()
		sub := must(conn.SubscribeSync("secret.>", "g"))
		p.expect("SUB secret.> g 1")
		p.send("-ERR 'Permissions Violation for Subscription to \"secret.>\" using queue \"g\"'\r\n")
		if got := <-all; got.sub != sub || !errors.Is(got.err, ErrPermission) {
			t.Errorf("got %v", got)
		}
		p.send("-ERR 'Permissions Violation for Publish to \"x\"'\r\n-ERR 'maximum subscriptions exceeded'\r\n-ERR 'Invalid Subject'\r\n")
		for range 3 {
			if got := <-all; got.sub != nil || got.err == nil {
				t.Errorf("got %v", got)
			}
		}
		if conn.Status() != Connected {
			t.Error(conn.Status())
		}
	})
}

func TestLastWordsAreTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		closed := make(chan struct{})
		conn, p := connect(t, n, NoReconnect(), OnClose(func(*Conn) { close(closed) }))
		p.send("-ERR 'Maximum Payload Violation'\r\n")
		p.conn.Close()
		<-closed
		if err := conn.LastError(); !errors.Is(err, ErrMaxPayload) {
			t.Errorf("reason %v", err)
		}
		if err := conn.Publish("a", nil); !errors.Is(err, ErrClosed) {
			t.Errorf("publish after the end: %v", err)
		}
		<-conn.Done()
	})
}

// Over real sockets, where closing happens under reads and writes of the system.
func TestCloseLeavesNothingBehind(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var served sync.WaitGroup
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			served.Go(func() { answerPings(c) })
		}
	}()
	before := descriptors()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for i := range 20 {
		options := []Option{OnError(func(*Conn, *Subscription, error) {})}
		if i%3 == 0 {
			options = append(options, WithOutbox(OutboxOptions{}))
		}
		conn, err := Connect(ctx, listener.Addr().String(), options...)
		if err != nil {
			t.Fatal(err)
		}
		for j := range 5 {
			must(conn.Subscribe(fmt.Sprintf("a.%d", j), func(*Msg) {}))
		}
		conn.Publish("p", nil)
		conn.StatusChanges(ctx)
		read := must(conn.SubscribeSync("b", ""))
		waited := make(chan error, 1)
		go func() { _, err := read.NextMsg(ctx); waited <- err }()
		if i%2 == 0 {
			if err := conn.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		conn.Close()
		conn.Close()
		if err := <-waited; !errors.Is(err, ErrClosed) {
			t.Errorf("NextMsg at Close: %v", err)
		}
		select {
		case <-conn.Done():
		case <-ctx.Done():
			t.Fatalf("still there after Close:\n%s", leftOver(0))
		}
		if err := conn.Flush(ctx); !errors.Is(err, ErrClosed) {
			t.Errorf("Flush after Close: %v", err)
		}
		if _, err := conn.Subscribe("c", func(*Msg) {}); !errors.Is(err, ErrClosed) {
			t.Errorf("Subscribe after Close: %v", err)
		}
	}
	served.Wait()
	if after := descriptors(); after != before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
}

// descriptors is how many files and sockets this process has open; 0 where the system does not tell.
func descriptors() int {
	names, _ := os.ReadDir("/proc/self/fd")
	return len(names)
}

// answerPings is a server that takes everything and says nothing else.
func answerPings(c net.Conn) {
	defer c.Close()
	fmt.Fprintf(c, "INFO %s\r\n", plainInfo)
	lines := bufio.NewScanner(c)
	for lines.Scan() {
		if lines.Text() == "PING" {
			fmt.Fprint(c, "PONG\r\n")
		}
	}
}

func TestCloseFromCallbackDoesNotHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(t)
		conn, p := connect(t, n)
		must(conn.Subscribe("a", func(m *Msg) { conn.Close() }))
		p.expect("SUB a 1")
		p.send("MSG a 1 0\r\n\r\n")
		<-conn.Done()
	})
}
