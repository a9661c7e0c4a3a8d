//go:build !unix

package daemon

import "os"

func fileIdentity(*os.File) (string, bool) { return "", false }

func maxDescriptors() uint64 { return 0 }
