#!/bin/sh
# Installs what is needed, builds into build/, and runs every test. Arguments go to ctest.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/.ci/setup"

OPENBLAS_NUM_THREADS=1
export OPENBLAS_NUM_THREADS
log=$root/build/tests.log
result=0
cd "$root/build"
ctest --no-tests=error --output-on-failure --parallel "$(getconf _NPROCESSORS_ONLN)" \
    --output-log "$log" "$@" || result=$?

# "98% tests passed, 1 tests failed out of 50"
line='^[0-9]*% tests passed, \([0-9]*\) tests failed out of \([0-9]*\).*'
summary=$(sed -n "s/$line/\\1 \\2/p" "$log")
failed=${summary% *}
total=${summary#* }
echo "$((${total:-0} - ${failed:-0})) passed, ${failed:-0} failed"
exit "$result"
