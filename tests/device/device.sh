#!/usr/bin/env bash
# Runs on a GPU machine, from the folder that ./run.sh pack made; needs bash, the driver and libc.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

say() { printf '%s\n' "device.sh: $*"; }

# The wheel's folder is where PyTorch has put cuBLASLt; plain bash cannot know which python has it.
wheel_folder() {
    command -v python3 >/dev/null || return 0
    python3 - <<'PYTHON' 2>/dev/null
import glob, os, sys
found = [path for folder in sys.path if folder
         for path in glob.glob(os.path.join(folder, "nvidia", "*", "lib", "libcublasLt.so.1?"))]
if found:
    print(os.path.dirname(max(found, key=os.path.basename)))
PYTHON
}

# What the user set goes first, then the toolkit of the machine.
find_cublaslt() {
    local folder
    for folder in /usr/local/cuda/lib64 "$(wheel_folder)"; do
        [ -n "$folder" ] && [ -d "$folder" ] || continue
        LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
    done
    export LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-}
}

# The first test of test_device asks for the GPU: one line instead of a screen of skipped tests.
require_gpu() {
    local suite='' line='' output
    while IFS= read -r line; do
        line=${line%%#*}
        line=${line%"${line##*[! ]}"}
        case $line in
            '') ;;
            ' '*) [ -z "$suite" ] || break ;;
            *.) suite=$line ;;
        esac
    done < <("$here/bin/test_device" --gtest_list_tests)
    output=$("$here/bin/test_device" --gtest_filter="$suite${line#"${line%%[! ]*}"}" 2>&1)
    if [[ $output =~ no\ usable\ GPU[^$'\n']* ]]; then
        say "${BASH_REMATCH[0]}" >&2
        exit 6
    fi
}

# run_tests [GTEST OPTIONS...]: all tests, then one line of counts. Where the program dies before its
# summary, that is one failure, of the test it was in.
run_tests() {
    local passed=0 failed=0 skipped=0 line code=0 current=''
    while IFS= read -r line; do
        if [[ $line == $'\x04'* ]]; then
            code=${line:1}
            break
        fi
        printf '%s\n' "$line"
        if [[ $line =~ ^\[\ RUN\ +\]\ (.*) ]]; then current=${BASH_REMATCH[1]}; fi
        if [[ $line =~ ^\[\ +(PASSED|FAILED|SKIPPED)\ +\]\ ([0-9]+)\ test ]]; then
            case ${BASH_REMATCH[1]} in
                PASSED) passed=${BASH_REMATCH[2]} ;;
                FAILED) failed=${BASH_REMATCH[2]} ;;
                SKIPPED) skipped=${BASH_REMATCH[2]} ;;
            esac
        fi
    done < <("$here/bin/test_device" "$@" 2>&1; printf '\n\x04%s\n' $?)
    if [ "$code" != 0 ] && [ "$failed" = 0 ]; then
        failed=1
        say "test_device ended with exit code $code in ${current:-its start}"
    fi
    say "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ] && [ "$passed" -gt 0 ]
}

# run_bench NAME FILE [OPTIONS...]: one program's results into FILE.
run_bench() {
    local name=$1 file=$2 heads
    shift 2
    if [ "$name" != engine_bench ]; then
        "$here/bin/$name" "$file"
        return
    fi
    for heads in "$here"/heads/*llama-3.1-8b*.json; do
        [ ! -f "$heads" ] || set -- --heads "$heads" "$@"
    done
    "$here/bin/$name" --out "$file" "$@"
}

# run_benches OUT [OPTIONS...]: one JSON object with what each program wrote under its name; the
# options are engine_bench's. Until the end each has a file of its own beside OUT, so that a run
# that is cut off keeps what it had.
run_benches() {
    local out=$1 parts=${1%.json} name failed=() written=()
    shift
    { : >"$out"; } 2>/dev/null || { say "cannot write $out" >&2; exit 4; }
    for name in device_bench retrieval_bench engine_bench; do
        [ -x "$here/bin/$name" ] || continue
        rm -f "$parts.$name.json"
        say "$name"
        if run_bench "$name" "$parts.$name.json" "$@" && [ -s "$parts.$name.json" ]; then
            written+=("$name")
        else
            failed+=("$name")
        fi
    done
    {
        printf '{\n"pack": '
        cat "$here/pack.json"
        for name in "${written[@]}"; do
            printf ',\n"%s": ' "$name"
            cat "$parts.$name.json"
        done
        printf '}\n'
    } >"$out" || { say "cannot write $out" >&2; exit 4; }
    for name in "${written[@]}"; do rm -f "$parts.$name.json"; done
    if [ ${#failed[@]} -gt 0 ]; then
        say "failed: ${failed[*]}, what they wrote is beside $out; the rest is in it" >&2
        return 1
    fi
    say "results are in $out"
}

# The kernel tests; under a sanitizer the longest of them take minutes and show nothing new.
sanitized_tests='-Engine*:Decisions*:EverydayModel*:*AChainThatOverlaps*:*ForOneToEightTokens*'
sanitized_tests+=':*ForBatchesOfOneToEight*:*OverManyBlocks*:*MergesAcrossTheDevice*:*LargeVocabulary*'

# sanitize [TOOL...]: compute-sanitizer over the kernel tests, a line for each tool.
sanitize() {
    local sanitizer tool failed=0 log line
    sanitizer=$(command -v compute-sanitizer || echo /usr/local/cuda/bin/compute-sanitizer)
    [ -x "$sanitizer" ] || { say "no compute-sanitizer here, it comes with the CUDA toolkit" >&2; exit 6; }
    log=$(mktemp)
    [ $# -gt 0 ] || set -- memcheck racecheck initcheck
    for tool in "$@"; do
        line=clean
        "$sanitizer" --tool "$tool" --error-exitcode 99 "$here/bin/test_device" \
            "--gtest_filter=$sanitized_tests" >"$log" 2>&1 || line="FAILED with exit code $?"
        if [ "$line" != clean ]; then
            failed=1
            grep -E '=========|FAILED' "$log" | head -40
        fi
        say "$tool: $line; $(grep -cE '^\[ +OK' "$log") tests passed; $(grep SUMMARY "$log" | tail -1)"
    done
    rm -f "$log"
    [ "$failed" = 0 ]
}

command=${1:-help}
[ $# -gt 0 ] && shift
find_cublaslt
case $command in
    test) require_gpu; run_tests "$@" ;;
    bench) require_gpu; run_benches "${1:-device_bench.json}" "${@:2}" ;;
    sanitize) require_gpu; sanitize "$@" ;;
    hcprof) exec "$here/bin/hcprof" "$@" ;;
    *)
        printf '%s\n' 'usage: device.sh test [GTEST OPTIONS...]         correctness of the CUDA parts; the last line counts' \
                      '       device.sh bench [OUT.json [OPTIONS...]]   their speed, into device_bench.json or OUT.json;' \
                      '                                           options of engine_bench, as --quick' \
                      '       device.sh sanitize [TOOL...]              compute-sanitizer over the kernel tests' \
                      '       device.sh hcprof ARGS...                  the program itself'
        [ "$command" = help ] || [ "$command" = --help ] || [ "$command" = -h ] || exit 2 ;;
esac
