module github.com/edgebus-io/edgebus/tests/peers

go 1.26.0

require (
	github.com/edgebus-io/edgebus v0.0.0
	github.com/nats-io/jwt/v2 v2.8.2
	github.com/nats-io/nats.go v1.55.0
	github.com/nats-io/nkeys v0.4.17
	golang.org/x/crypto v0.58.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/klauspost/compress v1.20.3 // indirect
	github.com/nats-io/nuid v1.0.1 // indirect
)

replace github.com/edgebus-io/edgebus => ../..
