package parser

import (
	"strings"
	"testing"
)

func BenchmarkNext(b *testing.B) {
	for _, bench := range []struct {
		name    string
		dialect Dialect
		wire    string
	}{
		{"PUB/16", FromClient, "PUB sensors.hall 16\r\n" + strings.Repeat("x", 16) + "\r\n"},
		{"PUB/128", FromClient, "PUB sensors.hall.temperature.7 128\r\n" + strings.Repeat("x", 128) + "\r\n"},
		{"PUB/reply", FromClient, "PUB sensors.hall _INBOX.abcdefghijklmnopqrstuv.1 16\r\n" + strings.Repeat("x", 16) + "\r\n"},
		{"HPUB", FromClient, "HPUB sensors.hall 18 34\r\nNATS/1.0\r\nA: 1\r\n\r\n" + strings.Repeat("x", 16) + "\r\n"},
		{"SUB", FromClient, "SUB sensors.hall.* 12\r\n"},
		{"UNSUB", FromClient, "UNSUB 12 1\r\n"},
		{"PING", FromClient, "PING\r\n"},
		{"MSG/16", FromServer, "MSG sensors.hall 12 16\r\n" + strings.Repeat("x", 16) + "\r\n"},
		{"LMSG/16", FromLeaf, "LMSG sensors.hall 16\r\n" + strings.Repeat("x", 16) + "\r\n"},
		{"LMSG/queues", FromLeaf, "LMSG sensors.hall | g1 g2 16\r\n" + strings.Repeat("x", 16) + "\r\n"},
	} {
		b.Run(bench.name, func(b *testing.B) {
			const n = 64
			in := []byte(strings.Repeat(bench.wire, n))
			p := &Parser{Dialect: bench.dialect, MaxControlLine: DefaultMaxControlLine, MaxPayload: DefaultMaxPayload}
			op := new(Op)
			b.SetBytes(int64(len(bench.wire)))
			b.ReportAllocs()
			rest := in
			for b.Loop() {
				used, err := p.Next(rest, op)
				if err != nil || used != len(bench.wire) {
					b.Fatal(used, err)
				}
				if rest = rest[used:]; len(rest) == 0 {
					rest = in
				}
			}
		})
	}
}
