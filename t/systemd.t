#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The unit as installed: it parses, and its sandbox stays as tight as it is.
# systemd-analyze's exposure is 0 (best) to 100; a service without a sandbox has 96.
threshold=16

unit_dir=$(mktemp -d) || exit 99
trap 'rm -rf "$unit_dir"' EXIT
source=${abs_top_srcdir:-.}/systemd/ringgate.service.in
# The checks want programs that exist: the gateway's place is taken by one that does.
sed -e 's|@bindir@/ringgate|/bin/true|' \
    -e '/^Documentation=/d' "$source" >"$unit_dir/ringgate.service" || exit 99

if ! command -v systemd-analyze >/dev/null 2>&1; then
    echo '1..0 # SKIP systemd-analyze is not installed'
    exit 0
fi
echo 1..3
check() {
    if "$@" >"$unit_dir/out" 2>&1; then
        echo "ok $number - $name"
    else
        echo "not ok $number - $name"
        sed 's/^/# /' "$unit_dir/out"
    fi
}
number=1 name='no directory is left unset'
check sh -c '! grep -n "@[a-z]*@" "$1"' sh "$unit_dir/ringgate.service"
number=2 name='the unit is valid'
check systemd-analyze verify --man=no "$unit_dir/ringgate.service"
number=3 name="exposure is at most $threshold"
check systemd-analyze security --no-pager --offline=true --threshold=$threshold \
    "$unit_dir/ringgate.service"
