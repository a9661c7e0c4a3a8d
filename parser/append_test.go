package parser

import (
	"strings"
	"testing"
)

func TestAppendWritesTheWire(t *testing.T) {
	none, reply := []byte(nil), []byte("r")
	noQueues, queues := []string(nil), []string{"q1", "q2"}
	for _, test := range []struct {
		got  []byte
		want string
	}{
		{AppendPing(nil), "PING\r\n"},
		{AppendPong(nil), "PONG\r\n"},
		{AppendOK(nil), "+OK\r\n"},
		{AppendErr(nil, "Stale Connection"), "-ERR 'Stale Connection'\r\n"},
		{AppendInfo(nil, "{}"), "INFO {}\r\n"},
		{AppendConnect(nil, []byte("{}")), "CONNECT {}\r\n"},
		{AppendPub(nil, "a", "", 0), "PUB a 0\r\n"},
		{AppendPub(nil, []byte("a"), "r", 10), "PUB a r 10\r\n"},
		{AppendHPub(nil, "a", none, 12, 999), "HPUB a 12 999\r\n"},
		{AppendHPub(nil, "a", reply, 12, 1000), "HPUB a r 12 1000\r\n"},
		{AppendSub(nil, "a", "", "1"), "SUB a 1\r\n"},
		{AppendSub(nil, "a", "q", []byte("1")), "SUB a q 1\r\n"},
		{AppendUnsub(nil, "1", 0), "UNSUB 1\r\n"},
		{AppendUnsub(nil, "1", 18446744073709551615), "UNSUB 1 18446744073709551615\r\n"},
		{AppendMsg(nil, "a", "1", nil, 99), "MSG a 1 99\r\n"},
		{AppendMsg(nil, []byte("a"), "1", reply, 100), "MSG a 1 r 100\r\n"},
		{AppendHMsg(nil, "a", "1", nil, 9, 9), "HMSG a 1 9 9\r\n"},
		{AppendHMsg(nil, "a", "1", reply, 12, 123456), "HMSG a 1 r 12 123456\r\n"},
		{AppendLeafSub(nil, "a", "", 7), "LS+ a\r\n"},
		{AppendLeafSub(nil, "a", "q", 7), "LS+ a q 7\r\n"},
		{AppendLeafSub(nil, "a", "q", 0), "LS+ a q 1\r\n"},
		{AppendLeafUnsub(nil, "a", ""), "LS- a\r\n"},
		{AppendLeafUnsub(nil, "a", "q"), "LS- a q\r\n"},
		{AppendLeafMsg(nil, "a", nil, noQueues, 1), "LMSG a 1\r\n"},
		{AppendLeafMsg(nil, "a", reply, noQueues, 1), "LMSG a r 1\r\n"},
		{AppendLeafMsg(nil, "a", nil, queues, 1), "LMSG a | q1 q2 1\r\n"},
		{AppendLeafMsg(nil, "a", reply, queues, 1), "LMSG a + r q1 q2 1\r\n"},
		{AppendLeafHMsg(nil, "a", nil, noQueues, 1, 2), "HMSG a 1 2\r\n"},
		{AppendLeafHMsg(nil, "a", reply, noQueues, 1, 2), "HMSG a r 1 2\r\n"},
		{AppendLeafHMsg(nil, "a", nil, queues, 1, 2), "HMSG a | q1 q2 1 2\r\n"},
		{AppendLeafHMsg(nil, "a", reply, queues, 1, 2), "HMSG a + r q1 q2 1 2\r\n"},
	} {
		if string(test.got) != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestAppendAllocatesNothing(t *testing.T) {
	dst := make([]byte, 0, 1<<10)
	subject, sid, reply := []byte("sensors.hall"), "12", []byte("_INBOX.abc.1")
	queues := []string{"q1", "q2"}
	for name, write := range map[string]func(){
		"MSG":     func() { AppendMsg(dst, subject, sid, reply, 123456) },
		"HMSG":    func() { AppendHMsg(dst, subject, sid, reply, 12, 123456) },
		"PUB":     func() { AppendPub(dst, subject, reply, 16) },
		"HPUB":    func() { AppendHPub(dst, subject, reply, 12, 16) },
		"LMSG":    func() { AppendLeafMsg(dst, subject, reply, queues, 16) },
		"HMSG |":  func() { AppendLeafHMsg(dst, subject, nil, queues, 12, 16) },
		"SUB":     func() { AppendSub(dst, subject, "q", sid) },
		"UNSUB":   func() { AppendUnsub(dst, sid, 12345) },
		"LS+":     func() { AppendLeafSub(dst, subject, "q", 12) },
		"LS-":     func() { AppendLeafUnsub(dst, subject, "q") },
		"-ERR":    func() { AppendErr(dst, "Stale Connection") },
		"headers": func() { AppendHeaderEnd(AppendHeader(AppendHeaderStatus(dst, 503, ""), "Nats-Subject", subject)) },
	} {
		if n := testing.AllocsPerRun(100, write); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestHeaderBlocks(t *testing.T) {
	block := AppendHeaderStatus(nil, 503, "")
	block = AppendHeaderEnd(AppendHeader(block, "Nats-Subject", "none"))
	if want := "NATS/1.0 503\r\nNats-Subject: none\r\n\r\n"; string(block) != want {
		t.Fatalf("got %q, want %q", block, want)
	}
	if got, want := AppendHeaderStatus(nil, 100, "Idle\nHeartbeat"), "NATS/1.0 100 Idle Heartbeat\r\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := AppendHeader(nil, "A", "x\r\nEvil: yes"), "A: x  Evil: yes\r\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	block = []byte("NATS/1.0\r\nA: 1\r\nB:2 \r\na: 3\r\nA:\r\n\r\nAfter: end\r\n")
	for _, test := range []struct {
		name, value string
		ok          bool
	}{{"A", "1", true}, {"B", "2", true}, {"a", "3", true}, {"After", "", false}, {"", "", false}} {
		if value, ok := HeaderValue(block, test.name); string(value) != test.value || ok != test.ok {
			t.Errorf("%s: got %q, %v, want %q, %v", test.name, value, ok, test.value, test.ok)
		}
	}
	if got, want := AppendHeaderWithout(nil, block, "A"), "NATS/1.0\r\nB:2 \r\na: 3\r\n\r\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := AppendHeaderWith(nil, nil, "A", "1"), "NATS/1.0\r\nA: 1\r\n\r\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := AppendHeaderWith(nil, []byte("NATS/1.0 404\r\nB: 2\r\n\r\n"), "A", "1"), "NATS/1.0 404\r\nB: 2\r\nA: 1\r\n\r\n"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHeaderStatus(t *testing.T) {
	for _, test := range []struct {
		block       string
		status      int
		description string
		ok          bool
	}{
		{"NATS/1.0\r\n\r\n", 0, "", true},
		{"NATS/1.0 503\r\n\r\n", 503, "", true},
		{"NATS/1.0 408 Request Timeout\r\nA: 1\r\n\r\n", 408, "Request Timeout", true},
		{"NATS/1.0   100\tIdle Heartbeat \r\n\r\n", 100, "Idle Heartbeat", true},
		{"NATS/1.0 \r\n\r\n", 0, "", true},
		{"NATS/1.0 abc\r\n\r\n", 0, "", false},
		{"NATS/1.0x\r\n\r\n", 0, "", false},
		{"HTTP/1.1 200\r\n\r\n", 0, "", false},
		{"", 0, "", false},
	} {
		status, description, ok := HeaderStatus([]byte(test.block))
		if status != test.status || string(description) != test.description || ok != test.ok {
			t.Errorf("%q: got %d %q %v", test.block, status, description, ok)
		}
	}
}

func TestHeaderNames(t *testing.T) {
	for name, want := range map[string]bool{
		"Nats-Subject": true, "a": true, "x~!": true,
		"": false, "a b": false, "a:b": false, "a\r": false, "a\n": false, "\x7f": false, "é": false,
	} {
		if ValidHeaderName(name) != want {
			t.Errorf("%q: want %v", name, want)
		}
	}
}

func BenchmarkAppendMsg(b *testing.B) {
	dst := make([]byte, 0, 1<<10)
	subject, sid, reply := []byte("sensors.hall"), "12", []byte("_INBOX."+strings.Repeat("x", 22)+".1")
	b.Run("plain", func(b *testing.B) {
		for b.Loop() {
			AppendMsg(dst, subject, sid, nil, 128)
		}
	})
	b.Run("reply", func(b *testing.B) {
		for b.Loop() {
			AppendMsg(dst, subject, sid, reply, 16)
		}
	})
}
