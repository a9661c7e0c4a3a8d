package system

import (
	"bytes"
	"slices"
	"strings"
)

const headerLine = "NATS/1.0\r\n"

// headerValue is the first value of a key in an encoded block, in any case as servers have it.
func headerValue(block []byte, key string) string {
	for line := range bytes.SplitSeq(block, []byte("\r\n")) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if ok && strings.EqualFold(string(name), key) {
			return string(bytes.TrimSpace(value))
		}
	}
	return ""
}

// encodeHeader makes a block of keys and values, in order of the keys.
func encodeHeader(header map[string]string) []byte {
	if len(header) == 0 {
		return nil
	}
	keys := make([]string, 0, len(header))
	for key := range header {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	b := []byte(headerLine)
	for _, key := range keys {
		b = append(append(append(append(b, key...), ": "...), header[key]...), "\r\n"...)
	}
	return append(b, "\r\n"...)
}

// decodeHeader reads keys and values of a block; of equal keys the first.
func decodeHeader(block []byte) map[string]string {
	if len(block) == 0 {
		return nil
	}
	header := make(map[string]string)
	for i, line := range strings.Split(string(block), "\r\n") {
		name, value, ok := strings.Cut(line, ":")
		if i == 0 || !ok {
			continue
		}
		if _, known := header[name]; !known {
			header[name] = strings.TrimSpace(value)
		}
	}
	return header
}
