#!/usr/bin/env python3
"""Speed of hcprof beside llama.cpp: same file, same number of threads, one after the other.

    python3 tests/bench/compare_llama_cpp.py MODEL.gguf [--hcprof PATH] [--threads 2] [--json]

Needs the Python package llama-cpp-python. For both programs it gives, in tokens per second, the
prefill of prompts of 512 and 2048 tokens and the median decode step behind a context of 512
tokens. Rounds alternate between the programs, and the best round counts, so that other work on
the machine harms both alike. Without --hcprof only llama.cpp is measured.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

PREFILL_LENGTHS = (512, 2048)
DECODE_CONTEXT = 512
DECODE_TOKENS = 64


def load_llama(model, threads):
    from llama_cpp import Llama

    return Llama(
        model_path=model,
        n_ctx=max(PREFILL_LENGTHS) + DECODE_TOKENS + 8,
        n_batch=512,
        n_threads=threads,
        n_threads_batch=threads,
        verbose=False,
    )


def prompt_tokens(llama, length):
    """Ordinary text of exactly `length` tokens; which text does not matter for the time."""
    text = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. "
    return llama.tokenize((text * (length // 8)).encode())[:length]


def measure_llama(llama, clock):
    figures = {}
    for length in PREFILL_LENGTHS:
        tokens = prompt_tokens(llama, length)
        llama.reset()
        begin = clock()
        llama.eval(tokens)
        figures[f"prefill_{length}"] = length / (clock() - begin)
    llama.reset()
    llama.eval(prompt_tokens(llama, DECODE_CONTEXT))
    steps = []
    token = llama.token_bos()
    for _ in range(DECODE_TOKENS):
        begin = clock()
        llama.eval([token])
        steps.append(clock() - begin)
        token = token % 1000 + 100
    figures["decode"] = 1 / statistics.median(steps)
    return figures


def profile(program, model, threads, precision, text, prompt, generate):
    """One recorded full-attention run: the report's figures of it."""
    with tempfile.TemporaryDirectory() as folder:
        command = [program, "profile", "--policy", "fullkv", "--model", model, "--text", text]
        command += ["--threads", str(threads), "--precision", precision, "--json"]
        command += ["--prompt-tokens", str(prompt), "--generate", str(generate)]
        command += ["-o", os.path.join(folder, "run.sqlite")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed ({done.returncode}): {done.stderr.strip()}")
    return json.loads(done.stdout)["runs"][0]


def measure_hcprof(program, model, threads, precision, text):
    """Tokens per second under the keys of measure_llama, recording included."""
    figures = {}
    for length in PREFILL_LENGTHS:
        run = profile(program, model, threads, precision, text, length, 2)
        figures[f"prefill_{length}"] = run["prompt_tokens"] / run["prefill_ns"] * 1e9
    run = profile(program, model, threads, precision, text, DECODE_CONTEXT, DECODE_TOKENS)
    figures["decode"] = 1e9 / run["step_ns"]["median"]
    return figures


def keep_best(best, figures):
    for key, value in figures.items():
        best[key] = max(best.get(key, 0.0), value)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--hcprof", help="the hcprof program")
    parser.add_argument(
        "--text", default="/usr/share/common-licenses/GPL-3", help="a text of more than 2048 tokens"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="llama.cpp by processor time instead of wall time; with --threads 1 on a busy machine",
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    clock = time.process_time if arguments.cpu_time else time.perf_counter
    llama = load_llama(arguments.model, arguments.threads)
    results = {"llama.cpp": {}}
    for _ in range(arguments.rounds):
        keep_best(results["llama.cpp"], measure_llama(llama, clock))
        if arguments.hcprof:
            for precision in ("fast", "fp32"):
                figures = measure_hcprof(
                    arguments.hcprof, arguments.model, arguments.threads, precision, arguments.text
                )
                keep_best(results.setdefault(f"hcprof {precision}", {}), figures)

    if arguments.json:
        json.dump({"threads": arguments.threads, "tokens_per_second": results}, sys.stdout)
        print()
        return
    reference = results["llama.cpp"]
    print(f"tokens/s, {arguments.threads} threads, best of {arguments.rounds}")
    for name, figures in results.items():
        cells = [f"{key} {value:9.1f} ({value / reference[key]:4.2f}x)" for key, value in figures.items()]
        print(f"{name:12s} " + "  ".join(cells))


if __name__ == "__main__":
    main()
