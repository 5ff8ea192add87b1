#!/bin/sh
# Runs a command on this tree in a bare Debian 13, which is made below a folder the first time: the
# newer stack, on a machine whose own glibc is older. Exit code 77: that cannot be done here.
#
# Usage: sh tests/trixie.sh ROOT COMMAND [ARGUMENT...]
set -eu
root=$1
shift
# The same path inside, since metadata stores and environments hold absolute ones.
tree=$(pwd -P)

not_run() { echo "NOT RUN on Debian 13: $*" >&2; exit 77; }
[ "$(id -u)" = 0 ] || not_run "chroot and debootstrap need root"
unshare --mount --pid --fork true 2>/dev/null || not_run "no mounts are allowed here (unshare fails)"

# One at a time: who comes next replaces the tree.
mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock 9

if [ ! -d "$root" ]; then
  command -v debootstrap >/dev/null || not_run "no debootstrap; apt-get install debootstrap"
  rm -rf --one-file-system "$root.part"
  unshare --mount debootstrap --variant=minbase \
    --include=ca-certificates,g++,git,make,python3,python3-dev,python3-venv \
    trixie "$root.part" http://deb.debian.org/debian >"$root.log" 2>&1 ||
    { tail "$root.log" >&2; not_run "debootstrap failed: $root.log"; }
  mv "$root.part" "$root"
fi

# What git knows, and would know; of what was made there before, the environment and the runs stay.
mkdir -p "$root$tree"
find "$root$tree" -mindepth 1 -maxdepth 1 ! -name .venv ! -name runs -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard |
  tar --create --null --files-from=- --ignore-failed-read 2>/dev/null |
  tar --extract --directory "$root$tree" --no-same-owner

# In namespaces of its own: mounts and processes go with it, however it ends. The machine's
# certificates hold there too, since some networks have one of their own.
export root tree
exec unshare --mount --pid --fork --kill-child sh -eu -c '
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  for file in /etc/resolv.conf /etc/ssl/certs/ca-certificates.crt; do
    [ ! -e "$file" ] || mount --bind "$file" "$root$file"
  done
  proxies=$(env | grep -i "^[a-z]*_proxy=" || true)
  exec env -i $proxies HOME=/root LANG=C.UTF-8 PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    chroot "$root" env --chdir="$tree" "$@"
' sh "$@"
