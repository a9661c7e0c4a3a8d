#!/usr/bin/env bash
# Everything that must hold, in the order in which it is quickest to learn that it does not.
# `make test` and CI run this. It installs the tools and peers it needs where that is allowed
# (Debian, as root); elsewhere it says aloud what it leaves out; with CI=true a missing one is a
# failure. FUZZTIME is the time or, as 3000x, the number of inputs for each fuzz target. Logs of the
# test steps stay in build/.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

command -v go >/dev/null || { echo "check: needs Go, the version in go.mod or newer" >&2; exit 1; }
mkdir -p build

# cross GOOS GOARCH: everything compiles there. `make test-long` does all targets of a release.
cross() {
	GOOS=$1 GOARCH=$2 CGO_ENABLED=0 go build ./...
}

# Packages in which goroutines can meet: those that import sync, themselves or in their tests. The
# tests of whole processes have their goroutines in other programs.
meeting() {
	go list -f '{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./... |
		grep -E ' sync(/atomic)?( |$)' | cut -d' ' -f1 | grep -vE '/(tests|internal/tidy)(/|$)'
}

raced() {
	local packages
	packages=$(meeting) || return 1
	# shellcheck disable=SC2086 # one word a package
	CGO_ENABLED=1 told race.log -race -timeout 8m $packages
}

# The race detector is the only thing here that needs a C compiler.
compiler() {
	first gcc clang cc >/dev/null || debian gcc libc6-dev
}

# Modules of their own, bar the peers, which come last.
other_modules() {
	local module
	for module in $(modules); do
		case $module in . | ./tests/*) continue ;; esac
		echo "module $module"
		(cd "$module" && go vet ./... && go test ./...) || return 1
	done
}

peers() {
	(cd tests/peers && go vet ./...) && told peers.log -C tests/peers -count=1 -timeout 8m ./...
}

step "gofmt, vet, tidy" scripts/lint.sh
# With tests: a number that is too large for 32 bits is found here.
step "builds for linux/arm v6, tests as well" scripts/cross-compile.sh --vet linux-armv6
step "builds for windows/amd64" cross windows amd64
step "builds for darwin/arm64" cross darwin arm64
step "a release binary for arm v6: static, within its size" env DIST=build/dist scripts/cross-compile.sh linux-armv6

# Before the tests: transcripts are played against the reference server as well.
if ! tests/peers/install.sh; then
	leave_out "some of the peers" "tests/peers/install.sh could not bring all of them; it says which above"
fi
step "tests" told tests.log -timeout 8m ./...
if compiler; then
	step "tests under the race detector" raced
else
	leave_out "tests under the race detector" "no C compiler here (Debian: apt-get install gcc libc6-dev)"
fi
# By number and not by time: a busy machine that stops late is taken for a finding.
step "some inputs for each fuzz target" env FUZZTIME="${FUZZTIME:-3000x}" scripts/fuzz.sh
step "modules beside the main one" other_modules
step "demo: server, publisher and subscriber together" env DEMO_SECONDS=4 scripts/demo.sh
step "unit suite on ARM, short form" scripts/test-arm.sh --short
step "real peers" peers
closing
