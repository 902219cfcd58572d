#!/bin/sh
# Installs what is needed, builds into build/, keeps 64 of the 576 visual tokens of a cat
# photograph and draws which ones.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
sh "$root/.ci/setup" minimal prunesid-tool

OPENBLAS_NUM_THREADS=${OPENBLAS_NUM_THREADS:-1}
export OPENBLAS_NUM_THREADS
tool=$root/build/examples/prunesid
data=$root/examples/data
tokens=$data/chelsea_mlp384/tokens.npy # 768 channels
photo=$data/chelsea_vit384/photo.png
picture=$root/build/kept.png

echo
echo "== the smallest program: examples/minimal.c"
"$root/build/examples/minimal"

echo
echo "== 64 of the 576 tokens of $photo"
"$tool" plot "$tokens" --image "$photo" --grid 24x24 --keep 64 -o "$picture"
echo
echo "== the kept tokens, drawn: $picture"
