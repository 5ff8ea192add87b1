#!/bin/sh
# Chromium and MariaDB, which some tests drive: installed where this is root's Debian, and left to
# the user elsewhere. Without them those tests are skipped, and pytest's summary says so.
missing=""
command -v chromium >/dev/null || missing="chromium"
command -v mariadbd >/dev/null || [ -x /usr/sbin/mariadbd ] || missing="$missing mariadb-server"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  # The package's own server is not wanted: the tests start one on a folder of theirs.
  (apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends $missing) >/dev/null 2>&1 && exit 0
fi
echo "not installed: $missing; the tests that need it will be skipped" >&2
