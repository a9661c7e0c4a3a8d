#!/usr/bin/env bash
# Brings the peers that tests are played with, as far as it may:
#
#   nats-server v2.15.2   built by go install, into tests/.cache
#   libnats, gcc          Debian packages, where apt-get may be used (as root)
#   nats.js               by npm into tests/peers/js/node_modules; node and npm as Debian packages
#
# What is there already is left alone. It ends with 0 when the reference server is there: the tests
# say aloud which client they leave out. With CI=true a missing one is a failure.
set -uo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

version=v2.15.2 # as in tests/process/binary.go
missing=()

# reference: one of the places where tests/process looks has the exact version.
reference() {
	local path
	for path in tests/.cache/nats-server "$(command -v nats-server)" "$(go env GOPATH)/bin/nats-server"; do
		[ -x "$path" ] && [ "$("$path" -v 2>/dev/null)" = "nats-server: $version" ] && return 0
	done
	return 1
}

install_reference() {
	reference && return 0
	echo "peers: building nats-server $version"
	mkdir -p tests/.cache
	# Outside the module: it is a program of its own, not a dependency.
	(cd tests/.cache && GOFLAGS= GOWORK=off CGO_ENABLED=0 GOBIN=$PWD go install "github.com/nats-io/nats-server/v2@$version") && reference
}

library() {
	command -v gcc >/dev/null && echo '#include <nats/nats.h>' | gcc -E -xc - >/dev/null 2>&1
}

install_library() {
	library && return 0
	echo "peers: installing libnats and a C compiler"
	debian gcc libc6-dev libnats-dev && library
}

javascript() {
	command -v node >/dev/null && [ -d tests/peers/js/node_modules/@nats-io/transport-node ]
}

install_javascript() {
	javascript && return 0
	echo "peers: installing nats.js"
	command -v node >/dev/null || debian nodejs || return 1
	command -v npm >/dev/null || debian npm || return 1
	(cd tests/peers/js && npm ci --no-audit --no-fund --loglevel=error) && javascript
}

install_reference || missing+=("nats-server $version")
install_library || missing+=("libnats (Debian: gcc libc6-dev libnats-dev)")
install_javascript || missing+=("nats.js (Debian: nodejs npm, then npm ci in tests/peers/js)")

for each in ${missing[@]+"${missing[@]}"}; do
	echo "peers: MISSING $each" >&2
done
[ ${#missing[@]} -eq 0 ] || { [ "${CI:-}" != true ] && reference; }
