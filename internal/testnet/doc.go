// Package testnet makes listeners and connections in memory, with faults on demand: bytes that
// come late, in small pieces or not at all, and lines that are cut.
//
// A Conn has a buffer in each direction, as a socket has, and blocks as a socket does. Nothing in
// it waits for the system: all waiting is on condition variables and timers, so that inside a
// testing/synctest bubble time stands still and passes as the test wants. A connection belongs to
// the bubble in which it was made.
//
// A fault is set on the end that causes it: SetDelay, Stall and SetWindow concern what this end
// writes, SetChunk what it reads, and Cut breaks the line for both. Faults may be set while
// others read and write.
//
// It is for tests; no production code imports it.
package testnet
