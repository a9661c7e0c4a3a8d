package parser

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// fuzzLimits are small, so that the fuzzer reaches them.
func fuzzLimits(dialect Dialect) *Parser {
	return &Parser{Dialect: dialect, MaxControlLine: 48, MaxPayload: 64}
}

func cutAnywhere(f *testing.F, dialect Dialect, seeds ...string) {
	for i, seed := range seeds {
		f.Add([]byte(seed), uint8(i))
	}
	f.Add([]byte(strings.Join(seeds, "")), uint8(3))
	f.Fuzz(func(t *testing.T, wire []byte, step uint8) {
		p := fuzzLimits(dialect)
		whole, restWhole, errWhole := read(p, wire, len(wire)+1)
		cut, restCut, errCut := read(p, wire, int(step)+1)
		if !slices.Equal(whole, cut) || restWhole != restCut && errWhole == nil || errWhole != errCut {
			t.Fatalf("%q cut every %d bytes:\n got %q %v\nwant %q %v", wire, int(step)+1, cut, errCut, whole, errWhole)
		}
		roundTrip(t, p, wire)
	})
}

// roundTrip writes what it reads, and reads and writes that again.
func roundTrip(t *testing.T, p *Parser, wire []byte) {
	roomy := &Parser{Dialect: p.Dialect, MaxControlLine: 4 * p.MaxControlLine, MaxPayload: p.MaxPayload}
	op, again := new(Op), new(Op)
	for len(wire) > 0 {
		used, err := p.Next(wire, op)
		if err != nil || used == 0 {
			return
		}
		op.HasMax = op.Max > 0 // a maximum of 0 is not written
		once := write(nil, op)
		n, err := roomy.Next(once, again)
		if err != nil || n != len(once) {
			t.Fatalf("%q was written as %q: %d, %v", wire[:used], once, n, err)
		}
		// The text of SUB may have had more blanks.
		if op.Verb == Sub {
			op.Args, again.Args = nil, nil
		}
		if show(op) != show(again) {
			t.Fatalf("%q\nread    %s\nwritten %q\nread    %s", wire[:used], show(op), once, show(again))
		}
		if twice := write(nil, again); !bytes.Equal(once, twice) {
			t.Fatalf("written %q, then %q", once, twice)
		}
		wire = wire[used:]
	}
}

// write encodes an operation, with its payload.
func write(dst []byte, op *Op) []byte {
	total := len(op.Header) + len(op.Payload)
	switch op.Verb {
	case Ping:
		return AppendPing(dst)
	case Pong:
		return AppendPong(dst)
	case OK:
		return AppendOK(dst)
	case Err:
		return AppendErr(dst, op.Args)
	case Connect:
		return AppendConnect(dst, op.Args)
	case Info:
		return AppendInfo(dst, op.Args)
	case Sub:
		return AppendSub(dst, op.Subject, op.Queue, op.Sid)
	case Unsub:
		return AppendUnsub(dst, op.Sid, op.Max)
	case LeafSub:
		return AppendLeafSub(dst, op.Subject, op.Queue, op.Weight)
	case LeafUnsub:
		return AppendLeafUnsub(dst, op.Subject, op.Queue)
	case Pub:
		dst = AppendPub(dst, op.Subject, op.Reply, total)
	case HPub:
		dst = AppendHPub(dst, op.Subject, op.Reply, len(op.Header), total)
	case Msg:
		dst = AppendMsg(dst, op.Subject, op.Sid, op.Reply, total)
	case HMsg:
		dst = AppendHMsg(dst, op.Subject, op.Sid, op.Reply, len(op.Header), total)
	case LeafMsg:
		dst = AppendLeafMsg(dst, op.Subject, op.Reply, op.Queues, total)
	case LeafHMsg:
		dst = AppendLeafHMsg(dst, op.Subject, op.Reply, op.Queues, len(op.Header), total)
	}
	dst = append(dst, op.Header...)
	dst = append(dst, op.Payload...)
	return append(dst, CRLF...)
}

func FuzzCutAnywhereFromClient(f *testing.F) {
	cutAnywhere(f, FromClient, "CONNECT {\"verbose\":false}\r\n", "PUB a.b 5\r\nhello\r\n", "PUB a.b c 0\r\n\r\n",
		"HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "HPUB a r 0 2\r\nhi\r\n", "SUB foo.* q 1\r\n", "sub\t>  1 \n", "UNSUB 1 5\r\n",
		"PING\r\n", "PONGx\n", "+OK\r\n", "-ERR 'Stale Connection'\r\n", "INFO {}\r\n", "PUB a\rb 2\r\nhi\r\n",
		"PUB aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa 1\r\nx\r\n", "PUB a 65\r\n", "PUB a 3\r\nabcX", "X")
}

func FuzzCutAnywhereFromServer(f *testing.F) {
	cutAnywhere(f, FromServer, "INFO {\"max_payload\":1}\r\n", "MSG a.b 1 5\r\nhello\r\n", "MSG a.b 1 c 0\r\n\r\n",
		"HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", "HMSG a 1 r 0 2\r\nhi\r\n", "PING\r\n", "PONG\r\n", "+OK\r\n",
		"-ERR 'Authorization Violation'\r\n", "MSG a 1 b c 2\r\n")
}

func FuzzCutAnywhereFromLeaf(f *testing.F) {
	cutAnywhere(f, FromLeaf, "LS+ a\r\n", "LS+ a.* q 3\r\n", "LS- a\r\n", "LS- a q\r\n", "LMSG a 1\r\nx\r\n", "LMSG a r 1\r\nx\r\n",
		"LMSG a | q1 q2 1\r\nx\r\n", "LMSG a + r q1 q2 q3 1\r\nx\r\n", "HMSG a 1 1\r\nx\r\n", "HMSG a + r q 1 2\r\nhi\r\n",
		"CONNECT {}\r\n", "INFO {}\r\n", "PING\r\n", "LMSG a + + q 1\r\nx\r\n", "LMSG a r q 1\r\nx\r\n")
}

// The fast splitting against the obvious one.
func FuzzSplitAgainstModel(f *testing.F) {
	f.Add([]byte("a b 1\r\nrest"))
	f.Add([]byte("sensors.hall.temperature \t _INBOX.abcdefghijkl\rx 16 \r\r\n"))
	f.Add([]byte("\x00\x1f\x7f\x80\xff \x0b\x0c\n"))
	f.Fuzz(func(t *testing.T, args []byte) {
		in := append([]byte("X"), args...) // something comes before the arguments, always
		var w words
		count, end, next := w.split(in, 1)
		text, _, found := bytes.Cut(in[1:], lf)
		if !found {
			if next != 0 {
				t.Fatalf("%q: found an end at %d", args, next)
			}
			return
		}
		wantNext := 1 + len(text) + 1
		text = bytes.TrimSuffix(text, []byte{'\r'})
		want := bytes.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
		if count != len(want) || next != wantNext || end != 1+len(text) {
			t.Fatalf("%q: %d words, end %d, next %d; want %q, %d, %d", args, count, end, next, want, 1+len(text), wantNext)
		}
		for i := range min(count, keptWords) {
			if got := w.at(in, i); !bytes.Equal(got, want[i]) {
				t.Fatalf("%q: word %d is %q, want %q", args, i, got, want[i])
			}
		}
		if list := appendWords(nil, text); !slices.EqualFunc(list, want, bytes.Equal) {
			t.Fatalf("%q: got %q, want %q", args, list, want)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte("NATS/1.0\r\nA: 1\r\nB:2\r\nA: 3\r\n\r\n"), "A", "x")
	f.Add([]byte("NATS/1.0 503\r\n\r\n"), "Nats-Subject", "a.b")
	f.Add([]byte("NATS/1.0 100 Idle Heartbeat\r\n\r\n"), "A", "line\r\nInjected: yes")
	f.Add([]byte("no block\n:\n : \nA"), "", "")
	f.Add([]byte("\n:\r\r"), "0", "0") // found: a second CR was part of the value
	f.Fuzz(func(t *testing.T, block []byte, name, value string) {
		HeaderStatus(block)
		for name, value := range Headers(block) {
			if bytes.ContainsAny(name, ":\n") || bytes.ContainsAny(value, "\n") {
				t.Fatalf("%q: %q, %q", block, name, value)
			}
		}
		if !ValidHeaderName(name) {
			return
		}
		// The new line is found, and all other lines are still there.
		with := AppendHeaderWith(nil, AppendHeaderWithout(nil, block, name), name, value)
		got, ok := HeaderValue(with, name)
		want := trimBlanks([]byte(strings.NewReplacer("\r", " ", "\n", " ").Replace(value)))
		if !ok || !bytes.Equal(got, want) {
			t.Fatalf("%q with %q: %q gives %q, %v; want %q", block, name, with, got, ok, want)
		}
		if got, want := others(with, name), others(block, name); !slices.Equal(got, want) {
			t.Fatalf("%q became %q: %q, was %q", block, with, got, want)
		}
		if !bytes.HasSuffix(with, []byte("\r\n\r\n")) {
			t.Fatalf("%q has no end", with)
		}
	})
}

// others are a block's lines that do not have that name.
func others(block []byte, not string) (list []string) {
	for name, value := range Headers(block) {
		if string(name) != not {
			list = append(list, string(name)+":"+string(value))
		}
	}
	return list
}
