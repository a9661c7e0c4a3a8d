package parser

import (
	"bytes"
	"iter"
)

// A header block is "NATS/1.0", perhaps with a status and its description, CRLF, lines of
// "Name: value" CRLF, and an empty line. Names are compared byte for byte, as SDKs do. A name
// may occur more than once.

// HeaderVersion begins every header block.
const HeaderVersion = "NATS/1.0"

// AppendHeaderStart begins a block without a status. AppendHeader and AppendHeaderEnd follow.
func AppendHeaderStart(dst []byte) []byte {
	return append(dst, HeaderVersion+CRLF...)
}

// AppendHeaderStatus begins a block with a status, such as 503 for no responders. description
// may be empty.
func AppendHeaderStatus(dst []byte, status int, description string) []byte {
	dst = append(dst, HeaderVersion...)
	dst = appendSize(dst, status)
	if description != "" {
		dst = append(dst, ' ')
		dst = appendLine(dst, description)
	}
	return append(dst, CRLF...)
}

// AppendHeader adds one line. CR and LF in it become blanks, so that no value can add lines
// of its own; what else ValidHeaderName refuses is up to the caller.
func AppendHeader[N, V bytestring](dst []byte, name N, value V) []byte {
	dst = appendLine(dst, name)
	dst = append(dst, ':', ' ')
	dst = appendLine(dst, value)
	return append(dst, CRLF...)
}

// AppendHeaderEnd ends a block.
func AppendHeaderEnd(dst []byte) []byte {
	return append(dst, CRLF...)
}

// AppendHeaderWith copies a block with one line more before its end. An empty block counts
// as one without lines, and one without a proper end is given it.
func AppendHeaderWith[N, V bytestring](dst, block []byte, name N, value V) []byte {
	if len(block) == 0 {
		dst = AppendHeaderStart(dst)
	} else {
		dst = append(dst, trimEnd(block)...)
		dst = append(dst, CRLF...)
	}
	return AppendHeaderEnd(AppendHeader(dst, name, value))
}

// AppendHeaderWithout copies a block without the lines of that name.
func AppendHeaderWithout(dst, block []byte, name string) []byte {
	line, rest := cutLine(block)
	dst = append(dst, line...)
	dst = append(dst, CRLF...)
	for len(rest) > 0 {
		line, rest = cutLine(rest)
		if len(line) == 0 {
			break
		}
		if is, _, ok := bytes.Cut(line, colon); ok && string(trimBlanks(is)) == name {
			continue
		}
		dst = append(dst, line...)
		dst = append(dst, CRLF...)
	}
	return AppendHeaderEnd(dst)
}

// HeaderStatus reads the first line of a block: 0 where it has no status, and false where it
// is no header block at all.
func HeaderStatus(block []byte) (status int, description []byte, ok bool) {
	line, _ := cutLine(block)
	if !bytes.HasPrefix(line, version) {
		return 0, nil, false
	}
	line = line[len(version):]
	if len(line) == 0 {
		return 0, nil, true
	}
	if line[0] != ' ' && line[0] != '\t' {
		return 0, nil, false
	}
	line = trimBlanks(line)
	code := line
	if blank := bytes.IndexAny(line, " \t"); blank >= 0 {
		code, description = line[:blank], trimBlanks(line[blank:])
	}
	if len(code) == 0 {
		return 0, nil, true
	}
	if status = size(code); status < 0 {
		return 0, nil, false
	}
	return status, description, true
}

// HeaderValue is the value of the first line of that name. It points into block.
func HeaderValue[N bytestring](block []byte, name N) (value []byte, ok bool) {
	for is, value := range Headers(block) {
		if string(is) == string(name) {
			return value, true
		}
	}
	return nil, false
}

// Headers goes through the lines of a block in order. Names and values point into block, and
// have no blanks around them. Lines without a colon are passed over.
func Headers(block []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		_, rest := cutLine(block)
		for len(rest) > 0 {
			var line []byte
			line, rest = cutLine(rest)
			if len(line) == 0 {
				return
			}
			name, value, ok := bytes.Cut(line, colon)
			if ok && !yield(trimBlanks(name), trimBlanks(value)) {
				return
			}
		}
	}
}

// ValidHeaderName says whether name can stand in a block and be found again: printable ASCII
// without colon and blank, and not empty.
func ValidHeaderName[N bytestring](name N) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return len(name) > 0
}

var (
	version = []byte(HeaderVersion)
	colon   = []byte{':'}
)

// appendLine writes text that must stay in one line.
func appendLine[T bytestring](dst []byte, text T) []byte {
	from := len(dst)
	dst = append(dst, text...)
	for i := from; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return dst
}

// cutLine cuts the first line off, without LF and any CR in front of it.
func cutLine(b []byte) (line, rest []byte) {
	line, rest, _ = bytes.Cut(b, lf)
	for n := len(line); n > 0 && line[n-1] == '\r'; n-- {
		line = line[:n-1]
	}
	return line, rest
}

var lf = []byte{'\n'}

// trimEnd takes the line ends off the end of a block.
func trimEnd(block []byte) []byte {
	for n := len(block); n > 0 && (block[n-1] == '\n' || block[n-1] == '\r'); n-- {
		block = block[:n-1]
	}
	return block
}
