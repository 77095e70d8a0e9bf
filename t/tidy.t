#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The style of the tree as a test; see tools/tidy.py.
root=${abs_top_srcdir:-$(dirname "$0")/..}
build=${abs_top_builddir:-}
exec "${PYTHON:-python3}" "$root/tools/tidy.py" --srcdir "$root" ${build:+--builddir "$build"}
