#!/usr/bin/env bash
# Prints the version a build carries: the tag v1.2.3 it stands on, v1.2.3-4-gabcdef behind one,
# dev-abcdef where there is no tag, dev where there is no git.
cd "$(dirname "$0")/.." || exit 1
git describe --tags --dirty --match 'v[0-9]*' 2>/dev/null && exit
commit=$(git describe --always --dirty --exclude '*' 2>/dev/null) && echo "dev-$commit" || echo dev
