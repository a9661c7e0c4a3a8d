package daemon

import (
	"bufio"
	"os"
	"strings"
	"syscall"
)

// shedProgram lets go of the pages of the program's own file that the start has touched: code and tables,
// which the kernel maps in pieces of 64 KiB around whatever is needed. Most of them are of use once. They
// stay in the system's cache of files, from where those that are needed again come back in a
// microsecond; but nobody has them mapped any more, so that they are the first to go when a small machine
// runs out of memory. What may have been written to is left alone.
func shedProgram() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer maps.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		from, length, ok := readOnlyPart(lines.Text(), program)
		if ok {
			// It fails where the kernel knows better; then nothing has changed.
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, length, syscall.MADV_DONTNEED)
		}
	}
}

// readOnlyPart reads a line of /proc/PID/maps (proc(5)): is it a part of the program that cannot be
// written to?
func readOnlyPart(line, program string) (from, length uintptr, ok bool) {
	fields := strings.Fields(line)
	if len(fields) != 6 || fields[5] != program || fields[1] != "r-xp" && fields[1] != "r--p" {
		return 0, 0, false
	}
	first, last, _ := strings.Cut(fields[0], "-")
	begin, okBegin := address(first)
	end, okEnd := address(last)
	return begin, end - begin, okBegin && okEnd && end > begin
}

// address reads hexadecimal digits.
func address(text string) (n uintptr, ok bool) {
	for _, digit := range []byte(text) {
		switch {
		case '0' <= digit && digit <= '9':
			digit -= '0'
		case 'a' <= digit && digit <= 'f':
			digit -= 'a' - 10
		default:
			return 0, false
		}
		n = n<<4 | uintptr(digit)
	}
	return n, text != ""
}
