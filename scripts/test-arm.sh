#!/usr/bin/env bash
# Runs the unit suite as ARM programs under qemu-user: each test binary is cross-compiled here and run
# emulated, in its package's folder; packages are found automatically. Then the core of tests/peers, with
# an edgebus that is emulated between clients and reference servers that are not. Logs stay in build/.
#
#   scripts/test-arm.sh                          both, on armv6, armv7 and arm64
#   scripts/test-arm.sh --short                  as CI does: the unit suite on armv6, -short
#   scripts/test-arm.sh --short armv7 ./parser   only these targets and packages
#   scripts/test-arm.sh --peers arm64            only the peers
#   scripts/test-arm.sh --units 386              only the unit suite
#
# Further targets, when they are named: 386, which an amd64 runs without an emulator, riscv64 and mipsle.
#
# Emulation is some ten times slower than the machine itself, and without binfmt_misc an emulated
# program cannot start another emulated one. Tests that cannot bear the first ask testing.Short;
# packages that need the second are in the list below.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# excluded FOLDER QEMU: prints why its tests are left out, and fails if they are not.
excluded() {
	case $1 in
	./internal/tidy) echo "reads the source, not the machine" ;;
	./cmd/* | ./tests/*) [ -n "$2" ] && echo "starts programs, which qemu-user cannot without binfmt_misc" ;;
	*) return 1 ;;
	esac
}

# What peers try on ARM: all tests of these files. The others are about configuration, which the unit
# suite has been through, or measure.
peer_files=(core limits line login other leaf_routing leaf_login)

flags=(-vet=off -timeout 30m)
targets=()
packages=()
units=yes
peers=yes
for argument in "$@"; do
	case $argument in
	--short) flags+=(-short) peers=no ;;
	--units) peers=no ;;
	--peers) units=no ;;
	armv6 | armv7 | arm64 | 386 | riscv64 | mipsle) targets+=("$argument") ;;
	-*) echo "test-arm: unknown option \"$argument\"; one of: --short --units --peers" >&2 && exit 2 ;;
	*) packages+=("$argument") peers=no ;;
	esac
done
if [ ${#targets[@]} -eq 0 ]; then
	# The short form takes the target where most breaks first: 32 bits, strict alignment.
	if [[ " ${flags[*]} " == *" -short "* ]]; then targets=(armv6); else targets=(armv6 armv7 arm64); fi
fi
[ ${#packages[@]} -gt 0 ] || packages=(./...)
mkdir -p build

# emulator TARGET: prints the program that runs it, installed where that is allowed; nothing where the
# machine does.
emulator() {
	local name=qemu-arm
	case $1 in
	386)
		if [ "$(go env GOHOSTARCH)" = amd64 ]; then return 0; fi
		name=qemu-i386
		;;
	arm64) name=qemu-aarch64 ;;
	riscv64) name=qemu-riscv64 ;;
	mipsle) name=qemu-mipsel ;;
	esac
	first "$name-static" "$name" && return 0
	debian qemu-user-static || debian qemu-user || return 1
	first "$name-static" "$name"
}

# on TARGET COMMAND...: runs a command that is to build for it.
on() {
	local goarch=$1 goarm=7
	shift
	case $goarch in
	armv*) goarm=${goarch#armv} goarch=arm ;;
	esac
	GOOS=linux GOARCH=$goarch GOARM=$goarm GOMIPS=softfloat CGO_ENABLED=0 "$@"
}

folders() {
	go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' "${packages[@]}" | sed "s#^$PWD#.#"
}

# run_units TARGET QEMU
run_units() {
	local folder reason
	local chosen=()
	for folder in $(folders); do
		if reason=$(excluded "$folder" "$2"); then
			echo "left out $folder: $reason"
		else
			chosen+=("$folder")
		fi
	done
	[ ${#chosen[@]} -gt 0 ] || { echo "no package with tests" >&2; return 1; }
	on "$1" told "units-$1.log" ${2:+-exec "$2"} "${flags[@]}" "${chosen[@]}"
}

# peer_tests: the names of what peers try, as a pattern.
peer_tests() {
	local each
	for each in "${peer_files[@]}"; do
		sed -nE 's/^func (Test[A-Za-z0-9_]+)\(t \*testing\.T\).*/\1/p' "tests/peers/${each}_test.go" || return 1
	done | paste -sd '|' -
}

# run_peers TARGET QEMU: the tests start a script where they would start edgebus. What they try of two
# references alone, to judge themselves, is not for here. One test at a time: a dozen emulated servers that
# start at once would all be too late, and so are those of the test that is left out.
run_peers() {
	local script=$PWD/build/edgebus-$1.sh binary=$PWD/build/edgebus-$1.binary tests
	tests=$(peer_tests) || return 1
	on "$1" go build -trimpath -ldflags '-s -w' -o "$binary" ./cmd/edgebus || return 1
	printf '#!/bin/sh\nexec %s "%s" "$@"\n' "$2" "$binary" >"$script"
	chmod +x "$script"
	EDGEBUS_BINARY=$script told "peers-$1.log" -C tests/peers -count=1 -parallel 1 -timeout 30m \
		-run "^($tests)\$" -skip '^TestRefusedLeafEntersOnceTheHubIsPutRight$|/^nats-server$' ./...
}

if [ $peers = yes ] && ! tests/peers/install.sh; then
	leave_out "some of the peers" "tests/peers/install.sh could not bring all of them; it says which above"
fi
for target in "${targets[@]}"; do
	if ! qemu=$(emulator "$target"); then
		leave_out "tests on $target" "no qemu-user here (Debian: apt-get install qemu-user-static)"
		continue
	fi
	under=${qemu:+ under $(basename "$qemu")}
	[ $units = no ] || step "unit suite on $target$under" run_units "$target" "$qemu"
	[ $peers = no ] || step "core of the peers with edgebus for $target$under" run_peers "$target" "$qemu"
done
closing
