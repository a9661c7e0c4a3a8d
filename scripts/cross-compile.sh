#!/usr/bin/env bash
# Builds release binaries into dist/: static, stripped, without paths of this machine, with checksums.
# The same commit and the same Go give the same bytes, in any folder: scripts/reproducible.sh shows it.
#
#   scripts/cross-compile.sh                         all targets
#   scripts/cross-compile.sh linux-armv6             only the named ones
#   scripts/cross-compile.sh --vet [TARGET...]       writes nothing: compiles and vets all packages and tests
#   scripts/cross-compile.sh --list                  the targets, one a line
#   VERSION=v0.1.0 DIST=out scripts/cross-compile.sh
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/lib.sh

all=(linux-armv5 linux-armv6 linux-armv7 linux-arm64 linux-amd64 linux-386 linux-riscv64 linux-mipsle
	darwin-arm64 darwin-amd64 windows-amd64 windows-arm64 freebsd-amd64)

# A gateway's flash is small: a binary that passes this is a decision, not an accident. Other code than
# ARM's is longer, and longest that of MIPS without a unit for floating point: by 14 %.
max_bytes() {
	case $1 in
	linux-arm*) echo "${MAX_BYTES:-10500000}" ;;
	linux-mipsle) echo "${MAX_BYTES:-12000000}" ;; # 1.14 times ARM's
	*) echo "${MAX_BYTES:-11500000}" ;;
	esac
}

# What people have set for their own builds must not show in these, be it in the environment or by
# `go env -w`. A variable that is empty would let the latter through, so each has a word; experiments have
# none for "as released".
export GOFLAGS=-mod=readonly GOFIPS140=off CGO_ENABLED=0 GOWORK=off
export GOAMD64=v1 GO386=sse2 GOARM64=v8.0 GORISCV64=rva20u64 GOMIPS=softfloat

unset GOEXPERIMENT
experiments=$(go env GOEXPERIMENT)
[ -z "$experiments" ] || {
	echo "cross-compile: these are not builds as released with GOEXPERIMENT=$experiments: go env -u GOEXPERIMENT" >&2
	exit 1
}

# on TARGET COMMAND...: runs a command that is to build for it.
on() {
	local goos=${1%%-*} goarch=${1#*-} goarm=7
	shift
	case $goarch in
	armv*) goarm=${goarch#armv} goarch=arm ;;
	esac
	GOOS=$goos GOARCH=$goarch GOARM=$goarm "$@"
}

# file_of TARGET: its name in dist/.
file_of() {
	case $1 in
	windows-*) echo "edgebus-$1.exe" ;;
	*) echo "edgebus-$1" ;;
	esac
}

# loads_nothing TARGET FILE: on Linux and FreeBSD no program interpreter and nothing to load; the others
# always bring libraries of the system itself. True as well where `file` is missing.
loads_nothing() {
	case $1 in linux-* | freebsd-*) ;; *) return 0 ;; esac
	command -v file >/dev/null || return 0
	file "$2" | grep -q 'statically linked'
}

vet() {
	on "$1" go build ./... && on "$1" go vet ./...
}

known() {
	local each
	for each in "${all[@]}"; do
		[ "$each" != "$1" ] || return 0
	done
	return 1
}

mode=build
targets=()
for argument in "$@"; do
	case $argument in
	--list) printf '%s\n' "${all[@]}" && exit ;;
	--vet) mode=vet ;;
	*)
		known "$argument" || { echo "cross-compile: unknown target \"$argument\"; one of: ${all[*]}" >&2; exit 2; }
		targets+=("$argument")
		;;
	esac
done
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")

if [ $mode = vet ]; then
	for target in "${targets[@]}"; do
		step "build and vet for $target" vet "$target"
	done
	closing
	exit
fi

version=${VERSION:-$(scripts/version.sh)}
dist=${DIST:-dist}
mkdir -p "$dist"
rm -f "$dist"/edgebus-* "$dist"/SHA256SUMS

for target in "${targets[@]}"; do
	output=$dist/$(file_of "$target")
	on "$target" go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version" -o "$output" ./cmd/edgebus
	loads_nothing "$target" "$output" || { echo "cross-compile: $output is not static" >&2; exit 1; }
done

(cd "$dist" && sha256 edgebus-* >SHA256SUMS)

echo "edgebus $version, $(go env GOVERSION)"
printf '%-14s %12s %8s\n' target bytes MiB
status=0
for target in "${targets[@]}"; do
	size=$(wc -c <"$dist/$(file_of "$target")")
	printf '%-14s %12d %8s\n' "$target" "$size" "$(awk -v n="$size" 'BEGIN { printf "%.1f", n / 1048576 }')"
	if [ "$size" -gt "$(max_bytes "$target")" ]; then
		echo "cross-compile: $target is over $(max_bytes "$target") bytes" >&2
		status=1
	fi
done
exit $status
