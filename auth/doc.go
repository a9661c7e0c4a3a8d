// Package auth turns credentials into an identity: account, permissions, limits, expiry.
//
// A Directory is built once from Options and never changes; a reload builds another one and
// swaps it in. Everything in it may be used from any goroutine. Nothing here waits: what takes
// long (bcrypt) is handed back as a function, to be run beside the loop that asked.
//
// Permissions say what one user may publish and subscribe to. They are shared by pointer by all
// connections of that user, so that whoever caches a verdict can compare pointers.
//
// bcrypt lives in this package only. HashPassword is here for the command line's sake.
package auth
