// Package firsthour goes the way of somebody who has just found edgebus, with a stopwatch: clone, build, start a
// first server, and send it a message from another machine. The other machine is a network namespace of its own,
// so that what is open to the network is seen from there.
package firsthour
