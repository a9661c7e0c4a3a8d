package daemon

import "testing"

func TestReadOnlyPartsOfTheProgramAreFound(t *testing.T) {
	const program = "/usr/bin/edgebus"
	for line, want := range map[string][2]uintptr{
		"00400000-00800000 r-xp 00000000 08:01 1234   /usr/bin/edgebus": {0x400000, 0x400000},
		"00800000-00c01000 r--p 00400000 08:01 1234   /usr/bin/edgebus": {0x800000, 0x401000},
		"00d00000-00d40000 rw-p 00900000 08:01 1234   /usr/bin/edgebus": {},
		"00400000-00800000 r-xp 00000000 08:01 1234   /usr/lib/libc.so": {},
		"c000000000-c000400000 rw-p 00000000 00:00 0":                   {},
		"zz-00800000 r-xp 00000000 08:01 1234   /usr/bin/edgebus":       {},
		"": {},
	} {
		from, length, ok := readOnlyPart(line, program)
		if ok != (want[1] != 0) || ok && (from != want[0] || length != want[1]) {
			t.Errorf("%q: %x %x %v, want %x", line, from, length, ok, want)
		}
	}
}

func TestSheddingTheProgramDoesNotHurtIt(t *testing.T) {
	for range 3 {
		shedProgram()
		if got := showBytes(20 << 10); got != "20 KiB" {
			t.Fatal(got)
		}
	}
}
