// Command bench loads edgebus and other NATS servers alike, in turn and on one machine, and
// compares what it cost them.
//
// What counts is the server's own processor time for each message, as the kernel accounts it,
// and its memory: the messages a second of a machine that runs server and load generator side by
// side say as much about the generator. The generator therefore does little: it speaks the
// protocol with buffers made beforehand, and tells that all has arrived by counting bytes. That
// the bytes are the right ones is for other tests to say.
//
// Every run gets a server of its own, fresh, on a free port of the loopback interface. In each
// round all servers take their turn, in the next round in the opposite order. A ratio is formed
// within a round, so that what the machine does meanwhile falls on both sides, and the median of
// the rounds' ratios is compared with the bars of the shape.
//
// It runs on Linux: it reads /proc. It imports nothing of ours, so it measures any server that
// speaks the protocol. docs/performance.md says what the shapes mean and how to run them.
package main
