package client

import (
	"bytes"
	"errors"
	"reflect"
	"testing"
)

func TestHeadersOnTheWire(t *testing.T) {
	cases := []struct {
		name   string
		header Header
		wire   string
		err    error
	}{
		{"one", Header{"A": {"1"}}, "NATS/1.0\r\nA: 1\r\n\r\n", nil},
		{"in order", Header{"b": {"2", "3"}, "A": {"1"}}, "NATS/1.0\r\nA: 1\r\nb: 2\r\nb: 3\r\n\r\n", nil},
		{"empty value", Header{"A": {""}}, "NATS/1.0\r\nA: \r\n\r\n", nil},
		{"colon in value", Header{"A": {"x:y"}}, "NATS/1.0\r\nA: x:y\r\n\r\n", nil},
		{"colon in name", Header{"A:": {"1"}}, "", ErrHeader},
		{"empty name", Header{"": {"1"}}, "", ErrHeader},
		{"line end in name", Header{"A\r\nB": {"1"}}, "", ErrHeader},
		{"line end in value", Header{"A": {"1\r\nB: 2"}}, "", ErrHeader},
	}
	for _, c := range cases {
		wire, err := appendHeader(nil, c.header)
		if !errors.Is(err, c.err) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.err)
			continue
		}
		if err == nil && string(wire) != c.wire {
			t.Errorf("%s: got %q, want %q", c.name, wire, c.wire)
		}
	}
}

func TestHeadersRead(t *testing.T) {
	cases := []struct {
		wire string
		want Msg
	}{
		{"NATS/1.0\r\nA: 1\r\n\r\n", Msg{Header: Header{"A": {"1"}}}},
		{"NATS/1.0\r\nA:1\r\nA:  2\r\na:3\r\n\r\n", Msg{Header: Header{"A": {"1", "2"}, "a": {"3"}}}},
		{"NATS/1.0 503\r\n\r\n", Msg{Status: 503}},
		{"NATS/1.0 503\r\nNats-Subject: none\r\n\r\n", Msg{Status: 503, Header: Header{"Nats-Subject": {"none"}}}},
		{"NATS/1.0 100 Idle Heartbeat\r\n\r\n", Msg{Status: 100, Description: "Idle Heartbeat"}},
		{"rubbish\r\nno colon here\r\n:no name", Msg{}},
	}
	for _, c := range cases {
		var got Msg
		readHeader([]byte(c.wire), &got)
		delete(got.Header, "") // a nameless line is no mistake of ours
		if len(got.Header) == 0 {
			got.Header = nil
		}
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: got %+v, want %+v", c.wire, got, c.want)
		}
	}
}

// Whatever a stranger puts in a header block: what we can encode again reads back the same.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("NATS/1.0 503 x\r\nA: 1\r\nA: 2\r\n\r\n"))
	f.Add([]byte("NATS/1.0\r\n:\r\n\r\n"))
	f.Fuzz(func(t *testing.T, block []byte) {
		var m, again Msg
		readHeader(block, &m)
		wire, err := appendHeader(nil, m.Header)
		if err != nil || len(m.Header) == 0 {
			return
		}
		readHeader(wire, &again)
		if !reflect.DeepEqual(m.Header, again.Header) {
			t.Fatalf("%q read as %v, and written and read again as %v", block, m.Header, again.Header)
		}
		if second, _ := appendHeader(nil, again.Header); !bytes.Equal(wire, second) {
			t.Fatalf("%q written again as %q", wire, second)
		}
	})
}

// The ring against a slice.
func TestRingIsAQueue(t *testing.T) {
	var r ring
	var model []*Msg
	seed := uint32(1)
	for step := range 20000 {
		seed = seed*1664525 + 1013904223
		if seed>>31 == 0 && len(model) < 3000 || step < 2500 {
			m := &Msg{Status: step}
			r.push(m, 3)
			model = append(model, m)
		} else if len(model) > 0 {
			if got := r.pop(); got != model[0] {
				t.Fatalf("step %d: got message %d, want %d", step, got.Status, model[0].Status)
			}
			model = model[1:]
		}
		if r.count != len(model) || r.bytes != 3*len(model) {
			t.Fatalf("step %d: count %d bytes %d, want %d messages", step, r.count, r.bytes, len(model))
		}
	}
}
