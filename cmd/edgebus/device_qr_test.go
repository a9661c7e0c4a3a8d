package main

import (
	"errors"
	"strings"
	"testing"
)

// readQR reads a code without noise: format, data in its order, blocks, text. It shares the version table
// and the fields' arithmetic with what it tests, and nothing else; the picture below was read by a decoder
// of another hand (github.com/makiuchi-d/gozxing), as was every length that fits.
func readQR(t *testing.T, m *qrMatrix) string {
	t.Helper()
	format := 0
	for _, at := range [][2]int{{0, 8}, {1, 8}, {2, 8}, {3, 8}, {4, 8}, {5, 8}, {7, 8}, {8, 8}, {8, 7}, {8, 5}, {8, 4}, {8, 3}, {8, 2}, {8, 1}, {8, 0}} {
		format <<= 1
		if m.at(at[0], at[1]) {
			format |= 1
		}
	}
	format ^= 0x5412
	if format>>13 != 1 {
		t.Fatalf("the level is %b, want 01 for L", format>>13)
	}
	version := (m.size - 17) / 4
	v := qrVersions[version-1]
	words := make([]byte, v.total)
	at, up := 0, true
	for right := m.size - 1; right > 0; right -= 2 {
		if right == 6 {
			right = 5
		}
		for i := range m.size {
			y := i
			if up {
				y = m.size - 1 - i
			}
			for _, x := range []int{right, right - 1} {
				if m.fixed[y][x] || at >= 8*len(words) {
					continue
				}
				if m.dark[y][x] != qrMasks[format>>10&7](x, y) {
					words[at/8] |= 1 << (7 - at%8)
				}
				at++
			}
		}
		up = !up
	}
	return blocksText(t, words, v.check, v.blocks)
}

// blocksText checks every block by its syndromes, which are zero where nothing is wrong, and reads the text.
func blocksText(t *testing.T, words []byte, check, blocks int) string {
	t.Helper()
	data := make([]byte, 0, len(words))
	for b := range blocks {
		var block []byte
		for i := b; i < len(words); i += blocks {
			block = append(block, words[i])
		}
		root := byte(1)
		for i := range check {
			sum := byte(0)
			for _, word := range block {
				sum = qrTimes(sum, root) ^ word
			}
			if sum != 0 {
				t.Fatalf("block %d: syndrome %d is %d", b, i, sum)
			}
			root = qrTimes(root, 2)
		}
		data = append(data, block[:len(block)-check]...)
	}
	if data[0]>>4 != 4 {
		t.Fatalf("mode %d, want 4 for bytes", data[0]>>4)
	}
	length := int(data[0]<<4 | data[1]>>4)
	text := make([]byte, length)
	for i := range text {
		text[i] = data[i+1]<<4 | data[i+2]>>4
	}
	return string(text)
}

func TestQRCodeOfEveryLengthCanBeRead(t *testing.T) {
	const most = 134
	long := strings.Repeat("nats://sensor:PASSWORD@192.0.2.4:4222/", 4)
	for n := 1; n <= most; n++ {
		m, err := newQR([]byte(long[:n]))
		if err != nil {
			t.Fatal(n, err)
		}
		if got := readQR(t, m); got != long[:n] {
			t.Fatalf("%d bytes are read as %q", n, got)
		}
	}
	if _, err := newQR([]byte(long[:most+1])); !errors.Is(err, errQRLength) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestQRCodeIsDrawnAsOthersReadIt(t *testing.T) {
	const want = `    █▀▀▀▀▀█ ▀▄█▄██ ▀ ▄ ▀▄ ▄▄▄ █▀▀▀▀▀█    
    █ ███ █ ███ ▄ ▄██▄█▀ ▄██▄ █ ███ █    
    █ ▀▀▀ █ ▀ ▄█▀▄▀▀▄ ▀▄ ▀ ▀▀ █ ▀▀▀ █    
    ▀▀▀▀▀▀▀ ▀ █ █ ▀▄▀▄█▄█ █ ▀ ▀▀▀▀▀▀▀    
    ██▀▀ ▄▀▄█ █▀██▄  ▀  █  ▀ █▄▄▀▀▀▄█    
    ███▄▀ ▀ ▀██▀▀▀ ▄▄  ▄ ▀█▀▀▄▄▀▄▀▀ █    
    ██ ▀▄█▀▀██▀▄█ ██▀▀▀▀▀█▀██▀▄ ▀ ▄▄     
    ▀ ▀ █ ▀▄▀▄▀█ ▀▄▄█▀█▀ █▄ ▄█ ▀█▀█      
      ██ ▄▀▄▄▄█ ▀ █▄█ ▄█▄ ▀ ▄█▀ ███▀█    
    ▀    ▄▀▄ ▄ ▄ ███ ▄█▄▀▀  ▄  ▀▀▀ █▄    
    ▄▄▀▄  ▀▀█▀▄  ▀▀▀ ▀ ▀█▄▄    ▀ ▀█▀▄    
     ▄█▀█▄▀█▄█▀▄▄▄█ ▀ ▀ █  █▄ ██▀▄▀██    
    ▀ ▀▀▀ ▀▀██▄█ ▄ █▀▀█ ▀▀█▄█▀▀▀█  ▀▀    
    █▀▀▀▀▀█  ▀▀ █▄▀ █ ▄▀██▀▄█ ▀ ██▄▄▄    
    █ ███ █ ▄█▀▀▄▄ █▄▄ ▄▄ ▀█▀▀▀▀▀██ ▄    
    █ ▀▀▀ █ █  ▀█  ▀▀█    ▄█▀▄▄▄▄   ▄    
    ▀▀▀▀▀▀▀ ▀  ▀▀▀   ▀ ▀▀  ▀ ▀  ▀▀▀      
`
	got, err := qrCode("nats://sensor-1:ABCDEFGHIJKLMNOPQRSTUVWXYZ@192.168.1.5:4222")
	if err != nil {
		t.Fatal(err)
	}
	got = strings.NewReplacer("\x1b[30;107m", "", "\x1b[0m", "").Replace(got)
	margin := strings.Repeat(strings.Repeat(" ", 41)+"\n", 2)
	if got != margin+want+margin {
		t.Errorf("drawn is\n%s\nwant\n%s", got, want)
	}
}
