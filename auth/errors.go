package auth

import "errors"

// When a client connects. What went wrong is for our log; the client is told the same in each case.
var (
	// ErrNoCredentials: authentication is required and the client brought nothing.
	ErrNoCredentials = errors.New("auth: no credentials")
	// ErrCredentials: unknown user, wrong password or wrong token.
	ErrCredentials = errors.New("auth: wrong credentials")
)

// When options are read.
var (
	// ErrOptions is wrapped by everything that New and the UnmarshalConf methods return.
	ErrOptions = errors.New("auth: bad options")
)
