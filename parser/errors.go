package parser

// A ProtocolError is the peer's mistake. Wire is what it is told. Fatal says
// whether it loses the connection as well.
type ProtocolError struct {
	Wire  string // as sent after -ERR, without quotes; empty when nothing is sent
	Fatal bool
	Cause error // for our log
}

func (e *ProtocolError) Error() string {
	if e.Cause != nil {
		return "parser: " + e.Cause.Error()
	}
	return "parser: " + e.Wire
}

func (e *ProtocolError) Unwrap() error { return e.Cause }

// text is a cause without a type of its own: nobody branches on it.
type text string

func (t text) Error() string { return string(t) }

// What Next reports. They are values, not made per line, so that a peer which is wrong all
// the time costs no memory. All of them lose the connection.
var (
	// While the verb is read: no verb of this dialect begins like this.
	ErrUnknownOp error = &ProtocolError{Wire: wireUnknownOp, Fatal: true, Cause: text("unknown operation")}
	// While or after a line is read: its arguments are longer than MaxControlLine.
	ErrControlLine error = &ProtocolError{Wire: "maximum control line exceeded", Fatal: true, Cause: text("control line too long")}
	// After a line: too few or too many arguments, or a size that is none. nats-server
	// closes without a word here, and so do we.
	ErrArgs error = &ProtocolError{Fatal: true, Cause: text("bad arguments")}
	// After a line: the declared size is larger than MaxPayload.
	ErrMaxPayload error = &ProtocolError{Wire: "Maximum Payload Violation", Fatal: true, Cause: text("payload too large")}
	// After a payload: CRLF does not follow where the declared size ends.
	ErrTrailer error = &ProtocolError{Wire: wireUnknownOp, Fatal: true, Cause: text("payload not followed by CRLF")}
)

const wireUnknownOp = "Unknown Protocol Operation"
