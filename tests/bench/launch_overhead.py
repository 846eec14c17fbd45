#!/usr/bin/env python3
"""What recording adds to a launch: single empty kernels, and a graph of 320 of them.

usage: launch_overhead.py PROFILER_VICTIM LIBHCPROF_INJECT.so [--out RESULT.json] [--repeats N]

Every way runs in a process of its own, all in turn and --repeats times over; figures are medians in
microseconds a launch. Plain is the same program with nothing injected.
"""
import argparse
import glob
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile

WORK = {"kernel": ["time_kernels", "500000"], "graph_of_320": ["time_graph", "2000"]}
WAYS = {
    "plain": None,
    "hcprof": {},
    "hcprof_kernels_only": {"HCPROF_KINDS": "kernel,memcpy", "HCPROF_API": "none"},
    "hcprof_all_api": {"HCPROF_API": "all"},
}


def run(victim, library, work, way, folder):
    environment = dict(os.environ)
    trace = os.path.join(folder, "trace-%p.sqlite")
    if WAYS[way] is not None:
        environment.update(CUDA_INJECTION64_PATH=library, NVTX_INJECTION64_PATH=library,
                           HCPROF_OUTPUT=trace, **WAYS[way])
    done = subprocess.run([victim] + WORK[work], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stderr.strip(), file=sys.stderr)
        sys.exit(done.returncode)
    words = done.stdout.split()
    result = {"microseconds": float(words[words.index("microseconds") + 1])}
    for path in glob.glob(trace.replace("%p", "*")):
        with sqlite3.connect(path) as opened:
            result["kernels"] = opened.execute("SELECT count(*) FROM hc_kernel").fetchone()[0]
            result["meta"] = dict(opened.execute(
                "SELECT key, value FROM hc_meta WHERE key LIKE 'lost%' OR key LIKE 'cupti_buffer%' "
                "OR key IN ('clock_error_ns', 'cupti_version')"))
        result["bytes_per_kernel"] = os.path.getsize(path) / max(1, result["kernels"])
        os.remove(path)
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("victim")
    parser.add_argument("library")
    parser.add_argument("--out")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    library = os.path.abspath(options.library)
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for work in WORK:
            runs = {way: [] for way in WAYS}
            details = {}
            for _ in range(options.repeats):
                for way in WAYS:
                    result = run(options.victim, library, work, way, folder)
                    runs[way].append(result.pop("microseconds"))
                    details[way] = result
            plain = statistics.median(runs["plain"])
            results[work] = {way: {"median_us": statistics.median(runs[way]),
                                   "added_us": statistics.median(runs[way]) - plain,
                                   "all_us": runs[way], **details[way]} for way in WAYS}
    text = json.dumps(results, indent=1)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
