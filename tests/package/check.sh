#!/bin/sh
# One step of the package tests; see CMakeLists.txt. The environment names CMAKE, CC, CXX,
# GENERATOR, SOURCE (this project) and WORK (a folder for installed copies).
set -eu
step=$1
shift
consumer=$SOURCE/tests/package/consumer
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

configure() { # FROM TO OPTIONS...
    from=$1
    to=$2
    shift 2
    "$CMAKE" -S "$from" -B "$to" -G "$GENERATOR" -DCMAKE_C_COMPILER="$CC" \
        -DCMAKE_CXX_COMPILER="$CXX" -DCMAKE_BUILD_TYPE=Release "$@"
}

# install KIND: installs to one prefix, then moves it: nothing may remember where it was. The shared
# one comes without the tool.
install() {
    shared=OFF tool=ON
    [ "$1" = static ] || shared=ON tool=OFF
    configure "$SOURCE" "$dir/build" -DPRUNESID_BUILD_TESTS=OFF -DPRUNESID_BUILD_EXAMPLES=OFF \
        -DPRUNESID_BUILD_TOOL=$tool -DPRUNESID_BUILD_BENCH=OFF -DPRUNESID_BUILD_LIBRARY=ON \
        -DBUILD_SHARED_LIBS=$shared \
        -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_INSTALL_PREFIX="$dir/first"
    "$CMAKE" --build "$dir/build"
    "$CMAKE" --install "$dir/build"
    rm -rf "${WORK:?}/$1"
    mkdir -p "$WORK"
    mv "$dir/first" "$WORK/$1"
    [ "$tool" = ON ] || [ ! -e "$WORK/$1/bin" ]
    if grep -rlF -e "$dir" -e "$SOURCE" "$WORK/$1/lib/cmake" "$WORK/$1/lib/pkgconfig"; then
        echo "the files above remember the build"
        exit 1
    fi
}

# find_package KIND TARGET [LANGUAGE]: a project of its own finds the moved copy.
find_package() {
    configure "$consumer" "$dir/build" -DCMAKE_PREFIX_PATH="$WORK/$1" -DTARGET="$2" \
        -DLANGUAGE="${3:-C}"
    "$CMAKE" --build "$dir/build"
    "$dir/build/consumer"
}

# tool KIND: the installed program runs.
tool() {
    "$WORK/$1/bin/prunesid" --help >"$dir/log"
    grep -q '^usage' "$dir/log" || grep -q 'prunesid select' "$dir/log"
    "$WORK/$1/bin/prunesid" info "$SOURCE/examples/data/astronaut_vit384/tokens.npy"
}

# wrong_version KIND: a version that is not there is refused.
wrong_version() {
    if configure "$consumer" "$dir/build" -DCMAKE_PREFIX_PATH="$WORK/$1" \
        -DTARGET=prunesid::prunesid -DVERSION=99.0 >"$dir/log" 2>&1; then
        echo "version 99.0 was found"
        exit 1
    fi
    grep -q '99\.0' "$dir/log"
}

# pkg_config KIND: no CMake in the consumer.
pkg_config() {
    PKG_CONFIG_PATH=$WORK/$1/lib/pkgconfig
    export PKG_CONFIG_PATH
    # shellcheck disable=SC2046
    "$CC" -std=c99 -O2 $(pkg-config --cflags prunesid) "$consumer/consumer.c" -o "$dir/consumer" \
        $(pkg-config --libs prunesid)
    "$dir/consumer"
}

# add_subdirectory: no flag, build type or target of ours reaches the parent.
add_subdirectory() {
    "$CMAKE" -S "$consumer" -B "$dir/build" -G "$GENERATOR" -DCMAKE_C_COMPILER="$CC" \
        -DTARGET=prunesid::prunesid -DSUBDIRECTORY="$SOURCE"
    "$CMAKE" --build "$dir/build"
    "$dir/build/consumer"
}

# missing_blas: the error names the packages.
missing_blas() {
    if configure "$SOURCE" "$dir/build" -DCMAKE_FIND_ROOT_PATH="$dir" \
        -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY \
        -DPRUNESID_BUILD_TESTS=OFF >"$dir/log" 2>&1; then
        echo "configured without a BLAS"
        exit 1
    fi
    cat "$dir/log"
    grep -q 'libopenblas-dev' "$dir/log"
    grep -q 'liblapacke-dev' "$dir/log"
}

"$step" "$@"
