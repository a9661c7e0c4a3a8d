//go:build !linux

package daemon

// raiseDescriptors does nothing: the runtime has raised the limit as far as it may be, at start.
func raiseDescriptors(uint64) {}
