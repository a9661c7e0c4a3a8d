package micro

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/edgebus-io/edgebus/client"
)

// A Request waits for its answer. It is answered once, from any goroutine; the protocol allows
// more, and those who ask for many answers take them.
type Request struct {
	msg      *client.Msg
	endpoint *endpoint
}

// Data is what was sent.
func (r *Request) Data() []byte { return r.msg.Data }

// Header holds the headers that were sent, or is nil.
func (r *Request) Header() client.Header { return r.msg.Header }

// Subject is where the request came to: for an endpoint with wildcards, what stood in their place.
func (r *Request) Subject() string { return r.msg.Subject }

// Reply is where the answer goes; empty if nobody waits for one.
func (r *Request) Reply() string { return r.msg.Reply }

// Respond answers with data.
func (r *Request) Respond(data []byte) error { return r.RespondMsg(&client.Msg{Data: data}) }

// RespondJSON answers with value as JSON.
func (r *Request) RespondJSON(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		r.endpoint.countError(err.Error())
		return wrap("answer of", r.endpoint.info.Name, err)
	}
	return r.Respond(text)
}

// Error answers with an error, which is counted. data may say more, and may be nil.
func (r *Request) Error(code, description string, data []byte) error {
	if code == "" || description == "" {
		return ErrArgument
	}
	return r.RespondMsg(&client.Msg{Header: errorHeader(code, description), Data: data})
}

// RespondMsg answers with headers. One that has the headers of an error counts as one.
func (r *Request) RespondMsg(answer *client.Msg) error {
	err := r.msg.RespondMsg(answer)
	var told *Error
	switch {
	case err != nil:
		r.endpoint.countError(err.Error())
	case errors.As(ErrorOf(answer), &told):
		// As others' services show it.
		r.endpoint.countError(told.Code + ":" + told.Description)
	}
	return err
}

// oneLine is for headers, which have no line ends. Errors do, and an answer that is refused for them is none.
var oneLine = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ")

func errorHeader(code, description string) client.Header {
	return client.Header{ErrorCodeHeader: {oneLine.Replace(code)}, ErrorHeader: {oneLine.Replace(description)}}
}
