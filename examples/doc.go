// Package examples holds small programs on the SDK, each a folder of its own and short enough to
// be read in one go. Its tests compile each of them and run it against an edgebus server.
package examples
