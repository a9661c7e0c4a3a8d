# Shared by the scripts beside it: steps with their time, and tools that may have to be installed.
# Sourced, not run. Callers have set -euo pipefail and stand in the repository's root.

passed=0
failed=0
left_out=()

# step NAME COMMAND...: runs a step, says how long it took and goes on after a failure.
# The options of `if` make bash ignore -e inside, so a step is a program or a function of one thought.
step() {
	local name=$1 began=$SECONDS
	shift
	printf '\n=== %s\n' "$name"
	if "$@"; then
		passed=$((passed + 1))
		printf -- '--- ok: %s (%d s)\n' "$name" $((SECONDS - began))
	else
		failed=$((failed + 1))
		printf -- '--- FAILED: %s (%d s)\n' "$name" $((SECONDS - began))
	fi
}

# beside NAME COMMAND...: begins a step that gets what the following ones leave of the processors. together
# waits for it and tells.
beside_names=()
beside_pids=()
beside() {
	local name=$1
	shift
	mkdir -p build
	(
		renice -n 19 "$BASHPID" >/dev/null 2>&1 || true
		"$@"
	) >"build/beside-${#beside_pids[@]}.log" 2>&1 </dev/null &
	beside_names+=("$name")
	beside_pids+=($!)
}

# together waits for the steps that run beside the others.
together() {
	local i
	for i in "${!beside_pids[@]}"; do
		step "${beside_names[$i]}" ended "$i"
	done
}

ended() {
	local status=0
	wait "${beside_pids[$1]}" || status=$?
	cat "build/beside-$1.log"
	return "$status"
}

# leave_out WHAT WHY: says aloud that something is not checked. In CI that is a failure.
leave_out() {
	left_out+=("$1: $2")
	printf '\n=== %s\n' "$1"
	if [ "${CI:-}" = true ]; then
		failed=$((failed + 1))
		printf -- '--- FAILED: %s: %s\n' "$1" "$2"
	else
		printf -- '--- LEFT OUT: %s: %s\n' "$1" "$2"
	fi
}

# closing: the count, and what was left out. Its status is the script's.
closing() {
	local each
	echo
	for each in ${left_out[@]+"${left_out[@]}"}; do
		echo "left out: $each"
	done
	printf 'took %d min %d s\n' $((SECONDS / 60)) $((SECONDS % 60))
	if [ ${#left_out[@]} -gt 0 ] && [ "${CI:-}" != true ]; then
		printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "${#left_out[@]}"
	else
		printf '%d passed, %d failed\n' "$passed" "$failed"
	fi
	[ "$failed" -eq 0 ]
}

# may_install: true where packages can be installed without asking: Debian or its like, as root.
may_install() {
	[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

# debian PACKAGE...: installs Debian packages where that is allowed.
debian() {
	may_install || return 1
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 && return 0
	apt-get update -qq >/dev/null 2>&1 &&
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# first COMMAND...: prints the first of these that is on the path.
first() {
	local each
	for each in "$@"; do
		if command -v "$each"; then return 0; fi
	done
	return 1
}

# sha256 FILE...: their sums, in the form of sha256sum, which not every system has.
sha256() {
	if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

# results WORD LOG: how many tests ended with PASS, FAIL or SKIP.
results() {
	grep -acE "^[[:space:]]*--- $1: " "$2" || true
}

# told LOG ARGUMENTS...: go test, verbose into a log in build/. Shown are each package's result, each peer
# that a test left out, what a package that failed printed, and how many tests there were, those in tests
# included.
told() {
	local log=build/$1 status=0
	shift
	go test "$@" -v >"$log" 2>&1 || status=$?
	grep -aE '^(ok|FAIL|\?)[[:space:]]' "$log" | grep -av 'no test files' || true
	grep -aE '^[[:space:]]*SKIPPED ' "$log" || true
	printf '%d tests passed, %d failed, %d skipped' "$(results PASS "$log")" "$(results FAIL "$log")" "$(results SKIP "$log")"
	[ "$(results SKIP "$log")" = 0 ] || printf '; their reasons are in %s' "$log"
	echo
	if [ "$status" -ne 0 ]; then
		echo "--- from $log:"
		# A package's lines end with its result: those before ok are let go.
		awk '/^(ok|\?)[ \t]/ { lines = ""; next } { lines = lines $0 "\n" } /^FAIL[ \t]/ { printf "%s", lines; lines = "" } END { printf "%s", lines }' "$log" |
			grep -avE '^[[:space:]]*(=== |--- (PASS|SKIP))|^PASS$' | tail -n 400
	fi
	return "$status"
}

# modules: the folders with a go.mod of their own, the root's first.
modules() {
	echo .
	find . -mindepth 2 -name go.mod -not -path '*/node_modules/*' -not -path './build/*' | sed 's#/go\.mod$##' | sort
}
