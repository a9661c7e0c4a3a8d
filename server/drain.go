package server

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/edgebus-io/edgebus/engine"
)

// closeDoors ends every Serve, and refuses later ones. Nobody can connect any more once it returns.
func (s *Server) closeDoors() {
	s.mu.Lock()
	s.stopped = true
	doors := slices.Collect(maps.Keys(s.doors))
	s.mu.Unlock()
	for _, d := range doors {
		d.close()
	}
	for _, d := range doors {
		<-d.gone
	}
}

const (
	// drainPatience bounds how long a client that is to go may take what waits for it. One that takes nothing
	// at all is closed by the engine after its WriteDeadline, if that comes first.
	drainPatience = 8 * time.Second
	// drainReserve is left of a caller's time for what it has to end after us.
	drainReserve = 2 * time.Second
)

// Shutdown closes the listeners and then every client without a word, once it has taken what waits for it:
// until 2 s before ctx's deadline, but no longer than 8 s. It returns when the last is gone, or ctx is over.
func (s *Server) Shutdown(ctx context.Context) error {
	s.closeDoors()
	for _, c := range s.all() {
		c.retire()
	}
	return s.waitEmpty(ctx)
}

// retire has a client go once it has taken what waits for it. Anyone.
func (s *session) retire() { s.conn.Post(func(*engine.Loop) { s.doRetire() }) }

// doRetire ends the client's part in everything: it is not listened to any more, and gets no message that is
// published from now on. waitEmpty closes it.
func (s *session) doRetire() {
	switch {
	case s.is(isOver):
	case s.peer == nil || s.conn.Pending() == 0:
		s.end(errShutdown)
	default:
		s.flags |= isOver
		s.peer.Detach()
	}
}

// waitEmpty waits for the last session's end, and closes those who have nothing left to take. Clients that were
// accepted meanwhile retire too.
func (s *Server) waitEmpty(ctx context.Context) error {
	const again = 50 * time.Millisecond
	until := time.Now().Add(s.settings.Load().drainFor)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(-drainReserve).Before(until) {
		until = deadline.Add(-drainReserve)
	}
	for {
		s.mu.Lock()
		n := len(s.sessions)
		if n > 0 && s.empty == nil {
			s.empty = make(chan struct{})
		}
		empty := s.empty
		s.mu.Unlock()
		if n == 0 {
			return nil
		}
		timer := time.NewTimer(again)
		select {
		case <-empty:
		case <-timer.C:
			over := !time.Now().Before(until)
			for _, c := range s.all() {
				if over || c.conn.Pending() == 0 {
					c.conn.Close(errShutdown)
				} else {
					c.retire()
				}
			}
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("server: %d clients are still open: %w", n, ctx.Err())
		}
		timer.Stop()
	}
}

// LameDuck lets the clients go elsewhere in peace: the listeners are closed, the clients are told,
// and after the grace period they are closed one after the other over the rest of
// LameDuckDuration. It returns when none is left, or with ctx.
func (s *Server) LameDuck(ctx context.Context) error {
	set := s.settings.Load()
	return s.leave(ctx, set, set.LameDuckGracePeriod, func(int) time.Duration { return set.LameDuckDuration - set.LameDuckGracePeriod })
}

const (
	// handOverGrace is for those who are in the middle of connecting, and who would take their end for a refusal.
	handOverGrace = time.Second
	// handOverPace is how long the next process has for a client that comes back, before the next one does.
	handOverPace = 5 * time.Millisecond
	// handOverSecurePace is the same where a TLS handshake comes first.
	handOverSecurePace = 20 * time.Millisecond
)

// HandOver is LameDuck for a server whose listeners another process serves already. The clients find it at
// the same address at once, and until they have, they do not hear those that are there: they are closed as
// fast as it can take them, but in no more than LameDuckDuration.
func (s *Server) HandOver(ctx context.Context) error {
	set := s.settings.Load()
	return s.leave(ctx, set, handOverGrace, func(clients int) time.Duration {
		pace := handOverPace
		if set.TLS != nil {
			pace = handOverSecurePace
		}
		return min(time.Duration(clients)*pace, set.LameDuckDuration)
	})
}

// Return takes LameDuck or HandOver back, once it has returned: who is still there stays, and listeners may
// be opened again.
func (s *Server) Return() {
	s.lame.Store(false)
	s.mu.Lock()
	s.stopped = false
	s.mu.Unlock()
	set := s.settings.Load()
	for _, c := range s.all() {
		c.conn.Post(func(*engine.Loop) {
			if c.is(isOver) {
				c.conn.Close(errShutdown) // it is deaf already, and shall come back as somebody new
				return
			}
			c.doTell(set, infoStays)
		})
	}
}

// leave is either. over says how long the clients that are left after the grace period are closed for.
func (s *Server) leave(ctx context.Context, set *settings, grace time.Duration, over func(clients int) time.Duration) error {
	s.lame.Store(true)
	s.closeDoors()
	all := s.all()
	s.log.Info("lame duck: told clients to go elsewhere", "clients", len(all), "grace_period", grace, "duration", grace+over(len(all)))
	for _, c := range all {
		c.conn.Post(func(*engine.Loop) { c.doLameDuck(set) })
	}
	if err := s.waitLame(ctx, grace); err != nil || s.isEmpty() {
		return err
	}
	all = s.all()
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	pause, batch := spread(over(len(all)), len(all))
	for i, c := range all {
		c.retire()
		if (i+1)%batch == 0 {
			if err := s.waitLame(ctx, pause); err != nil || s.isEmpty() {
				return err
			}
		}
	}
	return s.waitEmpty(ctx)
}

// doLameDuck tells one client, if it is one that wants to know.
func (s *session) doLameDuck(set *settings) bool { return s.doTell(set, infoLameDuck) }

func (s *session) doTell(set *settings, kind infoKind) bool {
	if s.flags&(takesInfo|hasPonged) != takesInfo|hasPonged {
		return false
	}
	s.sayInfo(set, kind)
	s.settle()
	return true
}

// spread says how many clients to close at a time and how long to wait before the next: at most a
// second, and not less than timers can tell.
func spread(over time.Duration, clients int) (pause time.Duration, batch int) {
	const least, most = 10 * time.Millisecond, time.Second
	batch = 1
	if clients == 0 {
		return 0, batch
	}
	pause = over / time.Duration(clients)
	if pause < least {
		batch = int(min(int64(clients), int64(least)*int64(clients)/max(1, int64(over)))) + 1
		pause = least
	}
	return min(pause, most), batch
}

// waitLame waits, but no longer than there is somebody to wait for.
func (s *Server) waitLame(ctx context.Context, d time.Duration) error {
	s.mu.Lock()
	if len(s.sessions) > 0 && s.empty == nil {
		s.empty = make(chan struct{})
	}
	empty, n := s.empty, len(s.sessions)
	s.mu.Unlock()
	if n == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-empty:
	case <-ctx.Done():
		return fmt.Errorf("server: lame duck: %w", ctx.Err())
	}
	return nil
}

func (s *Server) isEmpty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions) == 0
}
