//go:build !linux

package engine

import (
	"crypto/tls"
	"errors"
	"net"
	"time"
)

// Without epoll there are no loops: every connection is the stream driver's.

type poller struct{}

type socket struct{}

// A layer is TLS on a loop.
type layer struct{ tls *tls.Conn }

func (y *layer) released()                  {}
func (y *layer) leave(nc net.Conn) net.Conn { return nc }
func (g *guard) beside([]byte) error        { return errors.ErrUnsupported }

func (d *Listener) closeSocket() {}

// startLoops starts what looks after connections that are behind, in the loops' place.
func (e *Engine) startLoops() error {
	e.wg.Add(1)
	go func() {
		defer e.wg.Done()
		t := time.NewTicker(time.Duration(crowdGrain))
		defer t.Stop()
		for {
			select {
			case <-e.done:
				return
			case <-t.C:
				e.care(Now())
			}
		}
	}()
	return nil
}

func (e *Engine) rouse()                                   {}
func (e *Engine) listenSocket(*Listener) (bool, error)     { return false, nil }
func (e *Engine) adoptSocket(net.Conn, Open) (bool, error) { return false, nil }
func (c *Conn) writeChunks([]byte) (int, error)            { return 0, errors.ErrUnsupported }
func (c *Conn) setMask()                                   {}
func (c *Conn) watchInput()                                {}

// presence and unread know nothing of sockets that the stream driver has.
func (c *Conn) presence() presence {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	if c.out.reason != nil {
		return absent
	}
	return present
}

func (c *Conn) unread() int { return 0 }
