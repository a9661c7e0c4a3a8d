//go:build !unix

package main

import (
	"io/fs"
	"os"
)

// ownLike does nothing: the folder says who may read a file.
func ownLike(*os.File, fs.FileInfo) error { return nil }
