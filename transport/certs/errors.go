package certs

import "errors"

var (
	// ErrNotPinned: the key of a peer's certificate is not among pinned_certs, or it has shown none.
	ErrNotPinned = errors.New("certs: the key of the certificate is not among pinned_certs")
	// ErrOptions: the block asks for what cannot be had.
	ErrOptions = errors.New("certs: tls")
)
