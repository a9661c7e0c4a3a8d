// Package certs makes TLS configurations out of a `tls` block and its files, and swaps certificates
// while connections go on.
//
// A Server is what one listener, or several, use for as long as they live: Config returns the same
// tls.Config each time, and each handshake asks it for what is current. That changes as a whole, by
// Replace, or because the files it came from have changed and can be read; connections that have
// done their handshake notice nothing. Certificates, keys and authorities are in memory once, not
// once a connection.
//
// # Session tickets
//
// They are switched off. A ticket made yesterday lets a client in today without looking at its
// certificate as the configuration of today says. What it would save is small: connections of
// devices last for days, few clients keep tickets, and the key exchange is done either way.
package certs
