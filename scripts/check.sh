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

at_once=$(scripts/at-once.sh)

# builds compiles everything for systems other than this one, `make test-long` for all of a release. For ARM
# with the tests, where a number that is too large for 32 bits is found, and a binary that must keep to its size.
builds() {
	scripts/cross-compile.sh --vet linux-armv6 &&
		GOOS=windows GOARCH=amd64 CGO_ENABLED=0 go build ./... &&
		GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go build ./... &&
		DIST=build/dist scripts/cross-compile.sh linux-armv6
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
	CGO_ENABLED=1 told race.log -race -p "$at_once" -timeout 8m $packages
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
	(cd tests/peers && go vet ./...) && told peers.log -C tests/peers -count=1 -parallel "$at_once" -timeout 8m ./...
}

step "gofmt, vet, tidy" scripts/lint.sh
# Before the tests: transcripts are played against the reference server as well.
if ! tests/peers/install.sh; then
	leave_out "some of the peers" "tests/peers/install.sh could not bring all of them; it says which above"
fi
# What needs processors only and no time of its own.
beside "builds for linux/arm v6, windows/amd64 and darwin/arm64" builds
# By number and not by time: a busy machine that stops late is taken for a finding.
beside "some inputs for each fuzz target" env FUZZTIME="${FUZZTIME:-3000x}" scripts/fuzz.sh
step "tests" told tests.log -p "$at_once" -timeout 8m ./...
if compiler; then
	step "tests under the race detector" raced
else
	leave_out "tests under the race detector" "no C compiler here (Debian: apt-get install gcc libc6-dev)"
fi
step "modules beside the main one" other_modules
step "demo: server, publisher and subscriber together" env DEMO_SECONDS=4 scripts/demo.sh
step "unit suite on ARM, short form" scripts/test-arm.sh --short
step "real peers" peers
together
closing
