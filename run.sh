#!/usr/bin/env bash
# One entry to everything: ./run.sh demo | test [asan|tsan] | build | hcprof ARGS… | view TRACE | fetch-model
# and for GPU machines: pack [--arch N] [--output DIR] | device-test | device-bench [OUT [OPTIONS…]]
# The work is in CMake (CMakePresets.json) and in the program; this finds packages and calls both.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
packed="$top/build/hcprof-device"

say() { printf '%s\n' "hcprof: $*" >&2; }
die() { say "$*"; exit 6; }

wanted_packages() { sed -e 's/#.*//' "$top/packages.txt"; }

missing_packages() {
    local package
    for package in $(wanted_packages); do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q 'ok installed' || echo "$package"
    done
}

install_packages() {
    local missing root=()
    command -v dpkg-query >/dev/null || { need_by_hand "$(wanted_packages)"; return; }
    mapfile -t missing < <(missing_packages)
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

configure() {
    local preset=$1 dir="$top/build/$1"
    mkdir -p "$dir"
    cd "$top"
    cmake --preset "$@" >"$dir/configure.log" 2>&1 || { tail -n 30 "$dir/configure.log" >&2; die "configuring failed; the whole log: $dir/configure.log"; }
}

# Configures once (CMake notices later changes by itself) and builds; quiet unless it fails.
build() {
    local preset=$1 target=${2:-all} dir="$top/build/$1" log
    cd "$top"
    [ -f "$dir/build.ninja" ] || configure "$preset"
    if [ -t 2 ]; then
        cmake --build --preset "$preset" --target "$target" >&2 || die "the build failed"
    else
        log="$dir/build.log"
        cmake --build --preset "$preset" --target "$target" >"$log" 2>&1 || { grep -E -A15 'error|FAILED' "$log" | head -n 60 >&2; die "the build failed; the whole log: $log"; }
    fi
}

fetch_model() { cmake -P "$top/cmake/FetchModel.cmake"; }

# Where cmake/HcCuda.cmake looks.
have_toolkit() {
    command -v nvcc >/dev/null || [ -x "${CUDA_PATH:-}/bin/nvcc" ] || [ -x "${CUDA_HOME:-}/bin/nvcc" ] || [ -x /usr/local/cuda/bin/nvcc ]
}

# pack [--arch N] [--output DIR]: a folder with all that a bare GPU machine needs to run device.sh.
pack() {
    local arch=90 output="$packed" programs="$top/build/pack/bin" name
    while [ $# -gt 0 ]; do
        case $1 in
            --arch) arch=${2:-} ;;
            --output) output=${2:-} ;;
            *) die "pack: unknown option '$1', expected --arch or --output" ;;
        esac
        shift $(($# > 1 ? 2 : 1))
    done
    [[ $arch =~ ^[0-9]{2,3}[af]?$ ]] || die "pack: --arch is '$arch', expected one architecture like 80, 90 or 120"
    [ -n "$output" ] || die "pack: --output is empty, expected a folder"
    if [ -e "$output" ] && [ ! -f "$output/pack.json" ] && [ -n "$(ls -A "$output")" ]; then
        die "pack: $output is no packed folder; name an empty or a new one with --output"
    fi
    have_toolkit || die "pack: no CUDA toolkit here: install one or set CUDA_PATH"
    mkdir -p "$output" || die "pack: cannot make $output"
    output=$(cd "$output" && pwd)
    install_packages
    configure pack -DHC_CUDA_ARCHITECTURES="$arch-real"
    build pack device_programs

    rm -rf "${output:?}"/{bin,heads,device.sh,sdpa_peer.py,pack.json}
    mkdir -p "$output/bin" "$output/heads"
    for name in hcprof test_device device_bench retrieval_bench engine_bench; do
        [ ! -x "$programs/$name" ] || cp "$programs/$name" "$output/bin/"
    done
    cp "$top/tests/device/device.sh" "$output/"
    for name in "$top"/../shared/data/heads/*.json; do [ ! -f "$name" ] || cp "$name" "$output/heads/"; done
    [ ! -f "$top/tests/bench/sdpa_peer.py" ] || cp "$top/tests/bench/sdpa_peer.py" "$output/"
    chmod -R u+w "$output"
    check_pack "$output" "$arch"
}

# A program that needs another library, or a folder that is too large to hand around, is our mistake.
check_pack() {
    local output=$1 arch=$2 program library bytes glibc limit=$((16 << 20))
    for program in "$output"/bin/*; do
        for library in $(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
            case $library in
                libc.so.*|libm.so.*|libdl.so.*|libpthread.so.*|librt.so.*|ld-linux*) ;;
                *) die "pack: ${program##*/} needs $library, expected libc's own libraries alone" ;;
            esac
        done
    done
    glibc=$(readelf -V "$output"/bin/* | grep -o 'GLIBC_2\.[0-9.]*' | sort -uV | tail -n 1)
    printf '{"commit": "%s", "architecture": "%s", "cuda": "%s", "needs": "%s"}\n' \
        "$(git -C "$top" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)" "$arch" \
        "$(sed -n 's/^-- CUDA: \([0-9.]*\),.*/\1/p' "$top/build/pack/configure.log")" "$glibc" >"$output/pack.json"
    bytes=$(du -sb "$output" | cut -f1)
    if [ "$bytes" -gt "$limit" ]; then
        (cd "$output" && du -ab . | sort -rn | head -n 12) >&2
        die "pack: $output has $bytes bytes, expected at most $limit"
    fi
    say "packed for sm_$arch into $output: $bytes bytes, needs a driver for the CUDA in pack.json and $glibc"
}

# device ARGS…: device.sh of a fresh pack for the GPU at hand. A machine that cannot build runs the
# folder that was brought to it.
device() {
    local arch
    if have_toolkit && { [ ! -f "$packed/pack.json" ] || [ -z "$(missing_packages)" ]; }; then
        arch=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d .) || true
        [[ $arch =~ ^[0-9]+$ ]] || arch=90
        pack --arch "$arch"
    elif [ -f "$packed/pack.json" ]; then
        say "toolkit or packages are missing here: running $packed as it was brought"
    else
        die "no CUDA toolkit and no packed folder here: run './run.sh pack' where there is a toolkit and bring build/hcprof-device"
    fi
    exec "$packed/device.sh" "$@"
}

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
    pack) pack "$@" ;;
    device-test) device test "$@" ;;
    device-bench) device bench "$(realpath -m "${1:-$top/build/device_bench.json}")" "${@:2}" ;;
    *)
        printf '%s\n' 'usage: ./run.sh demo               the whole product on a real model and text' \
                      '       ./run.sh test [asan|tsan]   build and run the tests' \
                      '       ./run.sh build              build only' \
                      '       ./run.sh hcprof ARGS...     run the program (try: hcprof --help)' \
                      '       ./run.sh view TRACE         open a trace in the viewer' \
                      '       ./run.sh fetch-model        fetch the demo model into the cache folder' \
                      '       ./run.sh pack [--arch N] [--output DIR]' \
                      '                                   a folder that runs on any machine with such a GPU' \
                      '       ./run.sh device-test        test the CUDA parts on the GPU of this machine' \
                      '       ./run.sh device-bench [OUT] measure their speed, as JSON'
        [ "$command" = help ] || [ "$command" = --help ] || [ "$command" = -h ] || exit 2 ;;
esac
