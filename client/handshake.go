package client

import (
	"cmp"
	"context"
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
	ServerID    string
	ServerName  string
	Version     string
	Headers     bool
	MaxPayload  int
	ClientID    uint64
	TLSRequired bool
	TLSOffered  bool
	Nonce       string
	ConnectURLs []string
	LameDuck    bool
}

// connectOptions is what we send in CONNECT.
type connectOptions struct {
	Verbose      bool
	Pedantic     bool
	TLSRequired  bool
	User         string
	Password     string
	Token        string
	JWT          string
	NKey         string
	Signature    string
	Name         string
	Lang         string
	Version      string
	Protocol     int
	Echo         bool
	Headers      bool
	NoResponders bool
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
	l, err := c.hello(ctx, socket, s)
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

// hello reads INFO, secures the socket where that is asked for, and logs in.
func (c *Conn) hello(ctx context.Context, socket net.Conn, s *server) (*line, error) {
	l := &line{socket: socket, input: newInput(socket), server: s}
	if c.options.tlsFirst {
		if err := c.secure(ctx, l); err != nil {
			return nil, err
		}
	}
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
	if err := l.info.read(op.Args); err != nil {
		return nil, fmt.Errorf("%w: INFO: %w", ErrHandshake, err)
	}
	switch wanted := c.options.secure != nil || s.tls; {
	case c.options.tlsFirst:
	case c.options.secure == nil && (wanted || l.info.TLSRequired):
		return nil, ErrTLSMissing
	case wanted && !l.info.TLSRequired && !l.info.TLSOffered:
		return nil, ErrTLSRefused
	case wanted:
		if err := c.secure(ctx, l); err != nil {
			return nil, err
		}
	}
	return l, c.login(l)
}

// secure puts TLS on the line. What came before the handshake was in the clear: nothing of it
// may count as having come after.
func (c *Conn) secure(ctx context.Context, l *line) error {
	secured, err := c.options.secure(ctx, &c.options, l.socket, l.server.tlsName)
	if err != nil {
		return err
	}
	l.socket, l.input.socket = secured, secured
	l.input.start, l.input.end = 0, 0
	return nil
}

// login says who we are and waits until the server has agreed.
func (c *Conn) login(l *line) error {
	said, err := c.connectOptions(l)
	if err != nil {
		return err
	}
	greeting := parser.AppendPing(parser.AppendConnect(nil, said.appendTo(nil)))
	// A server that is full says so and closes. Its word is there to be read though writing
	// fails, and is the better reason.
	_, failed := l.socket.Write(greeting)
	var op parser.Op
	for {
		if err := l.input.next(&op); err != nil {
			return handshakeError(cmp.Or(failed, err))
		}
		switch op.Verb {
		case parser.Pong:
			return nil
		case parser.OK:
		case parser.Info:
			// Some servers tell more after CONNECT, their siblings' addresses for instance.
			more := l.info
			if more.read(op.Args) == nil {
				l.info = more
			}
		case parser.Ping:
			if _, err := l.socket.Write(parser.AppendPong(nil)); err != nil {
				return err
			}
		case parser.Err:
			return refusal(string(op.Args))
		default:
			return ErrHandshake
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

func (c *Conn) connectOptions(l *line) (connectOptions, error) {
	o := connectOptions{
		Pedantic: c.options.pedantic, Name: c.options.name, Lang: "go", Version: version(), Protocol: 1,
		Echo: !c.options.noEcho, Headers: l.info.Headers, NoResponders: l.info.Headers,
		User: c.options.user, Password: c.options.password, Token: c.options.token,
		TLSRequired: c.options.secure != nil,
	}
	if s := l.server; s.user != "" || s.token != "" {
		o.User, o.Password, o.Token = s.user, s.password, s.token
	}
	if c.options.identity != nil {
		err := c.options.identity(l.info.Nonce, &o)
		return o, err
	}
	return o, nil
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
	filled     bool // the last read filled the buffer
}

func newInput(socket net.Conn) *input {
	return &input{
		socket: socket, buffer: make([]byte, firstBuffer),
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
		in.filled = in.end == len(in.buffer)
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
	case in.filled && size < readBuffer:
		size = readBuffer // the line is busy: larger reads are fewer
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
