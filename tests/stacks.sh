#!/bin/sh
# Each stack goes on with what the other left: this machine's, and that of a bare Debian 13. Exit
# code 77: there can be no Debian 13 here.
#
# Usage: sh tests/stacks.sh ROOT
set -eu
root=$1
tree=$(pwd -P)

there() { sh tests/trixie.sh "$root" "$@"; }
# A run, and what its model says of twenty images.
ran='rm -rf $0 && make run OUT=$0 >&2 &&
  find "$PWD/$0/data" -name "*.png" | sort | head -n 20 |
    xargs .venv/bin/tfxray predict --model "$0" --json --force >"$0/predictions.jsonl"'
goes_on='TFXRAY_OTHER_STACK=$0 .venv/bin/python -m pytest -n 0 tests/test_stacks.py'

there sh -c "$ran" runs/of-trixie
sh -c "$ran" runs/of-this-machine
rm -rf "$root$tree/runs/of-this-machine"
cp -a runs/of-this-machine "$root$tree/runs/"
rm -rf runs/of-trixie
cp -a "$root$tree/runs/of-trixie" runs/
there sh -c "$goes_on" runs/of-this-machine
sh -c "$goes_on" runs/of-trixie
