#!/bin/sh
# The same files from 1, 2 and 3 ranks, byte by byte; nothing from a corpus with a bad file.
#   mpi_test.sh MPIEXEC MPI_CORPUS SOURCE_FOLDER
set -eu
mpiexec=$1
mpi_corpus=$2
root=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One machine only, as root or not, without network or ssh, with fewer cores than ranks.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_plm=isolated OMPI_MCA_pml=ob1 \
    OMPI_MCA_btl=self,vader
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_hwloc_base_binding_policy=none
export ASAN_OPTIONS=detect_leaks=0 # MPI's own

run() {
    timeout 60 "$mpiexec" -n "$@"
}

for tokens in "$root"/examples/data/*/tokens.npy "$root"/tests/data/*/tokens.npy; do
    folder=${tokens%/tokens.npy}
    cp "$tokens" "$work/${folder##*/}.npy"
done
for ranks in 1 2 3; do
    mkdir "$work/$ranks"
    run "$ranks" "$mpi_corpus" --keep 64 "$work/$ranks" "$work"/*.npy >"$work/$ranks.txt"
    diff -r "$work/1" "$work/$ranks"
    diff "$work/1.txt" "$work/$ranks.txt"
done
sed 's:/.*/::' "$work/1.txt"
n_files=$(find "$work/3" -name '*.kept.npy' | wc -l)
echo "$n_files files of indices, the same from 1, 2 and 3 ranks"
[ "$n_files" -gt 1 ]
[ "$n_files" -eq "$(find "$work" -maxdepth 1 -name '*.npy' | wc -l)" ]

mkdir "$work/bad"
echo nonsense >"$work/nonsense.npy"
code=0
run 3 "$mpi_corpus" --keep 64 "$work/bad" "$work"/*.npy >"$work/bad.txt" 2>&1 || code=$?
grep 'nonsense.npy: not a .npy file' "$work/bad.txt" | sed 's:/.*/::'
[ "$code" -eq 1 ]
[ -z "$(ls "$work/bad")" ]

# A failure to write ends the ranks without work as well: here two of three.
code=0
run 3 "$mpi_corpus" --keep 64 "$work/none" "$work/rocket_vit384.npy" >"$work/none.txt" 2>&1 ||
    code=$?
grep 'No such file' "$work/none.txt" | sed "s:$work/::"
[ "$code" -eq 1 ]
