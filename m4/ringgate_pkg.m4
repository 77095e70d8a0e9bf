# SPDX-License-Identifier: Apache-2.0
#
# Missing packages are collected and told all at once, with the names that
# Debian gives them: nobody likes to run configure ten times.

# RINGGATE_MISSING(WHAT, DEBIAN-PACKAGE)
AC_DEFUN([RINGGATE_MISSING], [
AS_VAR_APPEND([ringgate_missing], ["
    $1 (Debian package $2)"])
AS_VAR_APPEND([ringgate_missing_debian], [" $2"])
])

# RINGGATE_PKG(VARIABLE-PREFIX, PKG-CONFIG-SPEC, DEBIAN-PACKAGE)
# Sets PREFIX_CFLAGS and PREFIX_LIBS, or notes the package as missing.
AC_DEFUN([RINGGATE_PKG], [
PKG_CHECK_MODULES([$1], [$2], [], [RINGGATE_MISSING([$2], [$3])])
])

# RINGGATE_PKG_REPORT
# Ends configure when something is missing.
AC_DEFUN([RINGGATE_PKG_REPORT], [
AS_IF([test -n "$ringgate_missing"], [
    AC_MSG_ERROR([these packages are missing:$ringgate_missing

On Debian and its relatives this installs them:

    apt-get install$ringgate_missing_debian
])
])
])
