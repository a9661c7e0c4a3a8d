#!/usr/bin/env bash
# Runs every fuzz target of the repository, found by name, each for FUZZTIME (default 5s).
# Targets can be named: scripts/fuzz.sh FuzzCutAnywhere. What is found is written beside the target
# under testdata/fuzz and stays: give it a telling name and keep it as a seed.
set -euo pipefail
cd "$(dirname "$0")/.."
fuzztime=${FUZZTIME:-5s}

# list: "folder target" lines. Test files are read as text: building every package only to ask it
# for its targets would take longer than the fuzzing.
list() {
	grep -rnoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*\(' . |
		grep -v '/node_modules/' |
		sed -E 's#^(.*)/[^/]*_test\.go:[0-9]+:func (Fuzz[A-Za-z0-9_]*)\(#\1 \2#' | sort -u
}

count=0
found=()
while read -r folder target; do
	if [ $# -gt 0 ] && [[ " $* " != *" $target "* ]]; then continue; fi
	echo "fuzz $folder $target for $fuzztime"
	(cd "$folder" && go test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime 20x .) </dev/null ||
		found+=("$folder $target")
	count=$((count + 1))
done < <(list)
echo "$count fuzz targets, ${#found[@]} failed"
for each in ${found[@]+"${found[@]}"}; do
	echo "FAILED: $each"
done
[ "$count" -gt 0 ] && [ ${#found[@]} -eq 0 ]
