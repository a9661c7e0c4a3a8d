package daemon

import "syscall"

// raiseDescriptors asks the system for more sockets and files, as far as this process may have them. Up to
// the hard limit the runtime has done that already, at start; beyond it only root may go.
func raiseDescriptors(wanted uint64) {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || wanted <= limit.Cur {
		return
	}
	before := limit
	limit.Cur, limit.Max = wanted, max(wanted, limit.Max)
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) != nil && before.Cur < before.Max {
		before.Cur = before.Max
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) // what cannot be had is warned of when it is looked at
	}
}
