package leafnode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/s2"
)

var framedModes = []Mode{ModeUncompressed, ModeFast, ModeBetter, ModeBest}

// natsWriter is the writer that nats-server has for a mode.
func natsWriter(w io.Writer, m Mode) *s2.Writer {
	options := []s2.WriterOption{s2.WriterConcurrency(1)}
	switch m {
	case ModeUncompressed:
		options = append(options, s2.WriterUncompressed())
	case ModeBetter:
		options = append(options, s2.WriterBetterCompression())
	case ModeBest:
		options = append(options, s2.WriterBestCompression())
	}
	return s2.NewWriter(w, options...)
}

// texts are things that are sent: short, long, compressible and not.
var texts = sync.OnceValue(func() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1500000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	var lines []byte
	for i := range 20000 {
		lines = fmt.Appendf(lines, "LMSG plant.line%d.temperature 24\r\n{\"celsius\":%06.2f,\"ok\":1}\r\n", i%7, r.Float64()*900)
	}
	return map[string][]byte{
		"one byte":   []byte("x"),
		"a ping":     []byte("PING\r\n"),
		"31 bytes":   noise[:31],
		"a message":  lines[:60],
		"4 KiB":      lines[:4<<10],
		"a chunk":    lines[:chunkData],
		"one more":   lines[:chunkData+1],
		"two chunks": lines[:2*chunkData],
		"lines":      lines,
		"noise":      noise,
		"60 times a": []byte("LMSG a.b 60\r\n" + strings.Repeat("a", 60) + "\r\n"),
	}
})

// unpack feeds a decoder with wire, cut into parts of step bytes, and returns what comes out.
func unpack(d *decoder, wire []byte, step int) (out []byte, err error) {
	var rest []byte
	need := 0
	for len(wire) > 0 {
		n := min(step, len(wire))
		rest, wire = append(rest, wire[:n]...), wire[n:]
		for len(rest) > 0 && len(rest) >= need {
			used, data, more, err := d.next(rest)
			if err != nil {
				return out, err
			}
			if used == 0 {
				if more <= len(rest) {
					return out, fmt.Errorf("needs %d bytes and has %d", more, len(rest))
				}
				need = more
				break
			}
			again, same, _, err := d.next(rest)
			if again != used || !bytes.Equal(same, data) || err != nil {
				return out, errors.New("the same chunk is another one when it is looked at again")
			}
			out = append(out, data...)
			d.release()
			rest, need = rest[used:], 0
		}
	}
	if len(rest) > 0 || d.plain > 0 || d.skip > 0 {
		return out, io.ErrUnexpectedEOF
	}
	return out, nil
}

func TestWhatIsPackedIsUnpackedTheSame(t *testing.T) {
	for name, text := range texts() {
		if (testing.Short() || raceEnabled) && len(text) > 2*chunkData {
			continue
		}
		for _, m := range framedModes {
			for _, step := range []int{1 << 30, 70001, 4096, 7} {
				if step == 7 && len(text) > 100<<10 {
					continue // it would take long and show nothing more
				}
				var e encoder
				var d decoder
				wire := e.append(nil, text, m)
				got, err := unpack(&d, wire, step)
				if err != nil || !bytes.Equal(got, text) {
					t.Fatalf("%s in %v, parts of %d: %d bytes of %d came out, %v", name, m, step, len(got), len(text), err)
				}
				if e.raw != uint64(len(text)) || e.wire != uint64(len(wire)) || d.raw != e.raw || d.wire != e.wire {
					t.Fatalf("%s in %v: counted %d → %d and %d → %d, were %d → %d", name, m, e.raw, e.wire, d.wire, d.raw, len(text), len(wire))
				}
			}
		}
	}
}

func TestAHeadAndItsDataAreAChunk(t *testing.T) {
	for name, text := range texts() {
		if (testing.Short() || raceEnabled) && len(text) > 2*chunkData {
			continue
		}
		if len(text) > chunkData {
			continue
		}
		var a, b encoder
		for range 2 {
			want := a.append(nil, text, ModeUncompressed)
			if got := append(b.head(nil, text), text...); !bytes.Equal(got, want) || a != b {
				t.Fatalf("%s: another chunk, or counted %+v instead of %+v", name, b, a)
			}
		}
	}
}

func TestOthersReadWhatWePack(t *testing.T) {
	for name, text := range texts() {
		if (testing.Short() || raceEnabled) && len(text) > 2*chunkData {
			continue
		}
		for _, m := range framedModes {
			var e encoder
			// A link sends many pieces one after the other; nothing in between adds nothing.
			wire := e.append(nil, text, m)
			wire = e.append(wire, nil, m)
			wire = e.append(wire, text, ModeFast)
			got, err := io.ReadAll(s2.NewReader(bytes.NewReader(wire), s2.ReaderMaxBlockSize(chunkData)))
			if err != nil || !bytes.Equal(got, append(bytes.Clone(text), text...)) {
				t.Fatalf("%s in %v: %d bytes came out, %v", name, m, len(got), err)
			}
			if bytes.Count(wire[:16], []byte("S2sTwO")) != 1 || len(text) > 1<<20 && m != ModeUncompressed && name == "lines" && len(wire) > len(text) {
				t.Fatalf("%s in %v: %d bytes packed into %d", name, m, 2*len(text), len(wire))
			}
		}
	}
}

func TestWhatNatsServerPacksIsUnpacked(t *testing.T) {
	for name, text := range texts() {
		if (testing.Short() || raceEnabled) && len(text) > 2*chunkData {
			continue
		}
		for _, m := range framedModes {
			// Each flush of nats-server's is a stream of its own.
			var wire bytes.Buffer
			w := natsWriter(&wire, m)
			for range 2 {
				w.Reset(&wire)
				if _, err := w.Write(text); err != nil {
					t.Fatal(err)
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
			}
			for _, step := range []int{1 << 30, 65536, 100} {
				var d decoder
				got, err := unpack(&d, wire.Bytes(), step)
				if err != nil || !bytes.Equal(got, append(bytes.Clone(text), text...)) {
					t.Fatalf("%s in %v, parts of %d: %d bytes came out, %v", name, m, step, len(got), err)
				}
			}
		}
	}
	// Other servers may compress several blocks at once, pad them and add an index.
	var wire bytes.Buffer
	w := s2.NewWriter(&wire, s2.WriterConcurrency(4), s2.WriterPadding(4096), s2.WriterAddIndex(), s2.WriterBlockSize(maxBlock))
	text := texts()["lines"]
	if err := w.EncodeBuffer(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var d decoder
	if got, err := unpack(&d, wire.Bytes(), 1000); err != nil || !bytes.Equal(got, text) {
		t.Fatalf("a stream with all that there is: %d bytes, %v", len(got), err)
	}
}

// The chunks of the protocol's transcripts.
func TestChunksAreByteForByteThoseOfNatsServer(t *testing.T) {
	for _, c := range []struct {
		text, wire string
		mode       Mode
	}{
		{"PING\r\n", "\x01\x0a\x00\x00\xab\x90\xcc\x24PING\r\n", ModeFast},
		{"PONG\r\n", "\x01\x0a\x00\x00\xf5\x6f\x1b\xe4PONG\r\n", ModeUncompressed},
		{
			"LMSG a.b 60\r\n" + strings.Repeat("a", 60) + "\r\n",
			"\x00\x1a\x00\x00\xea\xe3\x7c\x34\x4b\x34LMSG a.b 60\r\na\xea\x01\x00\x04\r\n", ModeFast,
		},
	} {
		var e encoder
		if got := e.append(nil, []byte(c.text), c.mode); string(got) != streamIdentifier+c.wire {
			t.Errorf("%q in %v:\n got %q\nwant %q", c.text, c.mode, got[len(streamIdentifier):], c.wire)
		}
		if got := e.append(nil, []byte(c.text), c.mode); string(got) != c.wire {
			t.Errorf("%q once more:\n got %q\nwant %q", c.text, got, c.wire)
		}
	}
}

func TestWhatDoesNotGetShorterIsLeft(t *testing.T) {
	noise := texts()["noise"][:1<<20]
	for _, m := range framedModes {
		var e encoder
		wire := e.append(nil, noise, m)
		if over := len(wire) - len(noise) - len(streamIdentifier); over != 16*(chunkHead+chunkSum) {
			t.Errorf("%v: noise of 16 chunks became longer by %d", m, over)
		}
		if kind := wire[len(streamIdentifier)]; kind != chunkPlain {
			t.Errorf("%v: noise in a chunk of type %d", m, kind)
		}
	}
}

// chunk makes one by hand.
func chunk(kind byte, length int, body string) string {
	head := binary.LittleEndian.AppendUint32(nil, uint32(kind)|uint32(length)<<8)
	return string(head) + body
}

func TestBadChunksAreRefused(t *testing.T) {
	good := func(text string, m Mode) string {
		e := encoder{isBegun: true}
		return string(e.append(nil, []byte(text), m))
	}
	plain := good("hello, world", ModeUncompressed)
	packed := good(strings.Repeat("hello, world", 20), ModeFast)
	large := good(strings.Repeat("x", chunkData), ModeUncompressed)
	bomb := string(binary.AppendUvarint(nil, maxBlock+1)) + "\x00x"
	for _, c := range []struct {
		name, wire string
		want       error
	}{
		{"no identifier", plain, errChunkIdentifier},
		{"text", "INFO {}\r\n", errChunkIdentifier},
		{"padding before the identifier", chunk(0xfe, 2, "ab"), errChunkIdentifier},
		{"snappy's identifier", "\xff\x06\x00\x00sNaPpY", errChunkIdentifier},
		{"a long identifier", "\xff\x07\x00\x00S2sTwO!", errChunkIdentifier},
		{"a plain sum", streamIdentifier + plain[:4] + "xxxx" + plain[8:], errChunkSum},
		{"a packed sum", streamIdentifier + packed[:4] + "xxxx" + packed[8:], errChunkSum},
		{"another byte", streamIdentifier + plain[:len(plain)-1] + "D", errChunkSum},
		{"another byte packed", streamIdentifier + packed[:11] + "J" + packed[12:], errChunkSum},
		{"an unknown type", streamIdentifier + chunk(0x02, 1, "x"), errChunkType},
		{"the last type that may not be skipped", streamIdentifier + chunk(0x7f, 1, "x"), errChunkType},
		{"no room for a sum", streamIdentifier + chunk(0x01, 3, "abc"), errChunkLength},
		{"no room for a sum packed", streamIdentifier + chunk(0x00, 3, "abc"), errChunkLength},
		{"no length", streamIdentifier + chunk(0x00, 4, "abcd"), errChunkLength},
		{"too long", streamIdentifier + chunk(0x01, maxBlock+5, ""), errChunkLength},
		{"much too long", streamIdentifier + chunk(0x00, 1<<24-1, ""), errChunkLength},
		{"a bomb", streamIdentifier + chunk(0x00, 4+len(bomb), "sum!"+bomb), errChunkLength},
		{"a bomb that is not all there", streamIdentifier + chunk(0x00, 1<<20, "sum!"+string(binary.AppendUvarint(nil, 1<<32-1))), errChunkLength},
		{"an offset before the beginning", streamIdentifier + chunk(0x00, 8, "sum!\x08\x05\x10\x00"), errChunkData},
		{"a cut", streamIdentifier + large[:len(large)-1], io.ErrUnexpectedEOF},
	} {
		var d decoder
		if _, err := unpack(&d, []byte(c.wire), 1<<30); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		d.release()
	}
}

func TestWhatIsLongAndPlainNeedsNoMemory(t *testing.T) {
	text := texts()["noise"][:maxBlock]
	var wire bytes.Buffer
	w := natsWriter(&wire, ModeUncompressed)
	if err := w.EncodeBuffer(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var d decoder
	var got []byte
	in := wire.Bytes()
	for len(in) > 0 {
		used, out, need, err := d.next(in[:min(1000, len(in))])
		if err != nil || used == 0 {
			t.Fatalf("after %d bytes: %d are needed, %v", len(got), need, err)
		}
		got = append(got, out...)
		d.release()
		in = in[used:]
	}
	if !bytes.Equal(got, text) {
		t.Fatal("something else came out")
	}
	// A wrong byte at its very beginning is noticed at its end.
	wire.Bytes()[30] ^= 1
	d = decoder{}
	if _, err := unpack(&d, wire.Bytes(), 1000); !errors.Is(err, errChunkSum) {
		t.Fatalf("a wrong byte: %v", err)
	}
}

func TestChunksOfTheWriterFitTheScratchSpace(t *testing.T) {
	if n := s2.MaxEncodedLen(chunkData); n > chunkData+chunkSlack {
		t.Fatalf("%d bytes may become %d", chunkData, n)
	}
}

func TestPackingAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes from pools at random")
	}
	text := texts()["lines"][:100<<10]
	for _, m := range framedModes {
		var e encoder
		var d decoder
		buf := e.append(nil, text, m)
		wire := buf
		if n := testing.AllocsPerRun(50, func() { wire = e.append(buf[:0], text, m) }); n >= 1 {
			t.Errorf("%v: packing allocates %v times", m, n)
		}
		d.isBegun = true
		if n := testing.AllocsPerRun(50, func() {
			for in := wire; len(in) > 0; {
				used, _, _, err := d.next(in)
				if err != nil || used == 0 {
					t.Fatal(used, err)
				}
				d.release()
				in = in[used:]
			}
		}); n >= 1 {
			t.Errorf("%v: unpacking allocates %v times", m, n)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	for _, text := range []string{"PING\r\n", strings.Repeat("LMSG a.b 2\r\nhi\r\n", 20)} {
		for _, m := range framedModes {
			var e encoder
			f.Add(e.append(nil, []byte(text), m), uint16(5))
		}
	}
	f.Add([]byte(streamIdentifier+chunk(0xfe, 3, "abc")+streamIdentifier+chunk(0x01, 100, "")), uint16(1))
	f.Fuzz(func(t *testing.T, wire []byte, step uint16) {
		var whole, parts decoder
		a, errA := unpack(&whole, wire, len(wire)+1)
		b, errB := unpack(&parts, wire, int(step)+1)
		if !bytes.Equal(a, b) || (errA == nil) != (errB == nil) {
			t.Fatalf("cut every %d bytes: %d bytes and %v, want %d and %v", int(step)+1, len(b), errB, len(a), errA)
		}
		whole.release()
		parts.release()
		if errA != nil {
			return
		}
		want, err := io.ReadAll(s2.NewReader(bytes.NewReader(wire)))
		if err != nil || !bytes.Equal(a, want) {
			t.Fatalf("%d bytes, but %d and %v for others", len(a), len(want), err)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	text := texts()["lines"][:32<<10]
	for _, size := range []int{18, 150, 4 << 10, 32 << 10} {
		for _, m := range framedModes {
			b.Run(fmt.Sprintf("%v/%d", m, size), func(b *testing.B) {
				var e encoder
				buf := e.append(nil, text, ModeUncompressed)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					buf = e.append(buf[:0], text[:size], m)
				}
				b.ReportMetric(float64(size)/float64(len(buf)), "ratio")
			})
		}
	}
}

func BenchmarkUnpack(b *testing.B) {
	text := texts()["lines"][:32<<10]
	for _, size := range []int{150, 32 << 10} {
		for _, m := range framedModes {
			b.Run(fmt.Sprintf("%v/%d", m, size), func(b *testing.B) {
				e, d := encoder{isBegun: true}, decoder{isBegun: true}
				wire := e.append(nil, text[:size], m)
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, _, err := d.next(wire); err != nil {
						b.Fatal(err)
					}
					d.release()
				}
			})
		}
	}
}
