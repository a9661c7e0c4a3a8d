// Package system answers and announces on the system account: requests of tools, clients that come
// and go, how the server is.
//
// What there is to tell it is handed in functions; it knows subjects, filters and envelopes. A
// request is copied where it arrives, on its publisher's goroutine, into a bounded queue. One
// goroutine answers, another one publishes and owns the lane: a page that takes its time keeps
// nobody else waiting. Commands that may take seconds get a goroutine of their own, one at a time.
//
// Other accounts reach four of the requests by imports of services, which whoever configures the
// broker adds; see Imports.
//
// Events are made only while somebody in the system account has subscribed to them.
package system
