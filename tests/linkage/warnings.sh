#!/bin/sh
# The header gives no warning: every flag we know, as errors, for each standard, for both ways to
# use it, for the optimisations and the compilers named.
#   warnings.sh INCLUDE_DIR "-O0 -O2 -O3,-ffast-math ..." COMPILER...
# A comma joins flags of one build. A compiler with ++ in its name compiles C++, any other C.
set -eu
include=$1
optimisations=$2
shift 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
flags="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wcast-qual -Wundef -Werror"
echo '#include "prunesid.h"' >"$dir/all.c"
# Unused static inline functions are dropped before the optimiser warns of them: use them.
cat >"$dir/use.c" <<'END'
#include "prunesid.h"
prunesid_status use(const prunesid_batch *batch, const prunesid_input *input, void *workspace,
                    int32_t *indices, prunesid_details *details);
prunesid_status use(const prunesid_batch *batch, const prunesid_input *input, void *workspace,
                    int32_t *indices, prunesid_details *details)
{
    const prunesid_status status = prunesid_batch_select(batch, workspace, 1, indices, 1);
    if (status != PRUNESID_OK) return status;
    return prunesid_select_alloc(&batch->config, input, indices, 1, details, NULL);
}
END
n=0
for compiler in "$@"; do
    case $compiler in
    *++*) language=c++ standards="c++11 c++14 c++17 c++20" extra="" ;;
    *) language=c standards="c99 c11 c17 c2x" extra="-Wstrict-prototypes -Wmissing-prototypes" ;;
    esac
    for standard in $standards; do
        for optimisation in $optimisations; do
            for mode in "use.c INLINE" "all.c IMPLEMENTATION" "all.c DECLARATIONS"; do
                unit=${mode% *}
                define=${mode#* }
                flags_here="$(echo "$optimisation" | tr , ' ') $flags $extra"
                # shellcheck disable=SC2086
                if ! "$compiler" -x $language -std=$standard $flags_here -D"PRUNESID_$define" \
                    -I"$include" -c "$dir/$unit" -o "$dir/unit.o"; then
                    echo "warnings: $compiler -std=$standard $optimisation $mode"
                    exit 1
                fi
                n=$((n + 1))
            done
        done
    done
done
echo "warnings: none in $n builds"
