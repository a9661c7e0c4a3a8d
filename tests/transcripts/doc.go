// Package transcripts holds the client protocol as conversations, in testdata, and plays each
// of them against edgebus and against the reference nats-server, with the same outcome.
//
// coverage.md says which transcript shows which rule, differences.md where the two servers
// differ and why. How a transcript is written is explained in internal/script.
//
//	go test ./tests/transcripts                       against both
//	go test ./tests/transcripts -server=nats-server   against one
//	go test ./tests/transcripts -server=nats-server -update -run Play/NAME
//
// The last one records: what the reference really said replaces what was expected. A change in
// a transcript is a change in behaviour; read it before keeping it.
package transcripts
