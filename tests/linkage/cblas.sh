#!/bin/sh
# The header compiles with any BLAS's cblas.h, as C and as C++: each of those given, a folder that
# holds one or the file itself, under whatever name.
#   cblas.sh INCLUDE_DIR CC CXX FOLDER_OR_FILE...
set -eu
include=$1
cc=$2
cxx=$3
shift 3
[ $# -gt 0 ] || { echo "cblas: no cblas.h to check"; exit 1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
flags="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wundef -Werror"
echo '#include "prunesid.h"' >"$dir/unit.c"
for header in "$@"; do
    folder=$header
    if [ ! -d "$header" ]; then
        folder=$dir/blas
        mkdir -p "$folder"
        cp "$header" "$folder/cblas.h"
    fi
    for mode in "$cc -x c -std=c99" "$cc -x c -std=c2x" "$cxx -x c++ -std=c++11" \
        "$cxx -x c++ -std=c++20"; do
        for define in INLINE IMPLEMENTATION; do
            # -isystem: its own warnings are not ours. BLIS's needs POSIX's threads.
            compile="$mode -D_POSIX_C_SOURCE=200809L -DPRUNESID_$define -I$include"
            compile="$compile -isystem $folder"
            # shellcheck disable=SC2086
            $compile $flags -fsyntax-only "$dir/unit.c" ||
                { echo "cblas: $header: $mode $define"; exit 1; }
            # shellcheck disable=SC2086
            $compile -E "$dir/unit.c" >"$dir/out"
            grep -qF "\"$folder/cblas.h\"" "$dir/out" ||
                { echo "cblas: another cblas.h than $header was read"; exit 1; }
        done
    done
    echo "cblas: $header"
done
