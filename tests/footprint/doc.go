// Package footprint holds the whole program to its budgets: what a server takes that has just started, and
// what it takes for each client that has come, worked once and is silent. The server runs as a process
// of its own. How fast it is belongs to tests/bench.
package footprint
