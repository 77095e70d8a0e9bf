#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# usage: tools/pgo.sh BUILD
# Makes BUILD/ringgate anew with what the compiler learns from a run of the benchmark's load
# (gcc: -fprofile-use) and with optimization at link time. BUILD is where configure ran, whose
# arguments are taken over; BUILD/pgo/src has the sources. `make pgo` calls it.
set -eu

build=$(cd "$1" && pwd)
eval "set -- $("$build/config.status" --config)"
flags=$(sed -n 's/^CFLAGS = //p' "$build/Makefile")
python=$(sed -n 's/^PYTHON = //p' "$build/Makefile")

count="-fprofile-generate -fprofile-update=atomic"
use="-fprofile-use -fprofile-partial-training -Wno-missing-profile -flto=auto"
cc=$(sed -n 's/^CC = //p' "$build/Makefile")
$cc --version | grep -q "Free Software Foundation" || {
    echo "pgo: $cc is not gcc: configure with CC=gcc" >&2
    exit 1
}

stage() {
    echo "pgo: $1 (log: $build/pgo/log)"
    shift
    "$@" >>"$build/pgo/log" 2>&1 || {
        tail -n 20 "$build/pgo/log" >&2
        exit 1
    }
}

compile() {
    targets=$1 more=$2
    shift 2
    # shellcheck disable=SC2086 # targets are several
    ../src/configure "$@" CFLAGS="$flags $more" AR=gcc-ar RANLIB=gcc-ranlib NM=gcc-nm &&
        make -j "$(nproc)" $targets
}

train() {
    "$python" -B ../src/t/bench/bench.py --build . --train &&
        [ -n "$(find . -name '*.gcda' -print -quit)" ] # else nothing was learnt
}

cd "$build/pgo/build"
stage "building what counts, 1 of 3" \
    compile "ringgate t/bench/load t/bench/backend" "$count" "$@"
stage "running the load, 2 of 3" train
find . -name '*.o' -o -name '*.a' | xargs rm -f
rm -f ringgate
stage "building what was learnt, 3 of 3" compile ringgate "$use" "$@"
mv ringgate "$build/ringgate"
echo "pgo: $build/ringgate is the new one; make install takes it"
