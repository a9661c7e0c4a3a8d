// Package process runs servers as processes of their own, for tests from outside.
//
// Every server gets a free port and a folder of its own, is waited for until it greets with
// INFO, and is killed when its test ends; the end of its log is shown if the test has failed.
// Four kinds of server are known: edgebus, built from this tree once for each test binary; the same
// for ARM, emulated; and the reference, nats-server, in one exact version and an old one.
package process
