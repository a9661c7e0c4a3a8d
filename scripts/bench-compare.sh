#!/usr/bin/env bash
# Compares edgebus with two releases of nats-server, side by side on this machine, and prints the
# ratios (docs/performance.md says what they mean). The two servers are built from their published
# source into build/reference, once; nothing else is fetched. All traffic stays on the loopback
# interface.
#
#   scripts/bench-compare.sh                               every shape of the table, 5 rounds: an hour or less
#   scripts/bench-compare.sh -shapes '1to1-*' -rounds 3    options of tests/bench; -h lists them
#
# NATS_SERVER_NEW and NATS_SERVER_OLD name programs to take instead of building them.
set -euo pipefail
cd "$(dirname "$0")/.."

new=v2.15.2
old=v2.9.10
source=github.com/nats-io/nats-server/v2
reference=$PWD/build/reference
flags=(-trimpath -ldflags '-s -w') # as its release binaries are built

# is_version PROGRAM VERSION: that program, in just that version.
is_version() {
	[ -x "$1" ] && [ "$("$1" -v 2>/dev/null)" = "nats-server: ${2}" ]
}

# fetch VERSION: prints the program's path.
fetch() {
	local folder=$reference/$1
	if ! is_version "$folder/nats-server" "$1"; then
		echo "building nats-server $1" >&2
		GOBIN=$folder CGO_ENABLED=0 go install "${flags[@]}" "$source@$1" >&2 || return 1
	fi
	echo "$folder/nats-server"
}

# fetch_armv6 VERSION: the same program for ARM v6, of which only the size is looked at. Go puts
# what it builds for another machine into a folder of GOPATH, so it gets one.
fetch_armv6() {
	local path=$reference/$1/armv6/bin/linux_arm/nats-server modules
	if [ ! -e "$path" ]; then
		echo "building nats-server $1 for ARM v6" >&2
		modules=$(go env GOMODCACHE)
		env -u GOBIN GOPATH="$reference/$1/armv6" GOMODCACHE="$modules" GOOS=linux GOARCH=arm GOARM=6 CGO_ENABLED=0 \
			go install "${flags[@]}" "$source@$1" >&2 || return 1
	fi
	echo "$path"
}

# old_server: the older release, from source or as Debian ships it.
old_server() {
	local packaged
	fetch "$old" && return 0
	packaged=$(command -v nats-server) && is_version "$packaged" "$old" && echo "$packaged"
}

for argument in "$@"; do
	case $argument in
	-h | -help | --help | -list | --list | -from* | --from*)
		exec go run ./tests/bench "$@" # nothing is started for these
		;;
	esac
done

new_program=${NATS_SERVER_NEW:-$(fetch $new)}
against=(-against "nats-server ${new#v}=$new_program")
if old_program=${NATS_SERVER_OLD:-$(old_server)}; then
	against+=(-against "nats-server ${old#v}=$old_program")
else
	echo "bench-compare: no nats-server $old: it could not be built, and Debian's package is not here; only $new is compared with" >&2
fi

make -s build
DIST=build/bench-size scripts/cross-compile.sh linux-armv6 >&2
sizes=(-size edgebus=build/bench-size/edgebus-linux-armv6)
if new_armv6=$(fetch_armv6 $new); then
	sizes+=(-size "nats-server ${new#v}=$new_armv6")
fi
go build -o build/bench ./tests/bench
exec build/bench -edgebus build/edgebus "${against[@]}" "${sizes[@]}" "$@"
