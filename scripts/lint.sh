#!/usr/bin/env bash
# gofmt, vet and tidy requirements in every module, and the repository's own rules (internal/tidy).
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

formatted() {
	local bad
	bad=$(find . -name '*.go' -not -path './build/*' -not -path '*/node_modules/*' -print0 | xargs -0 gofmt -l)
	[ -z "$bad" ] || { printf 'not gofmt-ed:\n%s\n' "$bad"; return 1; }
}

vetted() {
	local module
	for module in $(modules); do
		(cd "$module" && go vet ./...) || return 1
	done
}

required() {
	local module
	for module in $(modules); do
		(cd "$module" && go mod tidy -diff) || { echo "$module: go mod tidy would change go.mod or go.sum"; return 1; }
	done
}

shells() {
	local script
	for script in .ci/run scripts/*.sh; do
		bash -n "$script" || return 1
	done
}

step "gofmt" formatted
step "shell syntax" shells
step "go vet, every module" vetted
step "go.mod and go.sum, every module" required
step "tidy: imports, sizes, words" go test -count=1 ./internal/tidy
closing
