// Command gateway publishes readings of the machine it runs on, once a second, and shows those of
// all machines as a live table. It is an ordinary program on the public NATS client: what it does
// works the same against edgebus and nats-server.
//
//	gateway publish   read this machine's temperatures, load, memory and network bytes and publish
//	                  each under gateway.<machine>.<reading>
//	gateway watch     subscribe to gateway.> and print a table
//
// The readings come from /proc and /sys as Linux shows them. A machine without a thermal zone, as
// most virtual ones are, has no temperatures and the rest all the same.
package main
