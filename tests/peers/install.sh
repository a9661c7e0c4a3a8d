#!/usr/bin/env bash
# Brings the peers that tests are played with, as far as it may:
#
#   nats-server v2.15.2   built by go install, into tests/.cache
#   nats-server v2.9.10   likewise, as an older hub and leaf; Debian's package is that version
#   libnats, gcc          Debian packages, where apt-get may be used (as root)
#   nats.js               by npm into tests/peers/js/node_modules; node and npm as Debian packages
#   qemu-user             a Debian package: edgebus itself, built for ARM, among the others
#
# What is there already is left alone. It ends with 0 when the reference server is there: the tests
# say aloud which client they leave out. With CI=true a missing one is a failure.
set -uo pipefail
cd "$(dirname "$0")/../.."
. scripts/lib.sh

version=v2.15.2 # both as in tests/process/binary.go
old=v2.9.10
missing=()

# server VERSION FOLDER: one of the places where tests/process looks has that version.
server() {
	local path
	local -a folders
	IFS=: read -ra folders <<<"$PATH"
	for path in "$2" "${folders[@]}" "$(go env GOPATH)/bin"; do
		[ -x "$path/nats-server" ] && [ "$("$path/nats-server" -v 2>/dev/null)" = "nats-server: $1" ] && return 0
	done
	return 1
}

reference() { server "$version" tests/.cache; }

# install_server VERSION FOLDER
install_server() {
	server "$1" "$2" && return 0
	echo "peers: building nats-server $1"
	mkdir -p "$2"
	# Outside the module: it is a program of its own, not a dependency.
	(cd "$2" && GOFLAGS= GOWORK=off CGO_ENABLED=0 GOBIN=$PWD go install "github.com/nats-io/nats-server/v2@$1") && server "$1" "$2"
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

install_emulator() {
	first qemu-arm-static qemu-arm >/dev/null && return 0
	echo "peers: installing qemu-user"
	debian qemu-user-static || debian qemu-user
}

install_server "$version" tests/.cache || missing+=("nats-server $version")
install_server "$old" "tests/.cache/$old" || missing+=("nats-server $old")
install_library || missing+=("libnats (Debian: gcc libc6-dev libnats-dev)")
install_javascript || missing+=("nats.js (Debian: nodejs npm, then npm ci in tests/peers/js)")

install_emulator || missing+=("qemu-arm (Debian: qemu-user-static)")

for each in ${missing[@]+"${missing[@]}"}; do
	echo "peers: MISSING $each" >&2
done
[ ${#missing[@]} -eq 0 ] || { [ "${CI:-}" != true ] && reference; }
