package parser

import (
	"encoding/binary"
	"math/bits"
)

// words are the places of a line's arguments in the slice it was split from.
type words [keptWords]struct{ from, to uint32 }

// at is the i-th word. Its capacity is its own: an append to it cannot touch the input.
func (w *words) at(in []byte, i int) []byte {
	from, to := w[i].from, w[i].to
	return in[from:to:to]
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// split finds the words of the line whose arguments begin at in[i], and its end, in one pass.
// count is of all words, kept or not; end is where the line's CRLF or LF stands, and next is
// behind that, or 0 while there is none. Blanks and tabs separate words. A CR that is not in
// front of LF is part of a word, as in nats-server.
//
// It looks at eight bytes at a time: every byte of interest is below 0x21, and so is nothing
// else that occurs in an ordinary subject. Where the blocks lie does not depend on where the
// words lie, so the processor works on several at once.
func (w *words) split(in []byte, i int) (count, end, next int) {
	from := i
	for ; i < len(in); i += 8 {
		var x uint64
		if i+8 <= len(in) {
			x = binary.LittleEndian.Uint64(in[i : i+8])
		} else {
			x = lastBlock(in[i:])
		}
		// A byte's high bit is set here if it is below 0x21, and in no other case.
		for low := ^(x&^highs + (0x80-0x21)*ones | x) & highs; low != 0; low &= low - 1 {
			at := i + bits.TrailingZeros64(low)>>3
			switch c := in[at]; c {
			case ' ', '\t':
				next = 0
			case '\r':
				if next = at + 2; next > len(in) || in[at+1] != '\n' {
					continue
				}
			case '\n':
				next = at + 1
			default:
				continue
			}
			if at > from {
				if uint(count) < keptWords {
					w[count].from, w[count].to = uint32(from), uint32(at)
				}
				count++
			}
			if next > 0 {
				return count, at, next
			}
			from = at + 1
		}
	}
	return count, i, 0
}

// lastBlock fills up what is left of the input with bytes that separate nothing.
func lastBlock(in []byte) uint64 {
	x := uint64(highs)
	for i := len(in) - 1; i >= 0; i-- {
		x = x<<8 | uint64(in[i])
	}
	return x
}

// appendWords splits again, for the lines that may have any number of arguments.
func appendWords(list [][]byte, args []byte) [][]byte {
	for i := 0; ; {
		for i < len(args) && (args[i] == ' ' || args[i] == '\t') {
			i++
		}
		if i == len(args) {
			return list
		}
		from := i
		for i < len(args) && args[i] != ' ' && args[i] != '\t' {
			i++
		}
		list = append(list, args[from:i:i])
	}
}

// size reads the i-th word as a size: digits only, at most maxDigits of them. It reports -1
// for anything else.
func (w *words) size(in []byte, i int) int {
	from, to := uint(w[i].from), uint(w[i].to)
	if to > uint(len(in)) || to-from > maxDigits { // the former never: it saves checks below
		return -1
	}
	n := 0
	for ; from < to; from++ {
		c := in[from] - '0'
		if c > 9 {
			return -1
		}
		n = n*10 + int(c)
	}
	return n
}

// size reads a size that stands alone, by the same rules.
func size(word []byte) int {
	if len(word) == 0 {
		return -1
	}
	w := words{0: {0, uint32(len(word))}}
	return w.size(word, 0)
}

// trimBlanks cuts blanks and tabs off both ends.
func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
