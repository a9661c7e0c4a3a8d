#!/usr/bin/env bash
# Builds release binaries into dist/: static, stripped, without paths of this machine, with checksums.
#
#   scripts/cross-compile.sh                         all targets
#   scripts/cross-compile.sh linux-armv6             only the named ones
#   VERSION=v0.1.0 DIST=out scripts/cross-compile.sh
#
# Targets: linux-armv6 linux-armv7 linux-arm64 linux-amd64
set -euo pipefail
cd "$(dirname "$0")/.."

all=(linux-armv6 linux-armv7 linux-arm64 linux-amd64)
version=${VERSION:-$(scripts/version.sh)}
# A gateway's flash is small: a binary that passes this is a decision, not an accident.
max_bytes=${MAX_BYTES:-10500000}
dist=${DIST:-dist}

# build_one TARGET OUTPUT
build_one() {
	local goarch goarm=
	case $1 in
	linux-armv6) goarch=arm goarm=6 ;;
	linux-armv7) goarch=arm goarm=7 ;;
	linux-arm64) goarch=arm64 ;;
	linux-amd64) goarch=amd64 ;;
	*)
		echo "cross-compile: unknown target \"$1\"; one of: ${all[*]}" >&2
		return 2
		;;
	esac
	GOOS=linux GOARCH=$goarch GOARM=$goarm CGO_ENABLED=0 go build -trimpath -buildvcs=false \
		-ldflags "-s -w -X main.version=$version" -o "$2" ./cmd/edgebus
}

# is_static FILE: no program interpreter and nothing to load. True as well where `file` is missing.
is_static() {
	command -v file >/dev/null || return 0
	file "$1" | grep -q 'statically linked'
}

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=("${all[@]}")
mkdir -p "$dist"
rm -f "$dist"/edgebus-* "$dist"/SHA256SUMS

for target in "${targets[@]}"; do
	output=$dist/edgebus-$target
	build_one "$target" "$output"
	is_static "$output" || { echo "cross-compile: $output is not static" >&2; exit 1; }
done

(cd "$dist" && sha256sum edgebus-* >SHA256SUMS)

echo "edgebus $version"
printf '%-14s %12s %8s\n' target bytes MiB
status=0
for target in "${targets[@]}"; do
	size=$(wc -c <"$dist/edgebus-$target")
	printf '%-14s %12d %8s\n' "$target" "$size" "$(awk -v n="$size" 'BEGIN { printf "%.1f", n / 1048576 }')"
	if [ "$size" -gt "$max_bytes" ]; then
		echo "cross-compile: $target is over $max_bytes bytes" >&2
		status=1
	fi
done
exit $status
