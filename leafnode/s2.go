package leafnode

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"sync"

	"github.com/klauspost/compress/s2"
)

// A compressed link carries an S2 stream in each direction: an identifier, and then chunks of a type
// (1 byte), a length (3 bytes), and after that as many bytes, which for data begin with a checksum of
// what was compressed. The format is that of snappy's framing_format.txt, with another identifier.
const (
	streamIdentifier = "\xff\x06\x00\x00S2sTwO"

	chunkCompressed = 0x00
	chunkPlain      = 0x01
	chunkSkippable  = 0x80 // and above, but for the identifier's
	chunkIdentifier = 0xff

	chunkHead = 4 // type and length
	chunkSum  = 4 // checksum
)

const (
	// chunkData is what we put into one chunk, so that whoever reads it needs little memory.
	chunkData = 64 << 10
	// maxBlock is the most that a chunk may hold when unpacked. It is the block size of the writer
	// that nats-server uses, whatever it has to send.
	maxBlock = 1 << 20
	// chunkSlack is what a chunk may be longer packed than unpacked.
	chunkSlack = 64
	// worthPacking is from how many bytes on a chunk may become shorter.
	worthPacking = 32
	// bestFrom and betterFrom are the sizes from which on these levels pay. Below, clearing their tables
	// (4.7 MB and 590 KB) takes longer than all the rest, and they find hardly more than s2_fast.
	bestFrom   = 8 << 10
	betterFrom = 16 << 10
)

// Scratch space is shared by all links, so that one which is silent holds none.
var (
	smallScratch = sync.Pool{New: func() any { return new([chunkData + chunkSlack]byte) }}
	largeScratch = sync.Pool{New: func() any { return new([maxBlock]byte) }}
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedSum is the checksum of the format. Masked, since the data may hold checksums itself.
func maskedSum(sum uint32) uint32 { return (sum>>15 | sum<<17) + 0xa282ead8 }

// An encoder makes one direction's stream.
type encoder struct {
	raw, wire uint64 // bytes before and after
	isBegun   bool
}

// append appends src to dst, as chunks.
func (e *encoder) append(dst, src []byte, m Mode) []byte {
	if len(src) == 0 {
		return dst
	}
	dst, at := e.begin(dst)
	return e.end(append(dst, src...), at, m)
}

// head appends what comes before data in a chunk that is not compressed, for a caller that sends data
// itself after it and spares a copy. data is at most chunkData long.
func (e *encoder) head(dst, data []byte) []byte {
	dst, at := e.begin(dst)
	e.raw += uint64(len(data))
	e.wire += uint64(chunkHead + chunkSum + len(data))
	putHead(dst[at-chunkHead-chunkSum:], chunkPlain, len(data), maskedSum(crc32.Update(0, castagnoli, data)))
	return dst
}

func putHead(dst []byte, kind byte, size int, sum uint32) {
	binary.LittleEndian.PutUint32(dst, uint32(kind)|uint32(size+chunkSum)<<8)
	binary.LittleEndian.PutUint32(dst[chunkHead:], sum)
}

// begin leaves room in dst for what comes before a chunk's data, which is what the caller appends to
// out then. After that, and after nothing else, it calls end.
func (e *encoder) begin(dst []byte) (out []byte, at int) {
	if !e.isBegun {
		e.isBegun = true
		e.wire += uint64(len(streamIdentifier))
		dst = append(dst, streamIdentifier...)
	}
	dst = append(dst, "\x00\x00\x00\x00\x00\x00\x00\x00"...)
	return dst, len(dst)
}

// end makes chunks of what has been appended since begin, in place.
func (e *encoder) end(dst []byte, at int, m Mode) []byte {
	const head = chunkHead + chunkSum
	size := len(dst) - at
	e.raw += uint64(size)
	if size == 0 {
		return dst[:at-head]
	}
	if more := (size - 1) / chunkData; more > 0 {
		// Room for the other heads, from the last one on.
		dst = slices.Grow(dst, more*head)[:len(dst)+more*head]
		for i := more; i > 0; i-- {
			from := at + i*chunkData
			copy(dst[from+i*head:], dst[from:min(from+chunkData, at+size)])
		}
	}
	w := at - head
	for from := at; size > 0; {
		n := min(size, chunkData)
		w = seal(dst, w, dst[from:from+n], m)
		from += n + head
		size -= n
	}
	e.wire += uint64(w - (at - head))
	return dst[:w]
}

// seal makes a chunk of data at dst[w:], which is where data lies already if nothing before it has
// become shorter, and returns where the chunk ends.
func seal(dst []byte, w int, data []byte, m Mode) int {
	const head = chunkHead + chunkSum
	kind, body := byte(chunkPlain), data
	sum := maskedSum(crc32.Update(0, castagnoli, data))
	if m > ModeUncompressed && len(data) >= worthPacking {
		scratch := smallScratch.Get().(*[chunkData + chunkSlack]byte)
		defer smallScratch.Put(scratch)
		if packed := pack(scratch[:0], data, m); len(packed) < len(data) {
			kind, body = chunkCompressed, packed
		}
	}
	n := copy(dst[w+head:], body)
	putHead(dst[w:], kind, n, sum)
	return w + head + n
}

func pack(dst, data []byte, m Mode) []byte {
	switch {
	case m == ModeBest && len(data) >= bestFrom:
		return s2.EncodeBest(dst, data)
	case m >= ModeBetter && len(data) >= betterFrom:
		return s2.EncodeBetter(dst, data)
	}
	return s2.Encode(dst, data)
}

// A decoder reads one direction's stream.
type decoder struct {
	raw, wire uint64 // bytes after and before

	isBegun bool   // the identifier has been seen
	skip    int    // bytes of a chunk to be skipped
	plain   int    // bytes of a chunk that is handed out as it comes, still to come
	want    uint32 // its checksum
	sum     uint32 // of what has come

	// What next has found and release has not ended yet.
	found    int    // bytes that it takes in; 0: nothing
	from, to int    // where its data lies in them, or in unpacked
	unpacked []byte // scratch space; nil: the data lies in the input
	small    *[chunkData + chunkSlack]byte
	large    *[maxBlock]byte
}

// next looks at the chunk that in begins with. used is how much of in it takes, or 0 if there is not
// enough of it, which is need bytes. out, its data, may lie in `in` and is good until release; without
// that, next finds the same chunk once more, at little cost. out may be empty: not all chunks have data.
//
// What is longer than we would send is handed out as it comes, and its checksum looked at in the end:
// waiting for it would cost a megabyte, and on a link without compression nothing is looked at either.
func (d *decoder) next(in []byte) (used int, out []byte, need int, err error) {
	if d.found == 0 {
		if need, err = d.find(in); d.found == 0 {
			return 0, nil, need, err
		}
	}
	if d.unpacked != nil {
		in = d.unpacked
	}
	return d.found, in[d.from:d.to], 0, nil
}

// release says that the chunk which next found is done with.
func (d *decoder) release() {
	d.wire += uint64(d.found)
	d.raw += uint64(d.to - d.from)
	d.found, d.from, d.to, d.unpacked = 0, 0, 0, nil
	if d.small != nil {
		smallScratch.Put(d.small)
		d.small = nil
	}
	if d.large != nil {
		largeScratch.Put(d.large)
		d.large = nil
	}
}

// pause gives scratch space back in the middle of a chunk: next finds that once more, from the beginning.
func (d *decoder) pause() {
	if d.unpacked != nil {
		d.to = d.from
		raw, wire := d.raw, d.wire
		d.release()
		d.raw, d.wire = raw, wire
	}
}

func (d *decoder) find(in []byte) (need int, err error) {
	switch {
	case len(in) == 0:
		return 1, nil
	case d.skip > 0:
		d.found = min(d.skip, len(in))
		d.skip -= d.found
		return 0, nil
	case d.plain > 0:
		return 0, d.pass(in, 0)
	case len(in) < chunkHead:
		return chunkHead, nil
	}
	head := binary.LittleEndian.Uint32(in)
	kind, size := byte(head), int(head>>8)
	switch {
	case kind == chunkIdentifier:
		return d.identify(in, size)
	case !d.isBegun:
		return 0, errChunkIdentifier
	case kind >= chunkSkippable:
		d.found, d.skip = chunkHead, size
		return 0, nil
	case kind > chunkPlain:
		return 0, errChunkType
	case size < chunkSum || size > maxBlock+chunkSum+chunkSlack:
		return 0, errChunkLength
	case kind == chunkPlain:
		return d.findPlain(in, size)
	}
	return d.findPacked(in, size)
}

func (d *decoder) identify(in []byte, size int) (need int, err error) {
	switch {
	case size != len(streamIdentifier)-chunkHead:
		return 0, errChunkIdentifier
	case len(in) < len(streamIdentifier):
		return len(streamIdentifier), nil
	case string(in[:len(streamIdentifier)]) != streamIdentifier:
		return 0, errChunkIdentifier
	}
	d.isBegun = true
	d.found = len(streamIdentifier)
	return 0, nil
}

func (d *decoder) findPlain(in []byte, size int) (need int, err error) {
	whole := chunkHead + size
	if size > maxBlock+chunkSum {
		return 0, errChunkLength
	}
	if len(in) >= whole || size > chunkData+chunkSum && len(in) >= chunkHead+chunkSum {
		d.want = binary.LittleEndian.Uint32(in[chunkHead:])
		d.plain, d.sum = size-chunkSum, 0
		return 0, d.pass(in, chunkHead+chunkSum)
	}
	if size > chunkData+chunkSum {
		return chunkHead + chunkSum, nil
	}
	return whole, nil
}

// pass hands out what there is of a chunk that was not compressed.
func (d *decoder) pass(in []byte, from int) error {
	n := min(d.plain, len(in)-from)
	d.plain -= n
	d.sum = crc32.Update(d.sum, castagnoli, in[from:from+n])
	if d.plain == 0 && maskedSum(d.sum) != d.want {
		return errChunkSum
	}
	d.found, d.from, d.to = from+n, from, from+n
	return nil
}

func (d *decoder) findPacked(in []byte, size int) (need int, err error) {
	const head = chunkHead + chunkSum
	whole := chunkHead + size
	if len(in) >= min(whole, head+binary.MaxVarintLen32) {
		// Whoever announces too much is not waited for.
		if n, err := s2.DecodedLen(in[head:min(whole, len(in))]); err != nil || n > maxBlock {
			return 0, errChunkLength
		}
	}
	if len(in) < whole {
		return whole, nil
	}
	length, _ := s2.DecodedLen(in[head:whole])
	data, err := s2.Decode(d.room(length), in[head:whole])
	if err != nil {
		return 0, errChunkData
	}
	if maskedSum(crc32.Update(0, castagnoli, data)) != binary.LittleEndian.Uint32(in[chunkHead:]) {
		return 0, errChunkSum
	}
	d.unpacked = data
	d.found, d.from, d.to = whole, 0, len(data)
	return 0, nil
}

// room is scratch space for n bytes.
func (d *decoder) room(n int) []byte {
	if n <= chunkData {
		if d.small == nil {
			d.small = smallScratch.Get().(*[chunkData + chunkSlack]byte)
		}
		return d.small[:0]
	}
	if d.large == nil {
		d.large = largeScratch.Get().(*[maxBlock]byte)
	}
	return d.large[:0]
}
