# SPDX-License-Identifier: Apache-2.0
#
# RINGGATE_LLHTTP
# The HTTP/1 parser: the shared library when pkg-config knows it (Debian 13),
# else the C sources that Debian 12 ships in node-llhttp, compiled in strict
# mode. The sources lie outside our tree, so config.status writes one-line
# files that include them.
AC_DEFUN([RINGGATE_LLHTTP], [
AC_ARG_WITH([llhttp-sources],
    [AS_HELP_STRING([--with-llhttp-sources=DIR],
        [compile llhttp from api.c, http.c and llhttp.c in DIR
         (default: the libllhttp of pkg-config, else /usr/share/llhttp)])],
    [], [with_llhttp_sources=auto])
AC_ARG_WITH([llhttp-headers],
    [AS_HELP_STRING([--with-llhttp-headers=DIR],
        [where llhttp.h lies when llhttp is compiled from its sources
         @<:@/usr/share/include/llhttp@:>@])],
    [], [with_llhttp_headers=/usr/share/include/llhttp])
ringgate_llhttp_local=no
AS_IF([test "x$with_llhttp_sources" = xauto],
    [PKG_CHECK_MODULES([LLHTTP], [libllhttp >= 8.1], [],
        [ringgate_llhttp_local=yes
         with_llhttp_sources=/usr/share/llhttp])],
    [ringgate_llhttp_local=yes])
AS_IF([test $ringgate_llhttp_local = yes], [
    AC_MSG_CHECKING([for the sources of llhttp])
    AS_IF([test -f "$with_llhttp_sources/api.c" && test -f "$with_llhttp_sources/http.c" &&
           test -f "$with_llhttp_sources/llhttp.c" && test -f "$with_llhttp_headers/llhttp.h"],
        [AC_MSG_RESULT([$with_llhttp_sources])
         LLHTTP_CFLAGS="-isystem $with_llhttp_headers"
         LLHTTP_LIBS=],
        [AC_MSG_RESULT([not found])
         RINGGATE_MISSING([llhttp: libllhttp-dev, or where that does not exist node-llhttp],
            [node-llhttp])])
])
AC_SUBST([LLHTTP_CFLAGS])
AC_SUBST([LLHTTP_LIBS])
AM_CONDITIONAL([LLHTTP_LOCAL], [test $ringgate_llhttp_local = yes])
AC_CONFIG_COMMANDS([llhttp_local], [
    AS_IF([test "$ringgate_llhttp_local" = yes], [
        AS_MKDIR_P([llhttp_local])
        for ringgate_file in api http llhttp; do
            echo "#include \"$ringgate_llhttp_sources/$ringgate_file.c\"" \
                >llhttp_local/llhttp_$ringgate_file.c
        done])
], [ringgate_llhttp_local=$ringgate_llhttp_local
ringgate_llhttp_sources='$with_llhttp_sources'])
])
