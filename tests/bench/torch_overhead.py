#!/usr/bin/env python3
"""What recording costs a PyTorch loop of many small kernels: plain, torch.profiler, and ours.

usage: torch_overhead.py LIBHCPROF_INJECT.so [--out RESULT.json] [--iterations N] [--repeats N]

Each way runs in a process of its own, all of them in turn and --repeats times over, so that a drift
of the machine meets every way alike. A figure is the median over the repeats of the mean time of an
iteration (one small kernel) in a loop that ends with a wait for the GPU. "added_us" is what a way
adds to plain; "share_of_torch" is ours over torch.profiler's (CUDA only), the smaller the better.
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
import time

OURS = {
    "hcprof": {},
    "hcprof_kernels_only": {"HCPROF_KINDS": "kernel,memcpy", "HCPROF_API": "none"},
    "hcprof_all_api": {"HCPROF_API": "all"},
}
WAYS = ["plain", "torch_cuda", "torch_cuda_cpu"] + list(OURS)


def loop(torch, x, iterations):
    begin = time.perf_counter()
    for _ in range(iterations):
        x.add_(1)
    torch.cuda.synchronize()
    return (time.perf_counter() - begin) / iterations * 1e6


def run_way(way, iterations):
    import torch

    x = torch.zeros(1024, device="cuda")
    loop(torch, x, 2000)
    if way.startswith("torch_"):
        from torch.profiler import ProfilerActivity, profile

        activities = [ProfilerActivity.CUDA]
        if way == "torch_cuda_cpu":
            activities.append(ProfilerActivity.CPU)
        with profile(activities=activities):
            loop(torch, x, 200)
            microseconds = loop(torch, x, iterations)
    else:
        microseconds = loop(torch, x, iterations)
    print(json.dumps({"microseconds": microseconds, "torch": torch.__version__,
                      "gpu": torch.cuda.get_device_name()}))


def measure(way, library, iterations, folder):
    environment = dict(os.environ)
    trace = os.path.join(folder, f"{way}-%p.sqlite")
    if way in OURS:
        environment.update(CUDA_INJECTION64_PATH=library, NVTX_INJECTION64_PATH=library,
                           HCPROF_OUTPUT=trace, **OURS[way])
    done = subprocess.run(
        [sys.executable, os.path.abspath(__file__), "--way", way, "--iterations", str(iterations)],
        check=True, env=environment, capture_output=True, text=True)
    result = json.loads(done.stdout.strip().splitlines()[-1])
    for path in glob.glob(trace.replace("%p", "*")):
        with sqlite3.connect(path) as opened:
            result["kernels"] = opened.execute("SELECT count(*) FROM hc_kernel").fetchone()[0]
            result["api_rows"] = dict(
                (str(key), count) for key, count in opened.execute(
                    "SELECT class, count(*) FROM hc_api GROUP BY class"))
            result["lost"] = dict(opened.execute(
                "SELECT key, value FROM hc_meta WHERE key LIKE 'lost%'"))
        os.remove(path)
    if way in OURS and "kernels" not in result:
        raise SystemExit(f"{way}: nothing was recorded: {done.stderr.strip()}")
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library", nargs="?")
    parser.add_argument("--out")
    parser.add_argument("--iterations", type=int, default=50000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--way", choices=WAYS)
    options = parser.parse_args()
    if options.way:
        return run_way(options.way, options.iterations)
    if not options.library:
        parser.error("expected the path of libhcprof-inject.so")
    library = os.path.abspath(options.library)
    measured = {way: [] for way in WAYS}
    details = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.repeats):
            for way in WAYS:
                result = measure(way, library, options.iterations, folder)
                measured[way].append(result.pop("microseconds"))
                details[way] = result
    plain = statistics.median(measured["plain"])
    result = {"iterations": options.iterations, "repeats": options.repeats,
              "torch": details["plain"]["torch"], "gpu": details["plain"]["gpu"], "ways": {}}
    for way in WAYS:
        median = statistics.median(measured[way])
        result["ways"][way] = {"median_us": median, "added_us": median - plain,
                               "all_us": measured[way], **details[way]}
    theirs = result["ways"]["torch_cuda"]["added_us"]
    result["share_of_torch"] = result["ways"]["hcprof"]["added_us"] / theirs if theirs > 0 else None
    text = json.dumps(result, indent=1)
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
