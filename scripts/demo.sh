#!/usr/bin/env bash
# The demo: an edgebus server, a publisher of this machine's readings and a subscriber that prints
# them as a live table. Ctrl-C ends all three; with DEMO_SECONDS=n it ends by itself.
# Everything stays on this machine's loopback. DEMO_PORT (default 14222) is the port.
set -euo pipefail
cd "$(dirname "$0")/.."
port=${DEMO_PORT:-14222}
url=nats://127.0.0.1:$port
log=build/demo.log
case ${DEMO_SECONDS:-0} in
*[!0-9]*)
	echo "demo: DEMO_SECONDS is \"$DEMO_SECONDS\" and must be a whole number of seconds" >&2
	exit 2
	;;
esac

make -s build
(cd examples/gateway && CGO_ENABLED=0 go build -trimpath -o ../../build/gateway .)
: >"$log"

# Each program gets a process group of its own: a Ctrl-C then reaches only this script, which ends
# them in order, those who talk before the one they talk to.
set -m
server=
publisher=
watcher=

end() {
	[ -n "$1" ] || return 0
	kill -TERM "$1" 2>/dev/null || true
	wait "$1" 2>/dev/null || true
}

finish() {
	trap '' INT TERM
	end "$watcher"
	end "$publisher"
	end "$server"
	trap - EXIT
}
trap finish EXIT
trap 'finish; exit 0' INT
trap 'finish; exit 143' TERM

./build/edgebus -a 127.0.0.1 -p "$port" >>"$log" 2>&1 &
server=$!
# The others wait for it: on a port that is taken they would talk to whoever has it.
until grep -q 'Server is ready' "$log"; do
	if ! kill -0 "$server" 2>/dev/null; then
		echo "demo: the server did not start (DEMO_PORT chooses another port than $port):" >&2
		grep '^edgebus:' "$log" >&2 || tail -n 20 "$log" >&2
		exit 1
	fi
	sleep 0.05
done
./build/gateway publish -server "$url" >>"$log" 2>&1 &
publisher=$!
./build/gateway watch -server "$url" -seconds "${DEMO_SECONDS:-0}" &
watcher=$!

status=0
wait "$watcher" || status=$?
watcher=
if ! kill -0 "$server" 2>/dev/null; then
	echo "demo: the server did not stay up; the end of $log:" >&2
	tail -n 20 "$log" >&2
	status=1
fi
finish
exit "$status"
