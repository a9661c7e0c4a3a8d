// Package certs makes TLS configurations out of a `tls` block and its files, and swaps certificates
// while connections go on.
//
// A Server is what one listener, or several, use for as long as the block stays: Config returns the same
// tls.Config each time, and each handshake asks it for what is current. That changes as a whole when
// the files it came from have changed and can be read; connections that have done their handshake
// notice nothing. Another `tls` block is another Server. Certificates, keys and authorities are in
// memory once, not once a connection.
//
// # Session tickets
//
// They are switched off. A ticket made yesterday lets a client in today without looking at its
// certificate as the configuration of today says. What it would save is small: connections of
// devices last for days, few clients keep tickets, and the key exchange is done either way.
//
// # Authorities
//
// A hub is checked against ca_file, or else against the system's list, or on a machine without one
// against the list that Roots has from the program itself.
package certs
