#!/bin/sh
# What the preprocessor, the compiler and nm say about the header.
#   check.sh mixed|declarations|orders|macros INCLUDE_DIR CC CXX
#   check.sh symbols INCLUDE_DIR CC CXX NM SHARED_LIBRARY
#   check.sh example INCLUDE_DIR CC CXX LIBRARY...
set -eu
check=$1
include=$2
cc=$3
cxx=$4
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() {
    echo "$check: $1"
    exit 1
}

compile() { # LANGUAGE STANDARD OPTIONS...
    language=$1
    standard=$2
    shift 2
    if [ "$language" = c ]; then "$cc" -x c "-std=$standard" -I"$include" "$@"
    else "$cxx" -x c++ "-std=$standard" -I"$include" "$@"; fi
}

# A unit that includes the header in both ways stops with the header's own message.
mixed() {
    cat >"$dir/inline_first.c" <<'END'
#include "prunesid.h"
#define PRUNESID_DECLARATIONS
#include "prunesid.h"
END
    cat >"$dir/inline_first_implementation.c" <<'END'
#include "prunesid.h"
#define PRUNESID_IMPLEMENTATION
#include "prunesid.h"
END
    cat >"$dir/shared_first.c" <<'END'
#define PRUNESID_DECLARATIONS
#include "prunesid.h"
#undef PRUNESID_DECLARATIONS
#include "prunesid.h"
END
    cat >"$dir/implementation_first.c" <<'END'
#define PRUNESID_IMPLEMENTATION
#include "prunesid.h"
#undef PRUNESID_IMPLEMENTATION
#include "prunesid.h"
END
    for unit in inline_first inline_first_implementation shared_first implementation_first; do
        for mode in "c c99" "c++ c++11"; do
            # shellcheck disable=SC2086
            if compile $mode -fsyntax-only "$dir/$unit.c" 2>"$dir/log"; then
                fail "$unit ($mode) compiles"
            fi
            grep -q '#error.*prunesid\.h: this unit already' "$dir/log" ||
                fail "$unit ($mode) does not stop with the header's message: $(cat "$dir/log")"
        done
    done
}

# PRUNESID_DECLARATIONS reads no BLAS header, and needs nothing before it.
declarations() {
    echo '#include "prunesid.h"' >"$dir/unit.c"
    for mode in "c c99" "c++ c++11"; do
        # shellcheck disable=SC2086
        compile $mode -DPRUNESID_DECLARATIONS -E "$dir/unit.c" >"$dir/out"
        if grep -E '^# [0-9]+ "[^"]*(blas|lapack|complex|stdlib|stdio|math)[^"]*"' "$dir/out"; then
            fail "the declarations ($mode) read more than they should"
        fi
    done
}

# The BLAS headers and the complex ones may come before or after, in C and in C++.
orders() {
    for others in "cblas.h lapacke.h" "lapacke.h cblas.h" "COMPLEX" "COMPLEX lapacke.h cblas.h"; do
        for mode in "c c99" "c++ c++11"; do
            complex=complex.h
            [ "${mode%% *}" = c ] || complex=complex
            # shellcheck disable=SC2086
            printf '#include <%s>\n' $others | sed "s/COMPLEX/$complex/" >"$dir/others"
            echo '#include "prunesid.h"' >"$dir/header"
            cat "$dir/others" "$dir/header" >"$dir/others_first.c"
            cat "$dir/header" "$dir/others" >"$dir/header_first.c"
            for unit in others_first header_first; do
                # shellcheck disable=SC2086
                compile $mode -Wall -Wextra -Werror -fsyntax-only "$dir/$unit.c" ||
                    fail "$unit: $others ($mode)"
            done
        done
    done
}

macro_names() {
    sed 's/^#define \([A-Za-z0-9_]*\).*/\1/' | sort
}

# Every macro the header leaves behind, beyond those of the headers it includes, is its own; the
# private ones (with an underscore at their end) are only the two that recognise a second include.
macros() {
    cat >"$dir/base.c" <<'END'
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cblas.h>
#include <lapacke.h>
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#elif defined(__GNUC__) && defined(__aarch64__)
#include <arm_neon.h>
#endif
END
    cat >"$dir/public.c" <<'END'
#include <stddef.h>
#include <stdint.h>
END
    echo '#include "prunesid.h"' >"$dir/header.c"
    for mode in "c c99" "c c17" "c++ c++11" "c++ c++20"; do
        for way in INLINE DECLARATIONS IMPLEMENTATION; do
            base=base
            [ $way != DECLARATIONS ] || base=public
            define=PRUNESID_$way
            [ $way != INLINE ] || define=NONE
            # The base has the settings with which the header reads the BLAS headers.
            # shellcheck disable=SC2086
            compile $mode -D$define -DFORCE_OPENBLAS_COMPLEX_STRUCT -DLAPACK_COMPLEX_CUSTOM \
                -Dlapack_complex_float=int -Dlapack_complex_double=int -dM -E "$dir/$base.c" |
                macro_names >"$dir/old"
            # shellcheck disable=SC2086
            compile $mode -D$define -dM -E "$dir/header.c" | macro_names >"$dir/new"
            comm -13 "$dir/old" "$dir/new" >"$dir/added"
            [ -s "$dir/added" ] || fail "$way ($mode): no macro was found"
            if grep -v '^PRUNESID_' "$dir/added"; then
                fail "$way ($mode) leaks the macros above"
            fi
            if grep '_$' "$dir/added" | grep -vxE 'PRUNESID_H_(SHARED|DEFINED)_'; then
                fail "$way ($mode) leaves the private macros above"
            fi
        done
    done
    cat >"$dir/names.c" <<'END'
#include "prunesid.h"
#if defined(I) || defined(MIN) || defined(MAX) || defined(min) || defined(max) || defined(complex)
#error "a short name is taken"
#endif
int I, MIN, MAX, min, max;
END
    compile c c99 -fsyntax-only "$dir/names.c"
    compile c++ c++11 -fsyntax-only "$dir/names.c"
}

# The shared library exports every function that the header declares, and nothing else.
symbols() {
    echo '#include "prunesid.h"' >"$dir/unit.c"
    compile c c99 -E -P -DPRUNESID_DECLARATIONS -DPRUNESID_API=EXPORTED_FUNCTION "$dir/unit.c" |
        tr '\n' ' ' | grep -o 'EXPORTED_FUNCTION [^;(]*(' | sed 's/ *($//; s/.*[ *]//' |
        sort >"$dir/declared"
    "$1" -D --defined-only --format=posix "$2" | cut -d ' ' -f 1 | sort >"$dir/exported"
    [ -s "$dir/declared" ] || fail "no declaration was found"
    diff "$dir/declared" "$dir/exported" || fail "declared (<) and exported (>) differ"
}

# The example in the opening comment compiles as it stands, but for what stands behind the #include,
# and keeps what it says.
example() {
    sed -n '/^ \* USE$/,/^ \*$/s/^ \*   \(#include "[^"]*"\|  .*\).*/\1/p' \
        "$include/prunesid.h" >"$dir/use"
    grep -q '^#include' "$dir/use" || fail "no example was found"
    {
        grep '^#' "$dir/use"
        echo 'int main(void) {'
        echo '    static float X[100 * 8];'
        echo '    const size_t T = 100, d = 8;'
        echo '    for (size_t i = 0; i < T * d; i++) X[i] = (float)(i * i % 101);'
        grep -v '^#' "$dir/use"
        echo '    size_t n = 1;'
        echo '    while (n < 64 && kept[n - 1] < kept[n]) n++;'
        echo '    return status == PRUNESID_OK && prunesid_n_kept(&config, T) == n &&'
        echo '        kept[0] >= 0 && kept[63] < 100 ? 0 : 1;'
        echo '}'
    } >"$dir/example.c"
    for mode in "c c99" "c++ c++11"; do
        # shellcheck disable=SC2086
        compile $mode -Wall -Wextra -Werror "$dir/example.c" -o "$dir/example" -x none "$@" -lm ||
            fail "the example does not compile ($mode)"
        "$dir/example" || fail "the example does not keep 64 ascending indices ($mode)"
    done
}

shift 4
$check "$@"
