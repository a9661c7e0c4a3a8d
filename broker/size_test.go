package broker

import (
	"testing"
	"unsafe"
)

func TestPartsStaySmall(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the bounds are for 64 bits")
	}
	for _, c := range []struct {
		name      string
		got, most uintptr
	}{
		{"Sub", unsafe.Sizeof(Sub{}), 64},
		{"Peer", unsafe.Sizeof(Peer{}), 128},
	} {
		t.Logf("%s: %d bytes", c.name, c.got)
		if c.got > c.most {
			t.Errorf("%s has %d bytes, more than %d", c.name, c.got, c.most)
		}
	}
}
