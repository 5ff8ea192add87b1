#!/bin/sh
# Makes the virtual environment: by the newest of our stacks that this machine takes, or by the one
# that STACK or PYTHON names. A stack is a TFX with all that goes with it; its versions stand in
# requirements-STACK.lock.
#
#   tfx-1.21   Python 3.12 or 3.13, glibc 2.39 or newer (Debian 13, Ubuntu 24.04)
#   tfx-1.16   Python 3.10
#
# Usage: [STACK=tfx-1.16] [PYTHON=python3.10] sh setup.sh VENV
set -eu
venv=$1
glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | cut -d' ' -f2)

# pyenv has a python3.13 that only complains, where the folder's version is another one.
version() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null || echo none; }
stack_of() {
  case $1 in 3.12 | 3.13) echo tfx-1.21 ;; 3.10) echo tfx-1.16 ;; *) echo none ;; esac
}
new_enough() { [ "$(printf '%s\n' 2.39 "${glibc:-0}" | sort -V | head -n 1)" = 2.39 ]; }
fail() { echo "$*" >&2; exit 2; }

# What was chosen once stays, until it is chosen otherwise, or `make clean`.
if [ -z "${STACK:-}${PYTHON:-}" ] && [ -n "$(find "$venv" -maxdepth 1 -name '.ready-*' 2>/dev/null)" ] &&
  [ "$(stack_of "$(version "$venv/bin/python")")" != none ]; then
  PYTHON=$venv/bin/python
fi

found=""
for stack in ${STACK:-tfx-1.21 tfx-1.16}; do
  [ -f "requirements-$stack.lock" ] || fail "STACK=$stack: there are tfx-1.21 and tfx-1.16."
  [ "$stack" = tfx-1.16 ] || new_enough || continue
  for python in ${PYTHON:-python3 python3.13 python3.12 python3.10}; do
    if [ "$(stack_of "$(version "$python")")" = "$stack" ]; then
      found=$python
      break 2
    fi
  done
done
[ -n "$found" ] || fail "tfxray${STACK:+, STACK=$STACK,} needs Python 3.12 or 3.13 with glibc 2.39 or newer, \
or Python 3.10. Here: glibc ${glibc:-unknown}, ${PYTHON:-python3} is $(version "${PYTHON:-python3}").
Debian 13, Ubuntu 24.04: apt-get install python3 python3-venv python3-dev g++ make
Elsewhere: a Python 3.10 with its headers (pyenv install 3.10), then: make PYTHON=python3.10 setup"

# The stamp carries a checksum of the files that say what to install. A second call installs nothing,
# unless one of them has changed.
lock=requirements-$stack.lock
ready=$venv/.ready-$stack-$(version "$found")-$(cat "$lock" pyproject.toml setup.py | cksum | cut -d' ' -f1)
[ ! -e "$ready" ] || exit 0
echo "$stack: glibc ${glibc:-unknown}, $found is Python $(version "$found")" >&2
headers=$("$found" -c 'import sysconfig; print(sysconfig.get_path("include"))')
if ! command -v g++ >/dev/null || [ ! -f "$headers/Python.h" ]; then
  fail "tfxray needs g++ and the Python headers: pyfarmhash, which TFX depends on, has no wheel. \
On Debian: apt-get install g++ python3-dev"
fi
# One that was killed while it was made has no pip.
if [ "$(version "$venv/bin/python")" != "$(version "$found")" ] ||
  ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  "$found" -m venv --clear "$venv"
fi
rm -f "$venv"/.ready-*
"$venv/bin/python" -m pip install --quiet "$(grep '^uv==' "$lock")"
# Bytecode: some 25,000 files, compiled once here, or by every process where Python may not write
# (`python -B`).
export VIRTUAL_ENV="$venv"
"$venv/bin/uv" pip install --quiet --compile-bytecode --requirement "$lock"
"$venv/bin/uv" pip install --quiet --no-deps --no-build-isolation --editable .
touch "$ready"
