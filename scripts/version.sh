#!/usr/bin/env bash
# Prints the version a build carries: the tag v1.2.3 it stands on, v1.2.3-4-gabcdef behind one,
# dev-abcdef where there is no tag, dev where there is no git. How much of a commit's name is printed does
# not depend on how much of the history is here: a build of a shallow clone is the same, to the byte.
cd "$(dirname "$0")/.." || exit 1
git describe --tags --dirty --abbrev=12 --match 'v[0-9]*' 2>/dev/null && exit
commit=$(git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null) && echo "dev-$commit" || echo dev
