package tidy

import (
	"bytes"
	"go/format"
	"testing"
)

func TestSourceIsFormatted(t *testing.T) {
	for _, s := range sources(t) {
		formatted, err := format.Source(s.text)
		if err != nil {
			t.Errorf("%s: %v", s.path, err)
		} else if !bytes.Equal(formatted, s.text) {
			t.Errorf("%s is not gofmt-ed", s.path)
		}
	}
}
