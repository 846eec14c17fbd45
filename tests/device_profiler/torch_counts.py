#!/usr/bin/env python3
"""Kernels per name of one PyTorch workload: by torch.profiler and by libhcprof-inject.so.

usage: torch_counts.py LIBHCPROF_INJECT.so [--out RESULT.json] [--iterations N]

The workload runs twice, in two processes: once under torch.profiler, once with our library
injected, which collects within the NVTX range "measured". Prints one line per difference; exit
code 0 when every kernel name was seen equally often by both, 1 when not, 6 without a GPU.
"""
import argparse
import collections
import glob
import json
import os
import sqlite3
import subprocess
import sys
import tempfile

RANGE = "measured"


def work(torch, iterations):
    """Eager kernels of several libraries, copies both ways, and a CUDA graph."""
    device = torch.device("cuda")
    a = torch.randn(256, 256, device=device)
    b = torch.randn(256, 256, device=device)
    host = torch.randn(1024, pin_memory=True)
    static = torch.zeros(1024, device=device)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # what a capture needs to have run before
        for _ in range(3):
            static.mul_(2).add_(1)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(5):
            static.mul_(2).add_(1)

    def once():
        c = torch.relu(a @ b + 1).softmax(dim=-1)
        c = torch.nn.functional.layer_norm(c, (256,))
        c.sum().item()
        on_device = host.to(device, non_blocking=True)
        on_device.cpu()
        torch.sort(a.flatten()[:4096])
        graph.replay()

    for _ in range(3):
        once()
    torch.cuda.synchronize()

    def measured():
        for _ in range(iterations):
            once()
        torch.cuda.synchronize()

    return measured


def run_profiled(iterations, path):
    import torch
    from torch.profiler import ProfilerActivity, profile

    measured = work(torch, iterations)
    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        measured()
    profiler.export_chrome_trace(path)


def run_plain(iterations):
    import torch

    measured = work(torch, iterations)
    torch.cuda.nvtx.range_push(RANGE)
    measured()
    torch.cuda.nvtx.range_pop()


def counts_of_chrome(path):
    kernels, copies = collections.Counter(), 0
    with open(path, encoding="utf-8") as file:
        for event in json.load(file)["traceEvents"]:
            if event.get("cat") == "kernel":
                kernels[event["name"]] += 1
            elif event.get("cat") == "gpu_memcpy":
                copies += 1
    return kernels, copies


def counts_of_trace(path):
    with sqlite3.connect(path) as trace:
        kernels = collections.Counter(
            dict(
                trace.execute(
                    "SELECT s.value, count(*) FROM hc_kernel k JOIN hc_launch l ON l.id = k.launch "
                    "JOIN hc_string s ON s.id = l.name_id GROUP BY s.value"
                )
            )
        )
        copies = trace.execute("SELECT count(*) FROM hc_memcpy").fetchone()[0]
        lost = dict(trace.execute("SELECT key, value FROM hc_meta WHERE key LIKE 'lost%'"))
        ranges = trace.execute(
            "SELECT count(*) FROM hc_nvtx n JOIN hc_string s ON s.id = n.name_id "
            "WHERE s.value = ? AND n.duration_ns > 0", (RANGE,)
        ).fetchone()[0]
    return kernels, copies, lost, ranges


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library", nargs="?")
    parser.add_argument("--out")
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--role", choices=["profiled", "plain"])
    parser.add_argument("--file")
    options = parser.parse_args()
    if options.role == "profiled":
        return run_profiled(options.iterations, options.file)
    if options.role == "plain":
        return run_plain(options.iterations)
    if not options.library:
        parser.error("expected the path of libhcprof-inject.so")

    import torch

    if not torch.cuda.is_available():
        print("no usable GPU for PyTorch", file=sys.stderr)
        return 6
    library = os.path.abspath(options.library)
    here = [sys.executable, os.path.abspath(__file__), "--iterations", str(options.iterations)]
    with tempfile.TemporaryDirectory() as folder:
        chrome = os.path.join(folder, "torch.json")
        subprocess.run(here + ["--role", "profiled", "--file", chrome], check=True)
        environment = dict(os.environ)
        environment.update(
            CUDA_INJECTION64_PATH=library,
            NVTX_INJECTION64_PATH=library,
            HCPROF_OUTPUT=os.path.join(folder, "trace-%p.sqlite"),
            HCPROF_CAPTURE_RANGE=RANGE,
        )
        subprocess.run(here + ["--role", "plain"], check=True, env=environment)
        traces = glob.glob(os.path.join(folder, "trace-*.sqlite"))
        if len(traces) != 1:
            print(f"expected one trace, found {len(traces)}", file=sys.stderr)
            return 1
        theirs, their_copies = counts_of_chrome(chrome)
        ours, our_copies, lost, ranges = counts_of_trace(traces[0])

    differences = [
        {"name": name, "torch": theirs[name], "hcprof": ours[name]}
        for name in sorted(set(theirs) | set(ours))
        if theirs[name] != ours[name]
    ]
    for difference in differences:
        print(f"{difference['torch']:8} torch {difference['hcprof']:8} hcprof  {difference['name']}")
    equal = not differences and their_copies == our_copies and not lost and ranges == 1
    result = {
        "equal": equal,
        "names": len(ours),
        "kernels": {"torch": sum(theirs.values()), "hcprof": sum(ours.values())},
        "copies": {"torch": their_copies, "hcprof": our_copies},
        "lost": lost,
        "range_complete": ranges == 1,
        "differences": differences,
    }
    print(json.dumps({key: result[key] for key in result if key != "differences"}))
    if options.out:
        with open(options.out, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
