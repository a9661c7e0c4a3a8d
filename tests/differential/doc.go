// Package differential makes up configurations and what clients try under them, and plays both
// against edgebus and the reference nats-server: whether the configuration is taken, who may come
// in, every delivery and every error must be the same.
//
//	go test ./tests/differential                       the configurations of make test
//	go test ./tests/differential -configs 2000         more of them
//	go test ./tests/differential -seed N -configs 1    one again; its number is in the failure
//	go test ./tests/differential -against nats-server  the reference against itself: is the test steady?
//
// A scenario is a configuration and a list of steps, which say who does what. All peers exchange
// PING and PONG after each step, so what has arrived by then is what that step has caused. What is
// random or a time by nature is made the same before it is compared; see normal_test.go.
//
// A difference found is shrunk, printed as a scenario, and becomes a named case in cases_test.go
// once it is understood. What is not compared, and why, is in differences.md.
package differential
