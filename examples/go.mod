module github.com/edgebus-io/edgebus/examples

go 1.26.0

require github.com/edgebus-io/edgebus v0.0.0

replace github.com/edgebus-io/edgebus => ..
