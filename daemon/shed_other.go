//go:build !linux

package daemon

func shedProgram() {}
