// Package peers tries edgebus with other people's clients: nats.go, Debian's libnats in C, and
// nats.js. Every test plays against the reference nats-server as well, and expects the same.
//
// It is a module of its own, so that clients are no dependency of edgebus. The server runs as
// a process, built from the tree above. install.sh brings what is missing; where CI is "true"
// an absent peer is a failure, elsewhere a skip that says so.
package peers
