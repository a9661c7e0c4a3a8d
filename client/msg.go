package client

import (
	"slices"
	"strings"

	"github.com/edgebus-io/edgebus/parser"
)

// A Msg is one message. A received one belongs to whoever received it: nothing of it is used
// again by the connection.
type Msg struct {
	Subject string
	Reply   string
	Header  Header
	Data    []byte

	// Status and Description come from the first line of a received header block, as in
	// 503 of a request that nobody listens for. Zero on ordinary messages.
	Status      int
	Description string

	Sub *Subscription // the subscription it came by; nil on a message to be published
}

// Respond publishes data to the message's reply subject.
func (m *Msg) Respond(data []byte) error {
	return m.RespondMsg(&Msg{Data: data})
}

// RespondMsg publishes answer to the message's reply subject, whatever its Subject says.
func (m *Msg) RespondMsg(answer *Msg) error {
	if m.Reply == "" || m.Sub == nil {
		return ErrNoReply
	}
	return m.Sub.conn.send(m.Reply, answer.Reply, answer.Header, answer.Data, nil)
}

// Header holds the headers of a message. Names are kept as they were written and compared
// exactly, as NATS does.
type Header map[string][]string

// Get returns the first value of name, or nothing.
func (h Header) Get(name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set replaces all values of name by one.
func (h Header) Set(name, value string) { h[name] = []string{value} }

// Add adds a value to name.
func (h Header) Add(name, value string) { h[name] = append(h[name], value) }

// Values returns all values of name.
func (h Header) Values(name string) []string { return h[name] }

// Del removes name.
func (h Header) Del(name string) { delete(h, name) }

// Names returns the names in order.
func (h Header) Names() []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

const lineEnd = parser.CRLF

// appendHeader appends the encoded block. The names are sorted, so that equal headers give
// equal bytes. What would break the block for whoever reads it is refused.
func appendHeader(dst []byte, h Header) ([]byte, error) {
	dst = parser.AppendHeaderStart(dst)
	for _, name := range h.Names() {
		if !parser.ValidHeaderName(name) {
			return dst, wrap("header name", name, ErrHeader)
		}
		for _, value := range h[name] {
			if strings.ContainsAny(value, lineEnd) {
				return dst, wrap("value of header", name, ErrHeader)
			}
			dst = parser.AppendHeader(dst, name, value)
		}
	}
	return parser.AppendHeaderEnd(dst), nil
}

// readHeader takes a block apart. Servers relay header blocks unread, so anything may be in
// one: lines that make no sense are passed over.
func readHeader(block []byte, m *Msg) {
	if status, description, ok := parser.HeaderStatus(block); ok {
		m.Status, m.Description = status, string(description)
	}
	for name, value := range parser.Headers(block) {
		if m.Header == nil {
			m.Header = make(Header)
		}
		m.Header.Add(string(name), string(value))
	}
}
