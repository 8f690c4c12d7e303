package dataplane

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// forgetStart takes the program's code and constants out of the process's
// memory: most of what starting has touched is not needed again, and what is
// comes back from the page cache when it is used. It cannot fail in a way that
// matters.
func forgetStart() {
	program, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer f.Close() //nolint:errcheck // it was read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 00400000-0259b000 r-xp 00000000 fe:00 10561234   /usr/bin/signalbox
		col := strings.Fields(lines.Text())
		if len(col) != 6 || col[5] != program || strings.Contains(col[1], "w") {
			continue
		}
		from, to, _ := strings.Cut(col[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && end > start {
			// The pages are those of a file that nobody writes, so nothing is lost.
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
		}
	}
}
