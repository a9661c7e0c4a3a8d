package parser

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// show writes an operation as one line, with every field that is not empty.
func show(op *Op) string {
	var b strings.Builder
	b.WriteString(op.Verb.String())
	for _, field := range []struct {
		name  string
		value []byte
	}{
		{"subject", op.Subject}, {"reply", op.Reply}, {"queue", op.Queue}, {"sid", op.Sid},
		{"args", op.Args}, {"header", op.Header}, {"payload", op.Payload},
	} {
		if len(field.value) > 0 {
			fmt.Fprintf(&b, " %s=%q", field.name, field.value)
		}
	}
	if len(op.Queues) > 0 {
		fmt.Fprintf(&b, " queues=%q", op.Queues)
	}
	if op.HasMax {
		fmt.Fprintf(&b, " max=%d", op.Max)
	}
	if op.Weight != 0 {
		fmt.Fprintf(&b, " weight=%d", op.Weight)
	}
	return b.String()
}

// read feeds wire to p in pieces of step bytes and collects the operations until an error.
func read(p *Parser, wire []byte, step int) (ops []string, rest int, err error) {
	op := new(Op)
	from := 0
	for to := 0; to < len(wire); {
		to = min(len(wire), to+step)
		for from < to {
			// No capacity behind the end: a read past it would panic.
			used, err := p.Next(slices.Clip(wire[from:to:to]), op)
			if err != nil {
				return ops, len(wire) - from, err
			}
			if used == 0 {
				break
			}
			ops = append(ops, show(op))
			from += used
		}
	}
	return ops, len(wire) - from, nil
}

// Clients and leafs are read as nats-server 2.15.2 was seen to read them over raw sockets;
// where a row differs from it, its comment says how.
var accepted = []struct {
	dialect Dialect
	wire    string
	want    string
}{
	// Verbs, line ends, what follows a verb.
	{FromClient, "PING\r\n", `PING`},
	{FromClient, "pInG\n", `PING`},
	{FromClient, "PINGgarbage and more\r\n", `PING`},
	{FromClient, "PONG\t\n", `PONG`},
	{FromClient, "+ok\r\n", `+OK`},
	{FromClient, "+OKxyz\n", `+OK`},
	{FromClient, "-ERR 'x y' \r\n", `-ERR args="x y"`},
	{FromClient, "-ERR x'\r\n", `-ERR args="x'"`},
	{FromClient, "-ERR \r\n", `-ERR`},
	{FromClient, "CONNECT {\"a\":1}\r\n", `CONNECT args="{\"a\":1}"`},
	{FromClient, "CONNECT\t {} \n", `CONNECT args="{}"`},
	{FromClient, "connect{}\r\n", `CONNECT args="{}"`},
	{FromClient, "INFO{}\r\n", `INFO args="{}"`},

	// Messages from a client.
	{FromClient, "PUB a 2\r\nhi\r\n", `PUB subject="a" payload="hi"`},
	{FromClient, "PUB a 2\nhi\r\n", `PUB subject="a" payload="hi"`},
	{FromClient, "pUb\ta\t\t 2 \t\r\nhi\r\n", `PUB subject="a" payload="hi"`},
	{FromClient, "PUB   a b 2 \r\nhi\r\n", `PUB subject="a" reply="b" payload="hi"`},
	{FromClient, "PUB a 0\r\n\r\n", `PUB subject="a"`},
	{FromClient, "PUB a 000000002\r\nhi\r\n", `PUB subject="a" payload="hi"`},
	{FromClient, "PUB a 4\r\n\r\n\r\n\r\n", `PUB subject="a" payload="\r\n\r\n"`},
	{FromClient, "PUB sensors.hall.temperature.17 _INBOX.abcdefgh.ijkl 3\r\nyes\r\n",
		`PUB subject="sensors.hall.temperature.17" reply="_INBOX.abcdefgh.ijkl" payload="yes"`},
	{FromClient, "PUB a\x01b\x7f\x80\xff.\x00\x1f 2\r\nhi\r\n", `PUB subject="a\x01b\x7f\x80\xff.\x00\x1f" payload="hi"`},
	{FromClient, "PUB \x00 2\r\nhi\r\n", `PUB subject="\x00" payload="hi"`},
	{FromClient, "PUB a\rb 2\r\nhi\r\n", `PUB subject="a\rb" payload="hi"`},
	{FromClient, "PUB a\r 2\r\nhi\r\n", `PUB subject="a\r" payload="hi"`},
	{FromClient, "HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", `HPUB subject="a" header="NATS/1.0\r\n\r\n" payload="hi"`},
	{FromClient, "hpub a b 2 2\r\nhi\r\n", `HPUB subject="a" reply="b" header="hi"`},
	{FromClient, "HPUB a 0 2\r\nhi\r\n", `HPUB subject="a" payload="hi"`},

	// Interest of a client.
	{FromClient, "SUB a 1\r\n", `SUB subject="a" sid="1" args="a 1"`},
	{FromClient, "SUB  a.* \t q  one \r\n", "SUB subject=\"a.*\" queue=\"q\" sid=\"one\" args=\"a.* \\t q  one\""},
	{FromClient, "sub a 1\n", `SUB subject="a" sid="1" args="a 1"`},
	{FromClient, "UNSUB 1\r\n", `UNSUB sid="1"`},
	{FromClient, "unsub\t1 5\r\n", `UNSUB sid="1" max=5`},
	{FromClient, "UNSUB 1 0\r\n", `UNSUB sid="1" max=0`},
	{FromClient, "UNSUB 1 -1\r\n", `UNSUB sid="1" max=0`},
	{FromClient, "UNSUB 1 x\r\n", `UNSUB sid="1" max=0`},
	{FromClient, "UNSUB 1 999999999\r\n", `UNSUB sid="1" max=999999999`},
	{FromClient, "UNSUB 1 99999999999\r\n", `UNSUB sid="1" max=0`},

	// What a server says, as nats.go reads it.
	{FromServer, "INFO {}\r\n", `INFO args="{}"`},
	{FromServer, "MSG a 1 2\r\nhi\r\n", `MSG subject="a" sid="1" payload="hi"`},
	{FromServer, "msg\ta 1 b 2\r\nhi\r\n", `MSG subject="a" reply="b" sid="1" payload="hi"`},
	{FromServer, "MSG a 1  2\r\nhi\r\n", `MSG subject="a" sid="1" payload="hi"`},
	{FromServer, "HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\n", `HMSG subject="a" sid="1" header="NATS/1.0\r\n\r\n" payload="hi"`},
	{FromServer, "HMSG a 1 b 0 2\r\nhi\r\n", `HMSG subject="a" reply="b" sid="1" payload="hi"`},
	{FromServer, "-ERR 'Stale Connection'\r\n", `-ERR args="Stale Connection"`},
	{FromServer, "+OK\r\n", `+OK`},

	// A leaf link.
	{FromLeaf, "LS+ a\r\n", `LS+ subject="a"`},
	{FromLeaf, "ls+\ta\n", `LS+ subject="a"`},
	{FromLeaf, "LS+ a q 3\r\n", `LS+ subject="a" queue="q" weight=3`},
	{FromLeaf, "LS+ a q xx\r\n", `LS+ subject="a" queue="q" weight=1`},
	{FromLeaf, "LS+ a q 0\r\n", `LS+ subject="a" queue="q" weight=1`},
	{FromLeaf, "LS- a\r\n", `LS- subject="a"`},
	{FromLeaf, "LS- a q\r\n", `LS- subject="a" queue="q"`},
	{FromLeaf, "LMSG a 1\r\nx\r\n", `LMSG subject="a" payload="x"`},
	{FromLeaf, "LMSG a r 1\r\nx\r\n", `LMSG subject="a" reply="r" payload="x"`},
	{FromLeaf, "LMSG a | 1\r\nx\r\n", `LMSG subject="a" reply="|" payload="x"`},
	{FromLeaf, "LMSG a | q 1\r\nx\r\n", `LMSG subject="a" payload="x" queues=["q"]`},
	{FromLeaf, "LMSG a + r 1\r\nx\r\n", `LMSG subject="a" reply="r" payload="x"`},
	{FromLeaf, "lmsg a + r q1 q2 q3 q4 q5\tq6  1 \r\nx\r\n", `LMSG subject="a" reply="r" payload="x" queues=["q1" "q2" "q3" "q4" "q5" "q6"]`},
	{FromLeaf, "HMSG a 1 1\r\nx\r\n", `HMSG subject="a" header="x"`},
	{FromLeaf, "HMSG a r 0 1\r\nx\r\n", `HMSG subject="a" reply="r" payload="x"`},
	{FromLeaf, "HMSG a | q 1 2\r\nxy\r\n", `HMSG subject="a" header="x" payload="y" queues=["q"]`},
	{FromLeaf, "HMSG a + r q1 q2 1 2\r\nxy\r\n", `HMSG subject="a" reply="r" header="x" payload="y" queues=["q1" "q2"]`},
	{FromLeaf, "HMSG a + r 1 1\r\nx\r\n", `HMSG subject="a" reply="r" header="x"`},
}

func TestNextReadsWhatNatsServerReads(t *testing.T) {
	for _, test := range accepted {
		p := &Parser{Dialect: test.dialect}
		ops, rest, err := read(p, []byte(test.wire), len(test.wire))
		if err != nil || rest != 0 || len(ops) != 1 || ops[0] != test.want {
			t.Errorf("%q:\n got %s, %d bytes left, %v\nwant %s", test.wire, ops, rest, err, test.want)
		}
	}
}

// As above. A row must be refused at its last byte, or earlier, whatever follows.
var refused = []struct {
	dialect Dialect
	wire    string
	want    error
}{
	{FromClient, "X", ErrUnknownOp},
	{FromClient, "\r\n", ErrUnknownOp},
	{FromClient, " PING\r\n", ErrUnknownOp},
	{FromClient, "PX", ErrUnknownOp},
	{FromClient, "PUX", ErrUnknownOp},
	{FromClient, "PINX", ErrUnknownOp},
	{FromClient, "PUB\r", ErrUnknownOp},
	{FromClient, "PUB\n", ErrUnknownOp},
	{FromClient, "PUBx", ErrUnknownOp},
	{FromClient, "PUB\x00a 2\r\nhi\r\n", ErrUnknownOp}, // folding must not make it a blank
	{FromClient, "SUB\x00", ErrUnknownOp},
	{FromClient, "\x0bOK\r\n", ErrUnknownOp},
	{FromClient, "\rERR x\r\n", ErrUnknownOp},
	{FromClient, "UNSUB\r", ErrUnknownOp},
	{FromClient, "-ERR\r", ErrUnknownOp},
	{FromClient, "M", ErrUnknownOp},
	{FromClient, "L", ErrUnknownOp},
	{FromClient, "R", ErrUnknownOp},
	{FromClient, "A", ErrUnknownOp},
	{FromClient, "HM", ErrUnknownOp}, // nats-server waits for more before it refuses

	{FromClient, "PUB \r\n", ErrArgs},
	{FromClient, "PUB  \t\r\n", ErrArgs},
	{FromClient, "PUB 2\r\n", ErrArgs},
	{FromClient, "PUB a b c 2\r\n", ErrArgs},
	{FromClient, "PUB a b c d e f g h i 2\r\n", ErrArgs},
	{FromClient, "PUB a x\r\n", ErrArgs},
	{FromClient, "PUB a -1\r\n", ErrArgs},
	{FromClient, "PUB a +2\r\n", ErrArgs},
	{FromClient, "PUB a 2x\r\n", ErrArgs},
	{FromClient, "PUB a 2\r\r\n", ErrArgs},
	{FromClient, "PUB a 0000000002\r\n", ErrArgs}, // ten digits, whatever their value
	{FromClient, "PUB a 4294967298\r\n", ErrArgs}, // 2 in 32 bits
	{FromClient, "PUB a 18446744073709551618\r\n", ErrArgs},
	{FromClient, "HPUB a 2\r\n", ErrArgs},
	{FromClient, "HPUB a 3 2\r\n", ErrArgs},
	{FromClient, "HPUB a x 2\r\n", ErrArgs},
	{FromClient, "HPUB a 4294967296 2\r\n", ErrArgs},
	{FromClient, "HPUB a b c 1 2\r\n", ErrArgs},
	{FromClient, "SUB \r\n", ErrArgs},
	{FromClient, "SUB a\r\n", ErrArgs},
	{FromClient, "SUB a q 1 2\r\n", ErrArgs},
	{FromClient, "UNSUB \r\n", ErrArgs},
	{FromClient, "UNSUB 1 2 3\r\n", ErrArgs},

	{FromClient, "PUB a 1048577\r\n", ErrMaxPayload},
	{FromClient, "PUB a 999999999\r\n", ErrMaxPayload},
	{FromClient, "HPUB a 10 1048577\r\n", ErrMaxPayload},
	{FromLeaf, "LMSG a 1048577\r\n", ErrMaxPayload},

	{FromClient, "PUB a 2\r\nhiX", ErrTrailer},
	{FromClient, "PUB a 2\r\nhi\n", ErrTrailer},
	{FromClient, "PUB a 2\r\nhi\rX", ErrTrailer},
	{FromClient, "PUB a 2\r\nh\r\n\r\n", ErrTrailer},
	{FromClient, "PUB a 0\r\nPING", ErrTrailer},

	{FromServer, "PUB", ErrUnknownOp},
	{FromServer, "CONNECT", ErrUnknownOp},
	{FromServer, "MSG a 1\r\n", ErrArgs},
	{FromServer, "MSG a 1 b c 2\r\n", ErrArgs},
	{FromServer, "HMSG a 1 2\r\n", ErrArgs},
	{FromServer, "HMSG a 1 b c 2 2\r\n", ErrArgs},

	{FromLeaf, "LS+\r", ErrUnknownOp},
	{FromLeaf, "LSx", ErrUnknownOp},
	{FromLeaf, "MSG", ErrUnknownOp},
	{FromLeaf, "PUB", ErrUnknownOp}, // nats-server takes PUB and UNSUB; no leaf sends them
	{FromLeaf, "SUB", ErrUnknownOp}, // nats-server closes after the line, without -ERR
	{FromLeaf, "LS+ \r\n", ErrArgs},
	{FromLeaf, "LS+ a q\r\n", ErrArgs},
	{FromLeaf, "LS+ a q 1 2\r\n", ErrArgs},
	{FromLeaf, "LS- \r\n", ErrArgs},      // nats-server ignores it
	{FromLeaf, "LS- a q 1\r\n", ErrArgs}, // nats-server ignores it
	{FromLeaf, "LMSG a\r\n", ErrArgs},
	{FromLeaf, "LMSG a r q 1\r\n", ErrArgs},
	{FromLeaf, "LMSG a ++ q 1\r\n", ErrArgs},
	{FromLeaf, "LMSG a | q x\r\n", ErrArgs},
	{FromLeaf, "HMSG a 1\r\n", ErrArgs},
	{FromLeaf, "HMSG a 2 1\r\n", ErrArgs},
	{FromLeaf, "HMSG a | q 2 1\r\n", ErrArgs},
}

func TestNextRefusesWhatNatsServerRefuses(t *testing.T) {
	for _, test := range refused {
		for _, tail := range []string{"", "PING\r\n"} {
			p := &Parser{Dialect: test.dialect}
			wire := test.wire + tail
			ops, _, err := read(p, []byte(wire), len(wire))
			if err != test.want || len(ops) != 0 {
				t.Errorf("%q: got %s and %v, want %v", wire, ops, err, test.want)
			}
		}
	}
}

// nats-server closes without a word where arguments are wrong, and says so where a limit is.
func TestErrorsSayWhatThePeerIsTold(t *testing.T) {
	for err, wire := range map[error]string{
		ErrUnknownOp:   "Unknown Protocol Operation",
		ErrTrailer:     "Unknown Protocol Operation",
		ErrControlLine: "maximum control line exceeded",
		ErrMaxPayload:  "Maximum Payload Violation",
		ErrArgs:        "",
	} {
		var e *ProtocolError
		if !errors.As(err, &e) || e.Wire != wire || !e.Fatal || !strings.HasPrefix(err.Error(), "parser: ") {
			t.Errorf("%v: got %+v, want %q on the wire, fatal", err, e, wire)
		}
	}
}

func TestControlLineLimitCountsArgumentsOnly(t *testing.T) {
	const limit = 64
	fill := func(n int) string { return strings.Repeat("a", n) }
	blanks := func(n int) string { return strings.Repeat(" ", n) }
	for _, test := range []struct {
		name, wire string
		ok         bool
	}{
		{"SUB exact", "SUB " + fill(limit-2) + " 1\r\n", true},
		{"SUB exact, bare LF", "SUB " + fill(limit-2) + " 1\n", true},
		{"SUB over", "SUB " + fill(limit-1) + " 1\r\n", false},
		{"SUB over, bare LF", "SUB " + fill(limit-1) + " 1\n", false},
		{"SUB trailing blank counts", "SUB " + fill(limit-2) + " 1 \r\n", false},
		{"SUB leading blanks do not", "SUB" + blanks(limit) + fill(limit-2) + " 1\r\n", true},
		{"SUB leading blanks are bounded too", "SUB" + blanks(limit+1) + "a 1\r\n", false},
		{"SUB without end", "SUB " + fill(limit+1), false},
		{"SUB full, without end", "SUB " + fill(limit) + "\r", true},
		{"blanks without end", "SUB" + blanks(limit+1), false},
		{"PUB exact", "PUB " + fill(limit-2) + " 0\r\n\r\n", true},
		{"PUB over", "PUB " + fill(limit-1) + " 0\r\n\r\n", false},
		{"PUB over comes before bad arguments", "PUB " + fill(limit+1) + "\r\n", false},
		{"CONNECT exact", "CONNECT " + fill(limit) + "\r\n", true},
		{"CONNECT over", "CONNECT " + fill(limit+1) + "\r\n", false},
		{"CONNECT without end", "CONNECT" + fill(limit+1), false},
		{"-ERR over", "-ERR " + fill(limit+1), false},
		{"PING garbage", "PING" + fill(limit) + "\r\n", true},
		{"PING garbage without end", "PING" + fill(limit+1), false},
	} {
		p := &Parser{MaxControlLine: limit, MaxPayload: 10}
		for _, step := range []int{1, 7, len(test.wire)} {
			_, _, err := read(p, []byte(test.wire), step)
			if test.ok && err != nil || !test.ok && err != ErrControlLine {
				t.Errorf("%s, %d bytes at a time: got %v", test.name, step, err)
			}
		}
	}
}

func TestOverlongLineIsRefusedAtTheFirstByteTooMany(t *testing.T) {
	wire := []byte("SUB " + strings.Repeat("a", 1<<20))
	p := &Parser{}
	op := new(Op)
	for n := range wire {
		_, err := p.Next(wire[:n], op)
		if want := n-len("SUB ") > DefaultMaxControlLine; (err != nil) != want {
			t.Fatalf("after %d bytes: %v", n, err)
		}
		if err != nil {
			return
		}
	}
	t.Fatal("never refused")
}

func TestPayloadLimitIsLiteralUnlessZero(t *testing.T) {
	for _, test := range []struct {
		max, size int
		ok        bool
	}{
		{0, DefaultMaxPayload, true}, {0, DefaultMaxPayload + 1, false},
		{8, 8, true}, {8, 9, false}, {-1, 0, true}, {-1, 1, false},
		{2 << 20, 2 << 20, true},
	} {
		p := &Parser{MaxPayload: test.max}
		_, err := p.Next(fmt.Appendf(nil, "PUB a %d\r\n", test.size), new(Op))
		if test.ok && err != nil || !test.ok && err != ErrMaxPayload {
			t.Errorf("max %d, size %d: got %v", test.max, test.size, err)
		}
	}
}

func TestNeedIsTheLengthOfTheWholeOperation(t *testing.T) {
	wire := []byte("HPUB a.b 12 30\r\n" + strings.Repeat("x", 30) + "\r\n")
	line := len("HPUB a.b 12 30\r\n")
	p := &Parser{}
	op := new(Op)
	for n := range len(wire) {
		used, err := p.Next(wire[:n:n], op)
		if used != 0 || err != nil {
			t.Fatalf("%q: %d, %v", wire[:n], used, err)
		}
		need, verb := 0, None
		if n >= line {
			need = len(wire)
		}
		if n >= len("HPUB") {
			verb = HPub
		}
		if op.Need != need || op.Verb != verb {
			t.Fatalf("%q: need %d, verb %v; want %d, %v", wire[:n], op.Need, op.Verb, need, verb)
		}
	}
	if used, err := p.Next(wire, op); used != len(wire) || err != nil || op.Need != 0 {
		t.Fatal(used, err, op.Need)
	}
}

// An Op is used again for whatever comes next, so nothing of the last one may show through.
func TestOpKeepsNothingOfTheOneBefore(t *testing.T) {
	wires := map[Dialect][]string{
		FromClient: {"CONNECT {}\r\n", "PUB a b 2\r\nhi\r\n", "PUB a 2\r\nhi\r\n", "HPUB a b 1 2\r\nhi\r\n",
			"SUB a q 1\r\n", "SUB a 1\r\n", "UNSUB 1 5\r\n", "UNSUB 1\r\n", "PING\r\n", "-ERR 'x'\r\n"},
		FromServer: {"INFO {}\r\n", "MSG a 1 b 2\r\nhi\r\n", "MSG a 1 2\r\nhi\r\n", "HMSG a 1 1 2\r\nhi\r\n"},
		FromLeaf: {"LS+ a q 3\r\n", "LS+ a\r\n", "LS- a q\r\n", "LMSG a + r q 1\r\nx\r\n", "LMSG a 1\r\nx\r\n",
			"LMSG a | q1 q2 1\r\nx\r\n", "HMSG a | q 1 2\r\nhi\r\n", "HMSG a r 1 2\r\nhi\r\n"},
	}
	used := new(Op)
	next := func(op *Op, dialect Dialect, wire string) string {
		p := &Parser{Dialect: dialect}
		if n, err := p.Next([]byte(wire), op); n != len(wire) || err != nil {
			t.Fatalf("%q: %d, %v", wire, n, err)
		}
		return show(op)
	}
	for firstDialect, firsts := range wires {
		for _, first := range firsts {
			for dialect, seconds := range wires {
				for _, second := range seconds {
					next(used, firstDialect, first)
					got, want := next(used, dialect, second), next(new(Op), dialect, second)
					if got != want {
						t.Errorf("%q after %q:\n got %s\nwant %s", second, first, got, want)
					}
				}
			}
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	for _, test := range []struct {
		dialect Dialect
		wire    string
	}{
		{FromClient, "CONNECT {}\r\n"}, {FromClient, "PUB a b 2\r\nhi\r\n"}, {FromClient, "HPUB a b 1 2\r\nhi\r\n"},
		{FromClient, "SUB a q 1\r\n"}, {FromClient, "UNSUB 1 2\r\n"}, {FromClient, "PING\r\n"}, {FromClient, "PONG\r\n"},
		{FromClient, "+OK\r\n"}, {FromClient, "-ERR 'x'\r\n"},
		{FromServer, "INFO {}\r\n"}, {FromServer, "MSG a 1 b 2\r\nhi\r\n"}, {FromServer, "HMSG a 1 b 1 2\r\nhi\r\n"},
		{FromLeaf, "LS+ a q 1\r\n"}, {FromLeaf, "LS- a q\r\n"}, {FromLeaf, "LMSG a r 2\r\nhi\r\n"}, {FromLeaf, "HMSG a r 1 2\r\nhi\r\n"},
		{FromLeaf, "LMSG a + r q1 q2 q3 q4 q5 q6 q7 q8 q9 2\r\nhi\r\n"}, {FromLeaf, "HMSG a | q1 q2 q3 1 2\r\nhi\r\n"},
		// Mistakes and unfinished operations cost as little.
		{FromClient, "X"}, {FromClient, "PUB a\r\n"}, {FromClient, "PUB a 9999999\r\n"}, {FromClient, "PUB a 2\r\nhiX"},
		{FromClient, "PUB a 2\r\nh"}, {FromClient, "SUB a"}, {FromLeaf, "LMSG a | q1 q2 q3 q4 q5 2\r\nh"},
	} {
		p := &Parser{Dialect: test.dialect}
		op := new(Op)
		wire := []byte(test.wire)
		if n := testing.AllocsPerRun(100, func() { p.Next(wire, op) }); n != 0 {
			t.Errorf("%q: %v allocations", test.wire, n)
		}
	}
}
