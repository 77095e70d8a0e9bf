#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The tests of t/integration as TAP; see tap.py there. RINGGATE_IO=epoll (or
# uring) restricts them to one engine, INTEGRATION holds more pytest options.
root=${abs_top_srcdir:-$(cd "$(dirname "$0")/.." && pwd)}
exec "${PYTHON:-/usr/bin/python3}" -B "$root/t/integration/tap.py" $INTEGRATION
