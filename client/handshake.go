package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/edgebus-io/edgebus/parser"
)

// serverInfo is what we read of INFO.
type serverInfo struct {
	ServerID    string   `json:"server_id"`
	ServerName  string   `json:"server_name"`
	Version     string   `json:"version"`
	Headers     bool     `json:"headers"`
	MaxPayload  int      `json:"max_payload"`
	ClientID    uint64   `json:"client_id"`
	TLSRequired bool     `json:"tls_required"`
	ConnectURLs []string `json:"connect_urls"`
	LameDuck    bool     `json:"ldm"`
}

// connectOptions is what we send in CONNECT.
type connectOptions struct {
	Verbose      bool   `json:"verbose"`
	Pedantic     bool   `json:"pedantic"`
	TLSRequired  bool   `json:"tls_required"`
	User         string `json:"user,omitempty"`
	Password     string `json:"pass,omitempty"`
	Token        string `json:"auth_token,omitempty"`
	Name         string `json:"name,omitempty"`
	Lang         string `json:"lang"`
	Version      string `json:"version"`
	Protocol     int    `json:"protocol"`
	Echo         bool   `json:"echo"`
	Headers      bool   `json:"headers"`
	NoResponders bool   `json:"no_responders"`
}

// A line is one TCP connection that has said hello.
type line struct {
	socket net.Conn
	input  *input
	server *server
	info   serverInfo
}

// dial makes a connection to s and says hello, all within one timeout.
func (c *Conn) dial(ctx context.Context, s *server) (*line, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.timeout)
	defer cancel()
	socket, err := c.options.dial(ctx, "tcp", s.address)
	if err != nil {
		return nil, fmt.Errorf("client: connect to %s: %w", s.address, err)
	}
	// The handshake knows deadlines and no context: ending ctx ends it by way of the deadline.
	stop := context.AfterFunc(ctx, func() { socket.SetDeadline(time.Unix(1, 0)) })
	l, err := c.hello(socket, s)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		socket.Close()
		if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("no answer: %w", ctx.Err())
		}
		return nil, fmt.Errorf("client: connect to %s: %w", s.address, err)
	}
	return l, nil
}

// hello is the handshake: INFO from the server, CONNECT and PING from us, PONG from the server.
func (c *Conn) hello(socket net.Conn, s *server) (*line, error) {
	l := &line{socket: socket, server: s, input: newInput(socket)}
	var op parser.Op
	if err := l.input.next(&op); err != nil {
		return nil, handshakeError(err)
	}
	if op.Verb == parser.Err {
		return nil, &ServerError{Text: string(op.Args)}
	}
	if op.Verb != parser.Info {
		return nil, ErrHandshake
	}
	if err := json.Unmarshal(op.Args, &l.info); err != nil {
		return nil, fmt.Errorf("%w: INFO: %w", ErrHandshake, err)
	}
	if l.info.TLSRequired {
		return nil, ErrTLSMissing
	}
	text, err := json.Marshal(c.connectOptions(s, l.info.Headers))
	if err != nil {
		return nil, err
	}
	greeting := parser.AppendPing(parser.AppendConnect(nil, text))
	// A server that is full says so and closes. Its word is there to be read though writing
	// fails, and is the better reason.
	_, failed := socket.Write(greeting)
	for {
		if err := l.input.next(&op); err != nil {
			return nil, handshakeError(cmp.Or(failed, err))
		}
		switch op.Verb {
		case parser.Pong:
			return l, nil
		case parser.OK, parser.Info:
		case parser.Ping:
			if _, err := socket.Write(parser.AppendPong(nil)); err != nil {
				return nil, err
			}
		case parser.Err:
			return nil, refusal(string(op.Args))
		default:
			return nil, ErrHandshake
		}
	}
}

// refusal gives the one text that everybody meets a name of its own.
func refusal(text string) error {
	err := &ServerError{Text: text}
	if errors.Is(err, ErrAuthorization) {
		return fmt.Errorf("%w (%s)", ErrAuthorization, cut(text))
	}
	return err
}

func handshakeError(err error) error {
	var bad *parser.ProtocolError
	if errors.As(err, &bad) {
		return ErrHandshake
	}
	return err
}

func (c *Conn) connectOptions(s *server, headers bool) connectOptions {
	o := connectOptions{
		Pedantic: c.options.pedantic, Name: c.options.name, Lang: "go", Version: version(), Protocol: 1,
		Echo: !c.options.noEcho, Headers: headers, NoResponders: headers,
		User: c.options.user, Password: c.options.password, Token: c.options.token,
	}
	if s.user != "" || s.token != "" {
		o.User, o.Password, o.Token = s.user, s.password, s.token
	}
	return o
}

// version is that of the module we were built into a program by, for monitoring pages.
func version() string {
	const module = "github.com/edgebus-io/edgebus"
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, m := range append(build.Deps, &build.Main) {
			if m.Path == module && strings.HasPrefix(m.Version, "v") {
				return m.Version[1:]
			}
		}
	}
	return "dev"
}

// An input reads operations from a socket. What it has read and not handed out stays with it,
// so that the handshake and the reader after it can share one.
type input struct {
	socket     net.Conn
	parser     parser.Parser
	buffer     []byte
	start, end int
	fresh      bool // bytes have come since somebody last cleared this
}

func newInput(socket net.Conn) *input {
	return &input{
		socket: socket, buffer: make([]byte, readBuffer),
		parser: parser.Parser{Dialect: parser.FromServer, MaxControlLine: maxInboundLine, MaxPayload: maxInboundBytes},
	}
}

// next waits for one operation. op is good until the following call. A timeout loses nothing.
func (in *input) next(op *parser.Op) error {
	for {
		used, err := in.parser.Next(in.buffer[in.start:in.end], op)
		if err != nil {
			return err
		}
		if used > 0 {
			in.start += used
			return nil
		}
		in.makeRoom(op.Need)
		n, err := in.socket.Read(in.buffer[in.end:])
		in.end += n
		in.fresh = in.fresh || n > 0
		if n == 0 && err != nil {
			return err
		}
	}
}

// makeRoom sees to it that an operation of need bytes fits, or at least that something can be
// read. The parser bounds need, and the length of a line whose end is not there.
func (in *input) makeRoom(need int) {
	left := in.end - in.start
	size := len(in.buffer)
	switch {
	case left == size || need > size:
		size = max(need, 2*size)
	case left == 0 && size > keepBuffer:
		size = readBuffer
	case left > 0 && in.start+need <= size && size-in.end >= minRead:
		return
	}
	rest := in.buffer[in.start:in.end]
	if size != len(in.buffer) {
		in.buffer = make([]byte, size)
	}
	in.start, in.end = 0, copy(in.buffer, rest)
}

// minRead is the room below which moving the rest to the front pays for itself.
const minRead = 4 << 10
