#!/usr/bin/env bash
# One entry to everything: ./run.sh demo | test [asan|tsan] | build | hcprof ARGS… | view TRACE | fetch-model
# The work is in CMake (CMakePresets.json) and in the program; this finds packages and calls both.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "hcprof: $*" >&2; }
die() { say "$*"; exit 6; }

install_packages() {
    local wanted missing=() package root=()
    wanted=$(sed -e 's/#.*//' "$top/packages.txt")
    command -v dpkg-query >/dev/null || { need_by_hand "$wanted"; return; }
    for package in $wanted; do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || { need_by_hand "${missing[*]}"; return; }
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || die "these packages are missing and neither root nor sudo is at hand: ${missing[*]}"
        root=(sudo)
    fi
    say "installing ${#missing[@]} packages: ${missing[*]}"
    "${root[@]}" apt-get update -qq || say "the package lists could not be renewed; going on with the old ones"
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}" >/dev/null || die "apt-get could not install: ${missing[*]}"
}

# Not a Debian: go on where a compiler and CMake are there, since the libraries may be too.
need_by_hand() {
    say "no apt here; these libraries are needed (Debian's names): $(echo $1)"
    command -v cmake >/dev/null && command -v ninja >/dev/null || die "install them, then run this again"
}

# Configures once (CMake notices later changes by itself) and builds; quiet unless it fails.
build() {
    local preset=$1 target=${2:-all} dir="$top/build/$1" log
    cd "$top"
    if [ ! -f "$dir/build.ninja" ]; then
        mkdir -p "$dir"
        cmake --preset "$preset" >"$dir/configure.log" 2>&1 || { tail -n 30 "$dir/configure.log" >&2; die "configuring failed; the whole log: $dir/configure.log"; }
    fi
    if [ -t 2 ]; then
        cmake --build --preset "$preset" --target "$target" >&2 || die "the build failed"
    else
        log="$dir/build.log"
        cmake --build --preset "$preset" --target "$target" >"$log" 2>&1 || { grep -E -A15 'error|FAILED' "$log" | head -n 60 >&2; die "the build failed; the whole log: $log"; }
    fi
}

fetch_model() { cmake -P "$top/cmake/FetchModel.cmake"; }

command=${1:-help}
[ $# -gt 0 ] && shift
case $command in
    build) install_packages; build "${1:-dev}" ;;
    test)
        preset=${1:-dev}
        case $preset in dev|asan|tsan) ;; *) die "unknown kind of test '$preset', expected nothing, asan or tsan" ;; esac
        install_packages
        fetch_model || say "tests that need the model will be skipped"
        build "$preset"
        cd "$top" && ctest --preset "$preset" ;;
    hcprof) [ -x "$top/build/dev/bin/hcprof" ] || install_packages; build dev apps; exec "$top/build/dev/bin/hcprof" "$@" ;;
    demo) install_packages; fetch_model; build dev apps; exec "$top/build/dev/bin/hcprof" demo "$@" ;;
    view) [ -x "$top/build/dev/bin/hcprof" ] || install_packages; build dev apps; exec "$top/build/dev/bin/hcprof" view "$@" ;;
    fetch-model) install_packages; fetch_model ;;
    *)
        printf '%s\n' 'usage: ./run.sh demo               the whole product on a real model and text' \
                      '       ./run.sh test [asan|tsan]   build and run the tests' \
                      '       ./run.sh build              build only' \
                      '       ./run.sh hcprof ARGS...     run the program (try: hcprof --help)' \
                      '       ./run.sh view TRACE         open a trace in the viewer' \
                      '       ./run.sh fetch-model        fetch the demo model into the cache folder'
        [ "$command" = help ] || [ "$command" = --help ] || [ "$command" = -h ] || exit 2 ;;
esac
