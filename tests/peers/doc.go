// Package peers tries edgebus with other people's clients: nats.go, Debian's libnats in C, and
// nats.js. Every test plays against the reference nats-server as well, and expects the same.
//
// How clients prove who they are, and what becomes of them when the configuration or a JWT changes,
// is told as stories: the three libraries obey the same commands (driver_test.go), and what each
// reports of its own accord must be the same with both servers, line by line.
//
// nats.go and our own SDK together, on gateways with a hub above them, have servers killed, stopped and
// reloaded and lines cut (chaos_test.go): every message that a PONG has confirmed arrives or is counted.
//
// It is a module of its own, so that clients are no dependency of edgebus. The server runs as
// a process, built from the tree above. install.sh brings what is missing; where CI is "true"
// an absent peer is a failure, elsewhere a skip that says so.
package peers
