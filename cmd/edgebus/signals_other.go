//go:build !unix

package main

import (
	"errors"
	"os"

	"github.com/edgebus-io/edgebus/daemon"
)

func otherSignals() []os.Signal { return nil }

func outliveReaders() {}

func obey(*daemon.Daemon, os.Signal) {}

func sendSignal(string) error { return errors.New("this system has no signals between processes") }
