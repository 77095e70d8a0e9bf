# SPDX-License-Identifier: Apache-2.0
#
# RINGGATE_CC_FLAGS(VARIABLE, FLAGS)
# Appends to VARIABLE each compiler flag that the compiler takes without a word.
AC_DEFUN([RINGGATE_CC_FLAGS], [
for ringgate_flag in m4_normalize([$2]); do
    AS_VAR_PUSHDEF([ringgate_cache], [ringgate_cv_cc_$ringgate_flag])
    AC_CACHE_CHECK([whether $CC accepts $ringgate_flag], [ringgate_cache], [
        ringgate_saved_CFLAGS=$CFLAGS
        CFLAGS="$CFLAGS -Werror $ringgate_flag"
        AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <string.h>]], [[]])],
            [AS_VAR_SET([ringgate_cache], [yes])],
            [AS_VAR_SET([ringgate_cache], [no])])
        CFLAGS=$ringgate_saved_CFLAGS
    ])
    AS_VAR_IF([ringgate_cache], [yes], [AS_VAR_APPEND([$1], [" $ringgate_flag"])])
    AS_VAR_POPDEF([ringgate_cache])
done
])

# RINGGATE_LD_FLAGS(VARIABLE, FLAGS)
# The same for flags of the link step.
AC_DEFUN([RINGGATE_LD_FLAGS], [
for ringgate_flag in m4_normalize([$2]); do
    AS_VAR_PUSHDEF([ringgate_cache], [ringgate_cv_ld_$ringgate_flag])
    AC_CACHE_CHECK([whether the linker accepts $ringgate_flag], [ringgate_cache], [
        ringgate_saved_CFLAGS=$CFLAGS
        ringgate_saved_LDFLAGS=$LDFLAGS
        CFLAGS="$CFLAGS -fPIE"
        LDFLAGS="$LDFLAGS $ringgate_flag"
        AC_LINK_IFELSE([AC_LANG_PROGRAM([[]], [[]])],
            [AS_VAR_SET([ringgate_cache], [yes])],
            [AS_VAR_SET([ringgate_cache], [no])])
        CFLAGS=$ringgate_saved_CFLAGS
        LDFLAGS=$ringgate_saved_LDFLAGS
    ])
    AS_VAR_IF([ringgate_cache], [yes], [AS_VAR_APPEND([$1], [" $ringgate_flag"])])
    AS_VAR_POPDEF([ringgate_cache])
done
])
