#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The manual and the CRDs say what the program has; see t/manual.py.
root=${abs_top_srcdir:-$(dirname "$0")/..}
abs_top_srcdir=$root exec "${PYTHON:-python3}" "$root/t/manual.py"
