package main

import (
	"errors"
	"strings"
)

// QR codes (ISO/IEC 18004) of versions 1 to 6 at error correction level L, in byte mode: 134 bytes at most,
// which is enough for an address with a name and a password. A library would bring all of the rest.

// errQRLength: the text does not fit.
var errQRLength = errors.New("too long for a QR code")

// qrVersions has the codewords of each version, and how many of a block's are for correction.
var qrVersions = [...]struct{ total, check, blocks int }{
	{26, 7, 1}, {44, 10, 1}, {70, 15, 1}, {100, 20, 1}, {134, 26, 1}, {172, 18, 2},
}

// qrCode draws a text for a terminal, two rows of the code in each line.
func qrCode(text string) (string, error) {
	m, err := newQR([]byte(text))
	if err != nil {
		return "", err
	}
	const quiet = 4 // modules of margin that readers may demand
	var b strings.Builder
	for y := -quiet; y < m.size+quiet; y += 2 {
		b.WriteString("\x1b[30;107m") // dark on light, whatever the terminal's colours are
		for x := -quiet; x < m.size+quiet; x++ {
			switch top, bottom := m.at(x, y), m.at(x, y+1); {
			case top && bottom:
				b.WriteString("█")
			case top:
				b.WriteString("▀")
			case bottom:
				b.WriteString("▄")
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString("\x1b[0m\n")
	}
	return b.String(), nil
}

// A qrMatrix is the code as it is drawn.
type qrMatrix struct {
	size  int
	dark  [][]bool
	fixed [][]bool // finders, timing and format: no data, no mask
}

func (m *qrMatrix) at(x, y int) bool {
	return x >= 0 && y >= 0 && x < m.size && y < m.size && m.dark[y][x]
}

// newQR makes the smallest code that holds data.
func newQR(data []byte) (*qrMatrix, error) {
	version := 1
	for ; ; version++ {
		if version > len(qrVersions) {
			return nil, errQRLength
		}
		v := qrVersions[version-1]
		if len(data)+2 <= v.total-v.check*v.blocks { // 4 bits of mode, 8 of length, 4 of end
			break
		}
	}
	m := &qrMatrix{size: 17 + 4*version}
	for range m.size {
		m.dark, m.fixed = append(m.dark, make([]bool, m.size)), append(m.fixed, make([]bool, m.size))
	}
	m.drawPatterns(version)
	m.place(qrCodewords(data, version))
	m.mask()
	return m, nil
}

// qrCodewords are the data and what corrects it, blocks interleaved.
func qrCodewords(data []byte, version int) []byte {
	v := qrVersions[version-1]
	capacity := v.total - v.check*v.blocks
	words := make([]byte, 0, capacity)
	last := byte(0x4) // mode: bytes. Everything behind it is shifted by these four bits.
	for _, next := range append([]byte{byte(len(data))}, data...) {
		words = append(words, last<<4|next>>4)
		last = next & 0xf
	}
	words = append(words, last<<4)
	for pad := byte(0xec); len(words) < capacity; pad ^= 0xec ^ 0x11 {
		words = append(words, pad)
	}
	each := capacity / v.blocks
	var checks [][]byte
	for i := range v.blocks {
		checks = append(checks, qrCheck(words[i*each:(i+1)*each], v.check))
	}
	whole := make([]byte, 0, v.total)
	for i := range each {
		for block := range v.blocks {
			whole = append(whole, words[block*each+i])
		}
	}
	for i := range v.check {
		for _, check := range checks {
			whole = append(whole, check[i])
		}
	}
	return whole
}

// qrCheck is the remainder of a block by the generator of Reed and Solomon.
func qrCheck(data []byte, length int) []byte {
	generator := make([]byte, length) // without its leading 1
	generator[length-1] = 1
	root := byte(1)
	for range length {
		for i := range generator {
			generator[i] = qrTimes(generator[i], root)
			if i+1 < length {
				generator[i] ^= generator[i+1]
			}
		}
		root = qrTimes(root, 2)
	}
	rest := make([]byte, length)
	for _, word := range data {
		factor := word ^ rest[0]
		copy(rest, rest[1:])
		rest[length-1] = 0
		for i := range rest {
			rest[i] ^= qrTimes(generator[i], factor)
		}
	}
	return rest
}

// qrTimes multiplies in the field of 256 elements, modulo x^8+x^4+x^3+x^2+1.
func qrTimes(a, b byte) (product byte) {
	for i := 7; i >= 0; i-- {
		carry := product >> 7
		product = product<<1 ^ carry*0x1d
		if b>>i&1 == 1 {
			product ^= a
		}
	}
	return product
}

// fix draws a module that is no data.
func (m *qrMatrix) fix(x, y int, dark bool) {
	if x >= 0 && y >= 0 && x < m.size && y < m.size {
		m.dark[y][x], m.fixed[y][x] = dark, true
	}
}

// drawPatterns draws what readers find the code by, and keeps the place of the format.
func (m *qrMatrix) drawPatterns(version int) {
	for i := range m.size {
		m.fix(i, 6, i%2 == 0)
		m.fix(6, i, i%2 == 0)
	}
	square := func(x, y, reach int, dark func(distance int) bool) {
		for dy := -reach; dy <= reach; dy++ {
			for dx := -reach; dx <= reach; dx++ {
				m.fix(x+dx, y+dy, dark(max(dx, -dx, dy, -dy)))
			}
		}
	}
	finder := func(distance int) bool { return distance != 2 && distance != 4 }
	square(3, 3, 4, finder)
	square(m.size-4, 3, 4, finder)
	square(3, m.size-4, 4, finder)
	if version > 1 {
		square(m.size-7, m.size-7, 2, func(distance int) bool { return distance != 1 })
	}
	m.drawFormat(0)
}

// drawFormat writes the level and the mask, twice.
func (m *qrMatrix) drawFormat(mask int) {
	const levelL = 1
	data := levelL<<3 | mask
	rest := data
	for range 10 {
		rest = rest<<1 ^ rest>>9*0x537
	}
	bits := (data<<10 | rest) ^ 0x5412
	bit := func(i int) bool { return bits>>i&1 == 1 }
	for i := range 6 {
		m.fix(8, i, bit(i))
		m.fix(5-i, 8, bit(9+i))
	}
	m.fix(8, 7, bit(6))
	m.fix(8, 8, bit(7))
	m.fix(7, 8, bit(8))
	for i := range 8 {
		m.fix(m.size-1-i, 8, bit(i))
	}
	for i := 8; i < 15; i++ {
		m.fix(8, m.size-15+i, bit(i))
	}
	m.fix(8, m.size-8, true)
}

// place fills the data in, in columns of two from the right, up and down in turns.
func (m *qrMatrix) place(words []byte) {
	at := 0
	for right := m.size - 1; right > 0; right -= 2 {
		if right == 6 {
			right-- // the column of the timing pattern
		}
		up := (right+1)&2 == 0
		for i := range m.size {
			y := i
			if up {
				y = m.size - 1 - i
			}
			for x := right; x > right-2; x-- {
				if !m.fixed[y][x] && at < 8*len(words) {
					m.dark[y][x] = words[at/8]>>(7-at%8)&1 == 1
					at++
				}
			}
		}
	}
}

// qrMasks invert where they are true.
var qrMasks = [8]func(x, y int) bool{
	func(x, y int) bool { return (x+y)%2 == 0 },
	func(_, y int) bool { return y%2 == 0 },
	func(x, _ int) bool { return x%3 == 0 },
	func(x, y int) bool { return (x+y)%3 == 0 },
	func(x, y int) bool { return (x/3+y/2)%2 == 0 },
	func(x, y int) bool { return x*y%2+x*y%3 == 0 },
	func(x, y int) bool { return (x*y%2+x*y%3)%2 == 0 },
	func(x, y int) bool { return ((x+y)%2+x*y%3)%2 == 0 },
}

// mask chooses the mask that leaves the least that could be mistaken.
func (m *qrMatrix) mask() {
	best, least := 0, -1
	for mask := range qrMasks {
		m.invert(mask)
		m.drawFormat(mask)
		if cost := m.penalty(); least < 0 || cost < least {
			best, least = mask, cost
		}
		m.invert(mask)
	}
	m.invert(best)
	m.drawFormat(best)
}

func (m *qrMatrix) invert(mask int) {
	for y := range m.size {
		for x := range m.size {
			if !m.fixed[y][x] && qrMasks[mask](x, y) {
				m.dark[y][x] = !m.dark[y][x]
			}
		}
	}
}

// penalty counts what readers lose their place in: long runs of a colour, squares of one, and what looks
// like a finder. The fourth rule of the standard, about the share of dark, changes little at these sizes.
func (m *qrMatrix) penalty() (cost int) {
	row := func(x, y int) bool { return m.dark[y][x] }
	column := func(x, y int) bool { return m.dark[x][y] }
	for y := range m.size {
		cost += m.linePenalty(y, row) + m.linePenalty(y, column)
		for x := 1; x < m.size && y > 0; x++ {
			if dark := m.dark[y][x]; dark == m.dark[y-1][x] && dark == m.dark[y][x-1] && dark == m.dark[y-1][x-1] {
				cost += 3
			}
		}
	}
	return cost
}

// linePenalty is penalty for one row, or one column.
func (m *qrMatrix) linePenalty(y int, dark func(x, y int) bool) (cost int) {
	const (
		finderFirst = 0b10111010000 // a finder's row with its margin behind it
		finderLast  = 0b00001011101
		elevenBits  = 1<<11 - 1
	)
	run, last := 0, 0
	for x := range m.size {
		if x > 0 && dark(x, y) != dark(x-1, y) {
			run = 0
		}
		switch run++; {
		case run == 5:
			cost += 3
		case run > 5:
			cost++
		}
		last = last << 1 & elevenBits
		if dark(x, y) {
			last |= 1
		}
		if x >= 10 && (last == finderFirst || last == finderLast) {
			cost += 40
		}
	}
	return cost
}
