// Package daemon assembles one process from one set of options and owns its start and stop order.
//
//	options.go, classes.go, load.go   what can be set, what becomes of every other key, the file
//	daemon.go                         builds the parts
//	run.go                            the order in which they start and stop
//	reload.go                         what can change while they run
//	budget.go, memory.go              what all bounds come to, and what there is
//	listen.go, files.go               the address, the pid file, the ports file
//	notify.go, watchdog.go            what a supervisor hears
//	activation.go, upgrade.go         sockets from whoever started us, and for who takes our place
//	passwd.go, identity_*.go          what the program and the log need of others
//	log.go and log_*.go               lines as nats-server writes them, JSON, journald, syslog
//
// Signals are the program's affair: it calls Stop, LameDuck, Reload and ReopenLog, each of which
// may be called from any goroutine while Run runs.
package daemon
