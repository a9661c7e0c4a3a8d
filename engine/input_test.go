package engine

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// One connection has much to do, another a little: it is served after one call for the first.
func TestNeighbourIsServedBetweenTwoCalls(t *testing.T) {
	h := &house{t: t}
	both := make(chan struct{})
	first, calls, seen := true, 0, make(chan int, 1)
	h.open(Options{Loops: 1}, func(*Conn) *talk {
		return &talk{data: func(t *talk, l *Loop, in []byte) (int, error) {
			if in[0] == 'n' {
				seen <- calls
				return 1, nil
			}
			if first {
				first = false
				<-both
			}
			if calls++; len(in) > 1 {
				l.Again(t.c)
			}
			return 1, nil
		}}
	})
	h.needLoops()
	busy, neighbour := h.dial(), h.dial()
	for range 2 { // both are in
		<-h.talks
	}
	busy.Write(make([]byte, 500))
	neighbour.Write([]byte("n"))
	close(both)
	// Its event comes in this turn or, as the first was being served when it was sent, in the next.
	if n := <-seen; n > 4 {
		t.Errorf("a neighbour waited for %d calls", n)
	}
}

// What has been read is worked off, though the peer has reset the connection meanwhile.
func TestInputThatWasReadOutlivesAReset(t *testing.T) {
	h := &house{t: t}
	reset := make(chan struct{})
	first, calls := true, 0
	h.open(Options{Loops: 1}, func(*Conn) *talk {
		return &talk{data: func(t *talk, l *Loop, in []byte) (int, error) {
			if first {
				first = false
				<-reset
			}
			if calls++; len(in) > 1 {
				l.Again(t.c)
			}
			return 1, nil
		}}
	})
	h.needLoops()
	c := h.dial()
	c.Write(make([]byte, 200))
	tk := <-h.talks
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	close(reset)
	<-tk.closed
	if calls != 200 {
		t.Errorf("%d of 200 bytes were handed over", calls)
	}
}

// A session that does not know how long its message is gets all of it, however long.
func TestLongLineNeedsNoNeed(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{}, func(*Conn) *talk {
			return &talk{data: func(t *talk, _ *Loop, in []byte) (int, error) {
				at := bytes.IndexByte(in, '\n')
				if at >= 0 {
					t.say(fmt.Sprintf("%08d", at))
				}
				return at + 1, nil
			}}
		})
		c := h.dial()
		for _, n := range []int{10, 64 << 10, 128<<10 - 1, 128 << 10, 128<<10 + 1, 900_000} {
			go c.Write([]byte(strings.Repeat("x", n) + "\n"))
			got := make([]byte, 8)
			if _, err := io.ReadFull(c, got); err != nil || string(got) != fmt.Sprintf("%08d", n) {
				t.Fatalf("%q %v, want %d", got, err, n)
			}
		}
		c.Close()
		<-(<-h.talks).closed
		if n := h.e.partial.Load(); n != 0 {
			t.Errorf("%d bytes still counted", n)
		}
	})
}

// Messages too short to be read into a buffer of their own have the same bound.
func TestShortHalfMessagesAreBoundedToo(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		const conns, bound = 200, 2 << 20
		h.open(Options{PartialTotal: bound, WriteDeadline: time.Minute}, func(*Conn) *talk { return &talk{data: lengths} })
		var talks []*talk
		for range conns {
			c := h.dial()
			go fmt.Fprintf(c, "%08d:%s", 60_000, strings.Repeat("x", 50_000))
			talks = append(talks, <-h.talks)
		}
		// Everyone has come to where it may not grow, or has all of it.
		most := int64(0)
		for _, tk := range talks {
			for stuck := make(chan bool, 1); ; {
				tk.c.Post(func(*Loop) {
					stuck <- tk.c.held&heldFull != 0 || tk.c.restLen() > 50_000 || tk.c.rest != nil && h.stream
				})
				most = max(most, h.e.partial.Load())
				if <-stuck {
					break
				}
				time.Sleep(time.Millisecond)
			}
		}
		if limit := int64(bound + conns*chunkMiddle + 1<<20); most > limit {
			t.Errorf("half messages hold %d bytes, at most %d", most, limit)
		}
	})
}

// Those who hold half a message for long give way to somebody who sends a whole one.
func TestStuckHalfMessagesGiveWay(t *testing.T) {
	t.Parallel()
	drivers(t, func(t *testing.T, h *house) {
		asked := make(chan struct{}, 64)
		h.open(Options{PartialTotal: 4 << 20, WriteDeadline: time.Second}, func(*Conn) *talk {
			return &talk{data: func(t *talk, l *Loop, in []byte) (int, error) {
				n, err := lengths(t, l, in)
				if t.c.need > 0 {
					asked <- struct{}{}
				}
				return n, err
			}}
		})
		var stuck []*talk
		for range 8 {
			c := h.dial()
			stuck = append(stuck, <-h.talks)
			fmt.Fprintf(c, "%08d:", 1<<20) // read by itself, so that the rest goes to a buffer of its own
			<-asked
			go c.Write(make([]byte, 3<<18))
		}
		// On a slow machine the first have given way to the last before all are there.
		gaveWay := func(tk *talk) bool { return len(tk.closed) > 0 }
		for end := time.Now().Add(patience); h.e.partial.Load() < 3<<20 || h.e.filling.size.Load() < 8; time.Sleep(time.Millisecond) {
			if slices.ContainsFunc(stuck, gaveWay) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("half messages hold only %d bytes, of %d", h.e.partial.Load(), h.e.filling.size.Load())
			}
		}
		c := h.dial()
		tk := <-h.talks
		go fmt.Fprintf(c, "%08d:%s", 2<<20, strings.Repeat("x", 2<<20))
		got := make([]byte, 9)
		if _, err := io.ReadFull(c, got); err != nil {
			select {
			case err = <-tk.closed:
			default:
			}
			t.Fatal("the one who sent all of it was not served:", err)
		}
		closed := 0
		for _, tk := range stuck {
			select {
			case err := <-tk.closed:
				if !errors.Is(err, ErrPartialTotal) {
					t.Error(err)
				}
				closed++
			default:
			}
		}
		if closed == 0 {
			t.Error("nobody had to give way")
		}
	})
}

func TestNeedHoldsThroughARest(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		lengths := make(chan int, 8)
		h.open(Options{}, func(*Conn) *talk {
			return &talk{due: func(*talk, *Loop) {}, data: func(t *talk, _ *Loop, in []byte) (int, error) {
				lengths <- len(in)
				if len(in) < 10 {
					t.c.Need(10)
					t.c.Rest(5 * time.Millisecond)
					t.c.WakeAt(Now() + int64(time.Millisecond))
					return 0, nil
				}
				return len(in), nil
			}}
		})
		c := h.dial()
		fmt.Fprint(c, "1234")
		tk := <-h.talks
		<-lengths
		for over := make(chan bool, 1); ; { // the rest is over
			tk.c.Post(func(*Loop) { over <- tk.c.held == 0 })
			if <-over {
				break
			}
		}
		fmt.Fprint(c, "567890")
		if n := <-lengths; n != 10 {
			t.Errorf("Data was called with %d bytes, having asked for 10", n)
		}
	})
}

// TestUnreadGrowsBeforeDataIsCalled: it is how a session knows that its peer is alive while a long message
// comes in.
func TestUnreadGrowsBeforeDataIsCalled(t *testing.T) {
	drivers(t, func(t *testing.T, h *house) {
		h.open(Options{}, func(*Conn) *talk { return &talk{data: lengths} })
		c := h.dial()
		const size = 100_000
		message := fmt.Appendf(nil, "%08d;%s", size, make([]byte, size))
		tk := <-h.talks
		for _, at := range []int{0, 100, 30_000, 60_000} {
			if at > 0 {
				c.Write(message[:at])
				message = message[at:]
			}
			for deadline := time.Now().Add(20 * time.Second); ; {
				seen := make(chan int, 1)
				tk.c.Post(func(*Loop) { seen <- tk.c.Unread() })
				if n := <-seen; n+len(message) == size+9 {
					break
				} else if time.Now().After(deadline) {
					t.Fatalf("%d bytes are unread, want %d", n, size+9-len(message))
				}
			}
		}
		c.Write(message)
		if _, err := io.ReadFull(c, make([]byte, 9)); err != nil {
			t.Fatal(err)
		}
	})
}
