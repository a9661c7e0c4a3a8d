//go:build linux

package peers

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/edgebus-io/edgebus/tests/process"
)

// chunk is one chunk of an S2 stream, with the right checksum if that is to be.
func chunk(kind byte, body []byte, length int) []byte {
	return append([]byte{kind, byte(length), byte(length >> 8), byte(length >> 16)}, body...)
}

// summed puts S2's checksum of text before a body.
func summed(text, body []byte) []byte {
	sum := crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))
	masked := sum>>15 | sum<<17
	return append(binary.LittleEndian.AppendUint32(nil, masked+0xa282ead8), body...)
}

const s2Identifier = "\xff\x06\x00\x00S2sTwO"

// malice is what nobody sends who means well: on a plain link, and within a compressed one.
var malice = []struct {
	name       string
	compressed bool
	text       []byte
}{
	{"no protocol", false, []byte("\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")},
	{"endless line", false, []byte("\r\nLS+ " + strings.Repeat("x", 200_000))},
	{"enormous message", false, []byte("\r\nLMSG a 999999999\r\n")},
	{"number of many digits", false, []byte("\r\nLMSG a 99999999999999999999999999\r\n")},
	{"headers longer than the message", false, []byte("\r\nHMSG a 20 10\r\n" + strings.Repeat("x", 30))},
	{"negative weight", false, []byte("\r\nLS+ a q -1\r\nLMSG a\r\n")},
	{"no S2", true, []byte("PING\r\nPING\r\nPING\r\nPING\r\n")},
	{"unknown chunk", true, chunk(0x02, []byte("1234"), 4)},
	{"wrong checksum", true, chunk(0x01, []byte("1234PING\r\n"), 10)},
	{"chunk without a checksum", true, chunk(0x00, []byte("12"), 2)},
	{"longest chunk", true, chunk(0x00, bytes.Repeat([]byte{0xff}, 200_000), 1<<24-1)},
	{"bomb of 4 GiB", true, chunk(0x00, append([]byte("1234"), 0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0), 11)},
	{"copy from before the beginning", true, chunk(0x00, summed([]byte("aaaaaaaa"), []byte{8, 0x15, 0xff}), 7)},
	{"another stream", true, []byte("\xff\x06\x00\x00sNaPpX")},
	{"garbage that is well packed", true, chunk(0x01, summed([]byte("\r\nGARBAGE a b c d\r\n"), []byte("\r\nGARBAGE a b c d\r\n")), 4+19)},
	{"many identifiers, then garbage", true, append([]byte(strings.Repeat(s2Identifier, 1000)), 0x02, 0, 0, 0)},
}

// Garbage ends the link on which it comes and nothing else: a new one is made, local clients notice
// nothing, and memory stays.
func TestGarbageEndsTheLinkAndNothingElse(t *testing.T) {
	onPairsAtOnce(t, nil, func(t *testing.T, p pair) {
		for _, compressed := range []bool{false, true} {
			if compressed && p.old() {
				continue
			}
			mode := map[bool]string{false: "off", true: "s2_fast"}[compressed]
			hubs, leafs := sinceCompression(p.hub, "compression: "+mode+"\n"), sinceCompression(p.leaf, "compression: "+mode+"\n")
			hub, between := layout{kind: p.hub, block: hubs}.startBehind(t, weather{})
			leaf := layout{kind: p.leaf, block: leafs + quickly(p.leaf), remotes: []string{remote(between.addr)}}.start(t)
			h, l := hub.client(t), leaf.client(t)
			agree(t, h, l)
			local := []*load{loadOn(t, hub, "local"), loadOn(t, leaf, "local.too")}
			memory := []int64{hub.RSS(), leaf.RSS()}
			ways := bothWays
			if p.leaf == process.Old {
				ways = []way{up} // which takes a second each time
			}
			for _, each := range malice {
				if each.compressed != compressed {
					continue
				}
				for _, w := range ways {
					began, flown := time.Now(), local[w].received.Load()
					link := between.last()
					link.inject(w, each.text)
					// Something must follow where the garbage is not yet all of a frame.
					l.Publish("anything", nil)
					process.Eventually(t, patience, each.name+": a new link", func() bool { return between.last() != link })
					agree(t, h, l)
					if local[w].received.Load() == flown {
						t.Errorf("%s: no local message in %v", each.name, time.Since(began))
					}
				}
			}
			for i, n := range []*node{hub, leaf} {
				if grown := n.PeakRSS() - memory[i]; n.Kind == process.Edgebus && grown > 16<<20 && !process.Raced() {
					t.Errorf("compression %s: memory of %s has grown by %d bytes", mode, n.name, grown)
				}
				if !n.Running() {
					t.Errorf("%s has ended", n.name)
				}
			}
			local[0].end()
			local[1].end()
		}
	})
}
