// Package auth turns credentials into an identity: account, permissions, limits, expiry.
//
// A Directory is built once from Options; a reload builds another one and swaps it in. Users and
// accounts come from a configuration, or in operator mode from JWTs that are fetched, pushed and
// taken back while it runs. Everything in it may be used from any goroutine. Nothing here waits:
// what takes long (bcrypt, signatures, look-ups, callouts) is handed back as a function, to be run
// beside the loop that asked.
//
// Permissions say what one user may publish and subscribe to. They are shared by pointer by all
// connections of that user, so that whoever caches a verdict can compare pointers. Every decision
// is that of nats-server 2.15.2, quirks included: testdata holds what that has decided.
//
// An Account says what of its subjects others may import, what it imports, and how subjects are
// mapped. Imports are checked when options are read; moving messages by them is the broker's.
//
//	authenticate.go  who brings these credentials, and who is still the same after a reload
//	users.go         who is configured; certificate.go, whom a certificate names
//	permissions.go   what a user may do; rules.go finds it in one walk over a subject
//	account.go       accounts; imports.go, whether they may import; mapping.go
//	operator*.go     operator mode; jwt*.go, what JWTs say; resolver*.go, where they come from
//	callout*.go      a service that decides who may come in
//
// bcrypt, nkeys and JWTs live in this package only. HashPassword is here for the command line's sake.
package auth
