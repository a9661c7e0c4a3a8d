# edgebus: `make run` starts the server, `make test` checks everything. `make help` lists the rest.

GO      ?= go
ARGS    ?=
VERSION := $(shell ./scripts/version.sh)
LDFLAGS := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := build
.PHONY: help run build test test-short test-long test-arm fuzz bench bench-compare lint demo dist packages reproducible clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: build ## build the server and start it: make run ARGS="-p 4222 -D"
	@exec ./build/edgebus $(ARGS)

build: ## build/edgebus for this machine, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o build/edgebus ./cmd/edgebus

test: ## everything that must hold, with other people's clients; under 12 minutes on 2 cores
	@./scripts/check.sh

test-short: ## the inner loop: unit tests without the slow ones; under a minute
	$(GO) test -short -p "$$(./scripts/at-once.sh)" $$($(GO) list ./... | grep -v /tests/)

test-long: ## the tests many times, long fuzzing, every ARM: hours (REPEAT=20 FUZZTIME=10m)
	@./scripts/test-long.sh

test-arm: ## the unit suite and the core of the peers on ARM v6, v7 and arm64 under qemu-user
	@./scripts/test-arm.sh

fuzz: ## each fuzz target for FUZZTIME (default 1m)
	@FUZZTIME=$(or $(FUZZTIME),1m) ./scripts/fuzz.sh

bench: ## the benchmarks of all packages: make bench BENCH=Publish COUNT=6
	$(GO) test -run '^$$' -bench '$(or $(BENCH),.)' -benchmem -count $(or $(COUNT),1) ./...

bench-compare: ## edgebus beside two releases of nats-server, fetched as source: the table of docs/performance.md (ARGS="-h")
	@./scripts/bench-compare.sh $(ARGS)

lint: ## gofmt, vet and the repository's own rules
	@./scripts/lint.sh

demo: ## server, publisher of this machine's readings and a live table together; Ctrl-C ends it (DEMO_SECONDS=n: by itself)
	@./scripts/demo.sh

dist: ## release binaries for thirteen kinds of machine, with checksums: make dist TARGETS="linux-armv6"
	@./scripts/cross-compile.sh $(TARGETS)

packages: ## Debian packages for amd64, arm64, armhf (from ARM v6 on) and armel, with checksums (TARGETS="armhf")
	@./scripts/package.sh $(TARGETS)

reproducible: ## the release binaries from two clones, which must have the same bytes (TARGETS="linux-armv6")
	@./scripts/reproducible.sh $(TARGETS)

clean:
	rm -rf build dist
