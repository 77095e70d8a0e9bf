#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tools/tidy.py finds what it is there to find; see tools/tidy_self.py.
root=${abs_top_srcdir:-$(dirname "$0")/..}
exec "${PYTHON:-python3}" "$root/tools/tidy_self.py"
