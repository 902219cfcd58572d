#!/bin/sh
# One step of the package tests; see CMakeLists.txt. The environment names CMAKE, CC, CXX,
# GENERATOR, PYTHON (or nothing), SOURCE (this project), WORK (a folder for installed copies) and
# VERSION (of this project).
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
        -DCMAKE_CXX_COMPILER="$CXX" "$@"
}

# This project, in release, without what takes time.
build() { # TO OPTIONS...
    to=$1
    shift
    configure "$SOURCE" "$to" -DCMAKE_BUILD_TYPE=Release -DPRUNESID_BUILD_TESTS=OFF \
        -DPRUNESID_BUILD_EXAMPLES=OFF -DPRUNESID_BUILD_TOOL=OFF -DPRUNESID_BUILD_BENCH=OFF \
        -DPRUNESID_BUILD_PYTHON=OFF "$@"
    "$CMAKE" --build "$to"
}

# A configured consumer of it.
run_consumer() {
    "$CMAKE" --build "$1"
    "$1/consumer"
}

fail() {
    echo "$1"
    exit 1
}

# The options of each kind that is installed.
options() {
    case $1 in
    header) echo -DPRUNESID_BUILD_TOOL=ON ;;
    shared) echo -DPRUNESID_BUILD_LIBRARY=ON -DBUILD_SHARED_LIBS=ON ;;
    static) echo -DPRUNESID_BUILD_LIBRARY=ON -DBUILD_SHARED_LIBS=OFF ;;
    esac
}

# install KIND: installs to one prefix, then moves it: nothing may remember where it was. Only the
# header's kind comes with the tool.
install() {
    # shellcheck disable=SC2046
    build "$dir/build" $(options "$1") -DCMAKE_INSTALL_LIBDIR=lib \
        -DCMAKE_INSTALL_PREFIX="$dir/first"
    "$CMAKE" --install "$dir/build"
    rm -rf "${WORK:?}/$1"
    mkdir -p "$WORK"
    mv "$dir/first" "$WORK/$1"
    [ "$1" = header ] || [ ! -e "$WORK/$1/bin" ]
    if grep -rlF -e "$dir" -e "$SOURCE" "$WORK/$1/lib/cmake" "$WORK/$1/lib/pkgconfig"; then
        fail "the files above remember the build"
    fi
}

# find_package KIND TARGET OPTIONS...: a project of its own finds the moved copy.
find_package() {
    prefix=$WORK/$1
    target=$2
    shift 2
    configure "$consumer" "$dir/build" -DCMAKE_PREFIX_PATH="$prefix" -DWAY=find_package \
        -DTARGET="$target" -DVERSION="$VERSION" -DCMAKE_BUILD_TYPE=Release "$@"
    run_consumer "$dir/build"
}

# tool KIND: the installed program runs.
tool() {
    "$WORK/$1/bin/prunesid" --help >"$dir/log"
    grep -q '^usage' "$dir/log" || grep -q 'prunesid select' "$dir/log"
    "$WORK/$1/bin/prunesid" info "$SOURCE/examples/data/astronaut_vit384/tokens.npy"
}

# wrong_version KIND: a version that is not there is refused.
wrong_version() {
    if find_package "$1" prunesid::prunesid -DVERSION=99.0 >"$dir/log" 2>&1; then
        fail "version 99.0 was found"
    fi
    grep -q '99\.0' "$dir/log"
}

# pkg_config KIND [-static]: no CMake in the consumer. If there is a library, that is what is linked.
pkg_config() {
    PKG_CONFIG_PATH=$WORK/$1/lib/pkgconfig
    LD_LIBRARY_PATH=$WORK/$1/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export PKG_CONFIG_PATH LD_LIBRARY_PATH
    [ "$(pkg-config --modversion prunesid)" = "$VERSION" ]
    libs=$(pkg-config ${2+--static} --libs prunesid)
    case $1-$libs in
    header-*-lprunesid*) fail "no library was installed: $libs" ;;
    header-* | *-lprunesid*) ;;
    *) fail "the library is not linked: $libs" ;;
    esac
    # shellcheck disable=SC2046,SC2086
    "$CC" -std=c99 -O2 $(pkg-config --cflags prunesid) "$consumer/consumer.c" -o "$dir/consumer" \
        ${2-} $libs
    "$dir/consumer"
    [ -z "${2-}" ] || ! ldd "$dir/consumer" 2>/dev/null | grep '=>' || fail "it is not static"
}

# sources WAY TARGET OPTIONS...: no flag, build type, test or target of ours reaches the parent, and
# nothing but its own program is installed.
sources() {
    way=$1
    target=$2
    shift 2
    configure "$consumer" "$dir/build" -DWAY="$way" -DSOURCES="$SOURCE" -DTARGET="$target" "$@"
    run_consumer "$dir/build"
    "$CMAKE" --install "$dir/build" --prefix "$dir/installed"
    files=$(cd "$dir/installed" && find . -type f)
    [ "$files" = ./bin/consumer ] || fail "installed: $files"
}

# copied: one file, beside the program that includes it.
copied() {
    cp "$consumer/consumer.c" "$SOURCE/include/prunesid.h" "$dir"
    "$CC" -std=c99 -O2 -I"$dir" "$dir/consumer.c" -o "$dir/consumer" -llapacke -lopenblas -lm
    "$dir/consumer"
}

# deb: what is packed, for whom; the development package and the library's are enough to build on.
deb() {
    # shellcheck disable=SC2046
    build "$dir/build" $(options shared) -DPRUNESID_BUILD_TOOL=ON -DPRUNESID_BUILD_PYTHON=ON \
        -DCMAKE_INSTALL_PREFIX=/usr
    "$CMAKE" --build "$dir/build" --target package
    for package in libprunesid-dev "libprunesid${VERSION%.*}" prunesid python3-prunesid; do
        file=$(echo "$dir/build/${package}_${VERSION}"_*.deb)
        depends=$(dpkg-deb --field "$file" Depends)
        echo "$package: $depends"
        case $package in
        libprunesid-dev) wanted="libopenblas-dev liblapacke-dev libprunesid${VERSION%.*}" ;;
        libprunesid*) wanted="libc6 liblapacke libopenblas0" ;;
        python3-prunesid) wanted="python3-numpy python3-cffi libprunesid${VERSION%.*}" ;;
        prunesid) wanted="libc6 liblapacke libopenblas0 libpng16-16 libjpeg62-turbo" ;;
        esac
        for name in $wanted; do
            echo ", $depends" | grep -qE ", $name( |,|\$)" || fail "no $name in: $depends"
        done
        dpkg-deb -x "$file" "$dir/root"
    done
    ls "$dir/root/usr/share/man/man1/prunesid.1" "$dir/root/usr/share/doc/prunesid/copyright"
    prefix=$dir/root/usr
    LD_LIBRARY_PATH=$(dirname "$(find "$prefix" -name libprunesid.so)"
        )${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    export LD_LIBRARY_PATH
    configure "$consumer" "$dir/consumer" -DCMAKE_PREFIX_PATH="$prefix" -DWAY=find_package \
        -DTARGET=prunesid::library
    run_consumer "$dir/consumer"
    "$prefix/bin/prunesid" --version
    if "$PYTHON" -c 'import cffi, numpy' 2>/dev/null; then
        PYTHONPATH=$prefix/lib/python3/dist-packages "$PYTHON" -m doctest \
            "$prefix/lib/python3/dist-packages/prunesid.py"
    fi
}

# blas OPTION: the sources with libraries that are named.
blas() {
    configure "$consumer" "$dir/build" -DWAY=add_subdirectory -DSOURCES="$SOURCE" \
        -DTARGET=prunesid::prunesid "$@"
    run_consumer "$dir/build"
}

# named_blas LIBRARIES: what is installed with a BLAS that was named takes that one again.
named_blas() {
    build "$dir/build" -DPRUNESID_BLAS_LIBRARIES="$1" -DCMAKE_INSTALL_PREFIX="$dir/prefix"
    "$CMAKE" --install "$dir/build"
    configure "$consumer" "$dir/consumer" -DCMAKE_PREFIX_PATH="$dir/prefix" -DWAY=find_package \
        -DTARGET=prunesid::prunesid
    run_consumer "$dir/consumer"
    objdump -p "$dir/consumer/consumer" | grep 'NEEDED.*libblas'
}

# blas_with_lapacke ARCHIVE: an OpenBLAS as its authors build it carries LAPACKE. One is made of
# Debian's two archives, and is all there is in reach.
blas_with_lapacke() {
    mkdir "$dir/lib"
    names=$(grep -oE '(LAPACKE|cblas)_[a-z]+(_work)?\(' "$SOURCE/include/prunesid.h" | tr -d '(' |
        sort -u | sed 's/^/-Wl,-u,/')
    # shellcheck disable=SC2086
    "$CC" -shared -o "$dir/lib/libopenblas.so" $names \
        "$(dirname "$("$CC" -print-file-name=liblapacke.a)")/liblapacke.a" "$1" -lgfortran \
        -lpthread -lm
    ln -s "$(dirname "$(echo '#include <lapacke.h>' | "$CC" -E - | grep -oE '"/.*/lapacke.h"' |
        head -n 1 | tr -d '"')")" "$dir/include"
    blas -DCMAKE_FIND_ROOT_PATH="$dir" -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY \
        -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY
    ldd "$dir/build/consumer" | grep -F "$dir/lib/libopenblas.so"
    ! ldd "$dir/build/consumer" | grep liblapacke
}

# missing_blas: the error names the packages.
missing_blas() {
    if configure "$SOURCE" "$dir/build" -DCMAKE_FIND_ROOT_PATH="$dir" \
        -DCMAKE_FIND_ROOT_PATH_MODE_LIBRARY=ONLY -DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY \
        -DPRUNESID_BUILD_TESTS=OFF >"$dir/log" 2>&1; then
        fail "configured without a BLAS"
    fi
    cat "$dir/log"
    grep -q 'libopenblas-dev' "$dir/log"
    grep -q 'liblapacke-dev' "$dir/log"
}

"$step" "$@"
