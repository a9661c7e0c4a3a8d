#!/usr/bin/env bash
# Shows that release binaries depend on the commit and on Go, and on nothing else: two clones of this
# repository, in folders of different names, at different hours of different zones, with build caches of
# their own and other settings around them, must give the same bytes. What is not committed takes no part.
#
#   scripts/reproducible.sh                all targets
#   scripts/reproducible.sh linux-armv6    only the named ones
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT

# build_in FOLDER NAME=VALUE... -- TARGET...: clones into the folder and builds there.
build_in() {
	local folder=$work/$1 settings=()
	shift
	while [ "$1" != -- ]; do
		settings+=("$1")
		shift
	done
	shift
	git clone -q --no-local "$root" "$folder"
	env "${settings[@]}" "$folder/scripts/cross-compile.sh" "$@"
}

echo "=== first clone"
build_in one GOCACHE="$work/cache-1" -- "$@"
echo "=== second clone, elsewhere, for somebody with habits of his own"
printf 'GOFLAGS=-tags=nothing\nGOAMD64=v3\n' >"$work/habits" # as go env -w leaves it
build_in "another place/second" GOCACHE="$work/cache-2" GOENV="$work/habits" GOARM=5 CGO_ENABLED=1 TZ=Asia/Tokyo LANG=C -- "$@"

echo "=== the sums"
cat "$work/one/dist/SHA256SUMS"
if ! diff "$work/one/dist/SHA256SUMS" "$work/another place/second/dist/SHA256SUMS"; then
	echo "reproducible: the two clones gave different bytes" >&2
	exit 1
fi
echo "$(wc -l <"$work/one/dist/SHA256SUMS") binaries of $(git rev-parse --short=12 HEAD), the same from both clones"
