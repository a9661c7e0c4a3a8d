#!/usr/bin/env bash
# Prints how many packages, or tests of the peers, run at once: four, or one for each processor if there are more.
# Most of their time is spent waiting for servers, so that two processors would be idle for more than half of it.
set -euo pipefail
processors=$(getconf _NPROCESSORS_ONLN)
echo $((processors > 4 ? processors : 4))
