#!/usr/bin/env bash
# Runs the unit suite as ARM programs under qemu-user. Packages are found automatically: each test
# binary is cross-compiled here and run emulated, in its package's folder.
#
#   scripts/test-arm.sh                          all packages on armv6, armv7 and arm64
#   scripts/test-arm.sh --short                  as CI does: armv6, -short
#   scripts/test-arm.sh --short armv7 ./parser   only these targets and packages
#
# Emulation is some ten times slower than the machine itself, and without binfmt_misc an emulated
# program cannot start another emulated one. Tests that cannot bear the first ask testing.Short;
# packages that need the second are in the list below.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

# excluded FOLDER: prints why its tests are left out, and fails if they are not.
excluded() {
	case $1 in
	./internal/tidy) echo "reads the source, not the machine" ;;
	./cmd/* | ./tests/*) echo "starts programs, which qemu-user cannot without binfmt_misc" ;;
	*) return 1 ;;
	esac
}

flags=(-vet=off -timeout 15m)
targets=()
packages=()
for argument in "$@"; do
	case $argument in
	--short) flags+=(-short) ;;
	armv6 | armv7 | arm64) targets+=("$argument") ;;
	*) packages+=("$argument") ;;
	esac
done
if [ ${#targets[@]} -eq 0 ]; then
	# The short form takes the target where most breaks first: 32 bits, strict alignment.
	if [[ " ${flags[*]} " == *" -short "* ]]; then targets=(armv6); else targets=(armv6 armv7 arm64); fi
fi
[ ${#packages[@]} -gt 0 ] || packages=(./...)

# emulator ARCH: prints the program that runs it, installed where that is allowed.
emulator() {
	local name=qemu-$1
	first "$name-static" "$name" && return 0
	debian qemu-user-static || debian qemu-user || return 1
	first "$name-static" "$name"
}

folders() {
	go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' "${packages[@]}" | sed "s#^$PWD#.#"
}

run_target() {
	local folder reason qemu=$qemu_arm goarch=arm goarm=
	local chosen=()
	case $1 in
	armv6) goarm=6 ;;
	armv7) goarm=7 ;;
	arm64) goarch=arm64 qemu=$qemu_arm64 ;;
	esac
	for folder in $(folders); do
		if reason=$(excluded "$folder"); then
			echo "left out $folder: $reason"
		else
			chosen+=("$folder")
		fi
	done
	[ ${#chosen[@]} -gt 0 ] || { echo "no package with tests" >&2; return 1; }
	GOOS=linux GOARCH=$goarch GOARM=$goarm CGO_ENABLED=0 go test -exec "$qemu" "${flags[@]}" "${chosen[@]}"
}

if qemu_arm=$(emulator arm) && qemu_arm64=$(emulator aarch64); then
	for target in "${targets[@]}"; do
		step "unit suite on $target under $(basename "$qemu_arm")" run_target "$target"
	done
else
	leave_out "unit suite on ARM" "no qemu-user here (Debian: apt-get install qemu-user-static)"
fi
closing
