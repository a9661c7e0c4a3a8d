package engine

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A secureTalk is a talk that asks for TLS.
type secureTalk struct {
	*talk
	silent  chan struct{}
	begins  func() error
	secured chan *tls.ConnectionState
}

func (t *secureTalk) Silent(*Loop) { t.silent <- struct{}{}; t.say("plain\n") }
func (t *secureTalk) Securing(*Loop) error {
	if t.begins == nil {
		return nil
	}
	return t.begins()
}

func (t *secureTalk) Secured(_ *Loop, s *tls.ConnectionState) {
	if s == nil {
		t.say("stays\n")
	} else {
		t.say("secret\n")
	}
	t.secured <- s
}

// A vault is a house whose connections ask for TLS.
type vault struct {
	*house
	all chan *secureTalk
}

func openVault(h *house, o Options, s *Security, make func(*secureTalk)) *vault {
	h.t.Helper()
	v := &vault{h, nil}
	v.all = newSecureTalks()
	if s.Config == nil {
		s.Config = &tls.Config{Certificates: []tls.Certificate{selfSigned(h.t)}}
	}
	if s.Timeout == 0 {
		s.Timeout = patience // a slow machine needs more than is allowed by default
	}
	h.openWith(o, func(c *Conn) Session {
		t := &secureTalk{talk: &talk{c: c, data: echo, closed: newReasons()}, silent: newSignals(), secured: newStates()}
		if make != nil {
			make(t)
		}
		v.all <- t
		c.Secure(s)
		return t
	})
	return v
}

func newSecureTalks() chan *secureTalk     { return make(chan *secureTalk, 4096) }
func newSignals() chan struct{}            { return make(chan struct{}, 2) }
func newStates() chan *tls.ConnectionState { return make(chan *tls.ConnectionState, 2) }
func anyServer() *tls.Config               { return &tls.Config{InsecureSkipVerify: true} }
func (v *vault) handshake() (*tls.Conn, error) {
	c := tls.Client(v.dial(), anyServer())
	return c, c.Handshake()
}

// secret is a client whose handshake is done and that has read what it is told then.
func (v *vault) secret() *tls.Conn {
	v.t.Helper()
	c, err := v.handshake()
	if err != nil {
		v.t.Fatal(err)
	}
	v.expect(c, "secret\n")
	return c
}

func (v *vault) expect(c io.Reader, text string) {
	v.t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != text {
		v.t.Fatalf("got %q, %v; want %q", got[:n], err, text)
	}
}

func TestTLSBeginsBehindAPlainLine(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{}, func(s *secureTalk) { s.say("plain\n") })
		c := v.dial()
		v.expect(c, "plain\n")
		s := tls.Client(c, anyServer())
		v.expect(s, "secret\n")
		s.Write([]byte("hello"))
		v.expect(s, "hello")
		tk := <-v.all
		if state := <-tk.secured; state == nil || state.Version != tls.VersionTLS13 {
			t.Error("no state")
		}
		shown := make(chan *tls.ConnectionState)
		tk.c.Post(func(*Loop) { shown <- tk.c.TLS() })
		if (<-shown) == nil {
			t.Error("the connection does not say that it is secure")
		}
	})
}

// Peers with a small send window write what they have in pieces, and a record may end anywhere.
func TestRecordsMayArriveInPieces(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{}, nil)
		c := v.dial()
		s := tls.Client(pieces{c}, anyServer())
		v.expect(s, "secret\n")
		want := make([]byte, 3000)
		rand.Read(want)
		go s.Write(want)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(s, got); err != nil || !bytes.Equal(got, want) {
			t.Fatal(err)
		}
	})
}

type pieces struct{ net.Conn }

func (p pieces) Write(b []byte) (int, error) {
	for i := 0; i < len(b); i += 7 {
		if _, err := p.Conn.Write(b[i:min(i+7, len(b))]); err != nil {
			return i, err
		}
	}
	return len(b), nil
}

// What the client sends in one go with the end of its handshake is in crypto/tls's buffer by then,
// where epoll does not see it.
func TestInputBehindTheHandshakeIsNotForgotten(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{}, nil)
		for range 20 {
			hold := &holding{Conn: v.dial()}
			s := tls.Client(hold, anyServer())
			hold.from = 2 // the first write is the ClientHello, what follows waits for release
			if err := s.Handshake(); err != nil {
				t.Fatal(err)
			}
			s.Write([]byte("hello"))
			hold.release()
			v.expect(s, "secret\nhello")
			s.Close()
		}
	})
}

// holding keeps back what is written from the nth write on, until release.
type holding struct {
	net.Conn
	from, count int
	held        bytes.Buffer
	open        bool
}

func (h *holding) Write(b []byte) (int, error) {
	h.count++
	if h.open || h.count < h.from {
		return h.Conn.Write(b)
	}
	return h.held.Write(b)
}

func (h *holding) release() {
	h.open = true
	h.Conn.Write(h.held.Bytes())
}

func TestPlainBytesInsteadOfAHandshakeAreClosedWithoutAWord(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{}, nil)
		c := v.dial()
		c.Write([]byte("CONNECT {}\r\n"))
		if got, err := io.ReadAll(c); len(got) > 0 {
			t.Errorf("was told %q, %v", got, err)
		}
		if err := <-(<-v.all).closed; !errors.Is(err, ErrHandshake) || !strings.Contains(err.Error(), "0x43") {
			t.Error(err)
		}
	})
}

func TestHandshakeHasItsTime(t *testing.T) {
	for name, begin := range map[string]func(net.Conn){
		"silent":     func(net.Conn) {},
		"one byte":   func(c net.Conn) { c.Write([]byte{tlsHandshake}) },
		"half hello": func(c net.Conn) { c.Write([]byte{tlsHandshake, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}) },
		"no finish": func(c net.Conn) {
			hold := &holding{Conn: c, from: 2}
			tls.Client(hold, anyServer()).Handshake()
		},
	} {
		t.Run(name, func(t *testing.T) {
			drivers(t, func(t *testing.T, h *house) {
				v := openVault(h, Options{}, &Security{Timeout: 100 * time.Millisecond}, nil)
				c := v.dial()
				begin(c)
				if err := <-(<-v.all).closed; !errors.Is(err, ErrHandshake) {
					t.Error(err)
				}
			})
		})
	}
}

func TestPeerMayStayPlain(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{MayBePlain: true}, nil)
		c := v.dial()
		c.Write([]byte("hello"))
		v.expect(c, "stays\nhello")
		v.secret()
	})
}

func TestSilentPeerStaysPlain(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{MayBePlain: true, Timeout: 100 * time.Millisecond}, nil)
		v.expect(v.dial(), "stays\n")
	})
}

func TestSilentPeerIsSpokenTo(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{Grace: 50 * time.Millisecond}, nil)
		c := v.dial()
		v.expect(c, "plain\n")
		s := tls.Client(c, anyServer())
		v.expect(s, "secret\n")
	})
}

func TestPeerThatBeginsIsNotSpokenTo(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{Grace: time.Minute}, nil)
		v.secret()
		if tk := <-v.all; len(tk.silent) > 0 {
			t.Error("spoken to though it began")
		}
	})
}

func TestSessionMayRefuseAHandshake(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		why := errors.New("why")
		v := openVault(h, Options{}, &Security{}, func(s *secureTalk) {
			s.begins = func() error { s.say("no\n"); return why }
		})
		c := v.dial()
		c.Write([]byte{tlsHandshake, 3, 1, 0, 1, 1})
		if got, err := io.ReadAll(c); string(got) != "no\n" {
			t.Errorf("%q %v", got, err)
		}
		if err := <-(<-v.all).closed; err != why {
			t.Error(err)
		}
	})
}

func TestCheckMayRefuseAPeer(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		why := errors.New("why")
		v := openVault(h, Options{}, &Security{Check: func(s *tls.ConnectionState) error { return why }}, nil)
		c, err := v.handshake()
		if err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("was told", n)
		}
		if err := <-(<-v.all).closed; !errors.Is(err, why) || !errors.Is(err, ErrHandshake) {
			t.Error(err)
		}
	})
}

// Everything that may close a connection, while its handshake is at any point.
func TestHandshakeMayBeClosedAtAnyMoment(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{Loops: 2}, &Security{}, nil)
		why := errors.New("why")
		for i := range 60 {
			c := v.dial()
			tk := <-v.all
			var all sync.WaitGroup
			all.Go(func() {
				s := tls.Client(c, anyServer())
				s.Handshake()
				s.Write([]byte("hello"))
			})
			all.Go(func() {
				time.Sleep(time.Duration(i) * 20 * time.Microsecond)
				switch i % 3 {
				case 0:
					tk.c.Close(why)
				case 1:
					c.Close()
				default:
					if tk.c.Begin(5) { // nobody may, and nothing of it may go out plain
						tk.c.Write([]byte("early"))
						tk.c.End()
						tk.c.Flush(i%2 == 0)
					}
					tk.c.Close(why)
				}
			})
			select {
			case <-tk.closed:
			case <-time.After(patience / 2):
				t.Fatalf("round %d: the close was overlooked", i)
			}
			all.Wait()
			c.Close()
		}
	})
}

func TestDeadlineOfAHandshakeDoesNotUndoAClose(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	c := &Conn{}
	c.out.reason = errors.New("why")
	heeding{theirs, c}.SetDeadline(time.Now().Add(patience))
	read := make(chan error, 1)
	go func() {
		_, err := theirs.Read(make([]byte, 1))
		read <- err
	}()
	select {
	case err := <-read:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(patience / 2):
		t.Error("a read goes on though the connection was closed")
	}
}

func TestEndOfTLSIsSaid(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{}, nil)
		c := v.secret()
		tk := <-v.all
		tk.say("last\n")
		tk.c.Close(errors.New("why"))
		// ReadAll takes an end without close_notify for an error.
		if got, err := io.ReadAll(c); err != nil || string(got) != "last\n" {
			t.Errorf("%q %v", got, err)
		}
		c = v.secret()
		tk = <-v.all
		c.Close()
		if err := <-tk.closed; !errors.Is(err, ErrPeerClosed) {
			t.Error(err)
		}
	})
}

// A peer that never reads is closed at MaxPending as any other, and what waits is counted.
func TestTLSPeerThatNeverReadsIsClosedAtMaxPending(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{MaxPending: 8 << 20}, &Security{}, nil)
		c := v.secret()
		defer c.Close()
		tk := <-v.all
		message := make([]byte, 100_000)
		for tk.c.Begin(len(message)) {
			tk.c.Write(message)
			tk.c.End()
			tk.c.Flush(false)
			if n := tk.c.Pending(); n > 8<<20 {
				t.Fatal(n, "bytes pending")
			}
		}
		if err := <-tk.closed; err != ErrSlowConsumer {
			t.Error(err)
		}
		if n := v.e.pending.Load(); n != 0 {
			t.Error(n, "bytes still counted")
		}
	})
}

// Big payloads through TLS, from many writers, to a reader that stops and goes: every byte arrives,
// in order, and nothing is left pending.
func TestTLSKeepsOrderUnderBackPressure(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{MaxPending: 64 << 20}, &Security{}, nil)
		c := v.secret()
		tk := <-v.all
		const size, writers, each = 300_001, 4, 12
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for n := range each {
					p := bytes.Repeat([]byte{byte(w*each + n)}, size)
					if !tk.c.Begin(size) {
						return // closed, as the reader will say
					}
					tk.c.Put(append(tk.c.Room(1), p[0]))
					tk.c.Write(p[1:])
					tk.c.End()
					tk.c.Flush(n%3 == 0)
				}
			})
		}
		seen := map[byte]bool{}
		got := make([]byte, size)
		for range writers * each {
			if _, err := io.ReadFull(c, got); err != nil {
				t.Fatal(err)
			}
			if seen[got[0]] || !bytes.Equal(got, bytes.Repeat(got[:1], size)) {
				t.Fatal("two messages are mixed, or one came twice")
			}
			seen[got[0]] = true
		}
		all.Wait()
		if n := tk.c.Pending(); n != 0 {
			t.Error(n, "bytes pending")
		}
	})
}

func TestTLSEchoesWhatIsLargerThanAllBuffers(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{}, nil)
		c := v.secret()
		want := make([]byte, 3_000_000)
		rand.Read(want)
		go c.Write(want)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatal(err)
		}
	})
}

// Rest, Away and Again hold input while crypto/tls has some that epoll does not know of.
func TestTLSInputSurvivesBeingHeld(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{PartialTotal: 1 << 20}, &Security{}, func(s *secureTalk) {
			n := 0
			s.data = func(t *talk, l *Loop, in []byte) (int, error) {
				n++
				switch used := min(len(in), 1000); n % 40 {
				case 1:
					t.c.Rest(time.Millisecond)
					return echo(t, l, in[:used])
				case 2:
					t.c.Away(func() {}, func(*Loop) {})
					return echo(t, l, in[:used])
				case 3:
					l.Again(t.c)
					return echo(t, l, in[:used])
				case 4:
					if len(in) < 5000 {
						t.c.Need(5000)
						return 0, nil
					}
				}
				return echo(t, l, in)
			}
		})
		c := v.secret()
		want := make([]byte, 2_000_000)
		rand.Read(want)
		go func() {
			for b := bytes.NewBuffer(bytes.Clone(want)); b.Len() > 0; {
				c.Write(b.Next(40_000))
			}
			c.Write(make([]byte, 10_000)) // so that Need is met
		}()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatal(err)
		}
	})
}

// A stranger who can write into the connection can make up records, but not seal them.
func TestRecordThatIsNotSealedEndsTheConnection(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{}, nil)
		c := v.secret()
		tk := <-v.all
		c.NetConn().Write([]byte{tlsHandshake, 3, 3, 0, 4, 1, 0, 0, 0})
		if err := <-tk.closed; !errors.Is(err, ErrRead) {
			t.Error(err)
		}
	})
}

func TestTLSMayCarryAnotherLayer(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		v := openVault(h, Options{}, &Security{}, func(s *secureTalk) {
			s.data = func(t *talk, _ *Loop, in []byte) (int, error) {
				t.data = echo
				t.say("up\n")
				t.c.Upgrade(func(nc net.Conn) (net.Conn, error) { return nc, nil })
				return 1, nil
			}
		})
		c := v.secret()
		c.Write([]byte("Uhello"))
		v.expect(c, "up\nhello")
		if tk := <-v.all; tk.c.TLS() == nil { // nothing is going on: no race
			t.Error("the layer below is not known")
		}
		c.Write([]byte("again"))
		v.expect(c, "again")
	})
}

// Who sends half of a ClientHello, or nothing, waits on the loop until its time is over.
func TestHalfOfAHelloOwnsNoGoroutine(t *testing.T) {
	h := &house{t: t}
	v := openVault(h, Options{}, &Security{Timeout: time.Minute}, nil)
	h.needLoops()
	before := runtime.NumGoroutine()
	for i := range 50 {
		c := v.dial()
		c.Write([]byte{tlsHandshake, 3, 1, 0x3f, 0, 1, 0, 1, 0xfc, 3, 3}[:i%11])
	}
	for range 50 {
		tk := <-v.all
		seen := make(chan struct{})
		tk.c.Post(func(*Loop) { close(seen) })
		<-seen
	}
	noMore(t, before)
	c := v.dial()
	c.Write([]byte{tlsHandshake, 3, 1, 0xff, 0xff})
	if err := <-(<-v.all).closed; !errors.Is(err, ErrHandshake) {
		t.Error("a record of 64 KiB is waited for:", err)
	}
}
