#!/usr/bin/env python3
"""What PyTorch reaches on this GPU where the CUDA engine has kernels of its own.

    python3 tests/bench/sdpa_peer.py [OUT.json] [--quick]

scaled_dot_product_attention of one query token over long caches and of whole prompts, and the
matrix products of a decode step, at Llama 3.1 8B's shape in bf16. Calls are captured into a CUDA
graph that is replayed between two events, so that what a launch costs the host is left out; data
is rotated through several buffers where one would stay in the cache.
"""

import argparse
import json
import statistics
import sys

NUM_QO_HEADS, NUM_KV_HEADS, HEAD_DIM = 32, 8, 128
DECODE_TOKENS = [32 * 1024, 64 * 1024, 128 * 1024, 224 * 1024]
PREFILL_TOKENS = [8 * 1024, 32 * 1024]
MATMULS = {
    "qkv": (6144, 4096),
    "o": (4096, 4096),
    "gate_up": (28672, 4096),
    "down": (4096, 14336),
    "lm_head": (128256, 4096),
}
ROTATION_BYTES = 400e6  # several times any L2


def median_us(torch, calls, repeats):
    """Median time of one of `calls`, which are run in turn."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):  # libraries set themselves up outside the capture
        for call in calls:
            call()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    times = []
    for turn in range(-3, repeats):
        begin.record()
        graph.replay()
        end.record()
        end.synchronize()
        if turn >= 0:
            times.append(1e3 * begin.elapsed_time(end) / len(calls))
    return statistics.median(times)


def attention(torch, q, k, v, causal):
    return torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=causal, enable_gqa=True
    )


def decode_attention(torch, tokens, repeats):
    size = 2 * 2 * NUM_KV_HEADS * tokens * HEAD_DIM
    copies = int(ROTATION_BYTES / size) + 2
    q = torch.randn(1, NUM_QO_HEADS, 1, HEAD_DIM, device="cuda", dtype=torch.bfloat16)
    pairs = [
        torch.randn(2, 1, NUM_KV_HEADS, tokens, HEAD_DIM, device="cuda", dtype=torch.bfloat16)
        for _ in range(copies)
    ]
    calls = [lambda kv=kv: attention(torch, q, kv[0], kv[1], False) for kv in pairs]
    us = median_us(torch, calls * max(1, 16 // copies), repeats)
    return {
        "name": f"attention {tokens // 1024}K",
        "us": us,
        "bytes": size,
        "gb_per_s": 1e-3 * size / us,
    }


def prefill_attention(torch, tokens, repeats):
    def random(heads):
        return torch.randn(1, heads, tokens, HEAD_DIM, device="cuda", dtype=torch.bfloat16)

    q, k, v = random(NUM_QO_HEADS), random(NUM_KV_HEADS), random(NUM_KV_HEADS)
    us = median_us(torch, [lambda: attention(torch, q, k, v, True)] * 2, repeats)
    flops = 4 * HEAD_DIM * NUM_QO_HEADS * tokens * (tokens + 1) / 2
    return {
        "name": f"prefill attention {tokens // 1024}K",
        "us": us,
        "flops": flops,
        "tflop_per_s": 1e-6 * flops / us,
    }


def matmul(torch, name, rows, cols, repeats):
    size = 2 * rows * cols
    copies = int(ROTATION_BYTES / size) + 1
    x = torch.randn(1, cols, device="cuda", dtype=torch.bfloat16)
    weights = [
        torch.randn(rows, cols, device="cuda", dtype=torch.bfloat16) for _ in range(copies)
    ]
    calls = [lambda w=w: torch.nn.functional.linear(x, w) for w in weights]
    us = median_us(torch, calls * 2, repeats)
    return {"name": f"matmul {name}", "us": us, "bytes": size, "gb_per_s": 1e-3 * size / us}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", nargs="?")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("sdpa_peer: skipped: PyTorch is not installed")
        return
    if not torch.cuda.is_available():
        print("sdpa_peer: skipped: PyTorch sees no GPU")
        return
    torch.manual_seed(1)
    repeats = 7 if arguments.quick else 31
    document = {
        "device": torch.cuda.get_device_name(0),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "results": [],
    }

    def measure(name, work, *inputs):
        try:
            with torch.no_grad():
                result = work(torch, *inputs, repeats)
        except Exception as error:  # one shape that does not run must not hide the others
            result = {"name": name, "error": str(error).splitlines()[0]}
        document["results"].append(result)
        print(json.dumps(result), flush=True)
        torch.cuda.empty_cache()
        if arguments.out:
            with open(arguments.out, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=1)

    for tokens in DECODE_TOKENS:
        measure(f"attention {tokens // 1024}K", decode_attention, tokens)
    for tokens in PREFILL_TOKENS:
        measure(f"prefill attention {tokens // 1024}K", prefill_attention, tokens)
    for name, (rows, cols) in MATMULS.items():
        measure(f"matmul {name}", matmul, name, rows, cols)


if __name__ == "__main__":
    sys.exit(main())
