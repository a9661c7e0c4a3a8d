package main

import "syscall"

// setChildSubreaper is PR_SET_CHILD_SUBREAPER of prctl(2).
const setChildSubreaper = 36

// adoptOrphans makes the children of a child that ends ours, so that they can be waited for.
func adoptOrphans() { syscall.RawSyscall(syscall.SYS_PRCTL, setChildSubreaper, 1, 0) }
