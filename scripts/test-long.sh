#!/usr/bin/env bash
# What takes too long for every change. What fails here is rare, so the seeds that tests print matter.
#   REPEAT (20)       how often the tests run under the race detector
#   NOISE_COUNT (20000) conversations of random lines, played alike against the reference server
#   CONFIGURATIONS (20000) made up at random, decided alike by the reference server
#   FUZZTIME (10m)    for each fuzz target
#   SOAK (10m)        1,000 clients with 10,000 messages a second in a control group of 32 MiB
#   SILENT (5m)       1,000 clients that only answer PINGs
# and all builds, the unit suite and the core of the peers on every ARM.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

repeat=${REPEAT:-20}
export NOISE_COUNT=${NOISE_COUNT:-20000}

tests/peers/install.sh || leave_out "some of the peers" "tests/peers/install.sh could not bring all of them; it says which above"
step "tests $repeat times under the race detector" env CGO_ENABLED=1 go test -race -count="$repeat" -timeout 12h ./...
step "noise: $NOISE_COUNT conversations" go test -count=1 -timeout 12h -run Noise ./tests/transcripts
step "made-up configurations" go test -count=1 -timeout 12h ./tests/differential -configs "${CONFIGURATIONS:-20000}"
step "leaf links over bad lines, in full" env EDGEBUS_LONG=1 go -C tests/peers test -count=1 -timeout 12h -run "Leaf|Leaves|Garbage|LinkIs|DeadLine|20000" .
step "the SDK: lines cut 200 times, servers killed, costs beside nats.go" env EDGEBUS_LONG=1 go -C tests/peers test -count=1 -timeout 1h -run "SDK(PublishSync|Outbox|Costs)" .
step "mixed clients under random faults for half an hour" env EDGEBUS_LONG=1 go test -C tests/peers -count=1 -timeout 1h -v -run MixedClients .
step "reload under load and many logins, in full" env EDGEBUS_RELOAD=full go test -count=1 -timeout 30m -v ./tests/reload
step "fuzzing" env FUZZTIME="${FUZZTIME:-10m}" scripts/fuzz.sh
step "builds for all targets, tests as well" scripts/cross-compile.sh --vet
step "release binaries from two clones have the same bytes" scripts/reproducible.sh
step "Debian packages, from installation to purge, and their service under systemd" scripts/test-packages.sh
step "unit suite and peers on every ARM" scripts/test-arm.sh
step "unit suite on other kinds of processor" scripts/test-arm.sh --units 386 riscv64 mipsle
soak() { # the short form of this is in tests/bench
	go build -o build/bench ./tests/bench && make build && build/bench -edgebus build/edgebus -rounds 1 -check "$@"
}
if [ "$(id -u)" = 0 ]; then
	step "soak in a control group" soak -shapes cgroup -for "${SOAK:-10m}"
else
	leave_out "soak in a control group" "only root can make one"
fi
step "silent clients" soak -shapes silent -for "${SILENT:-5m}"
closing
