#!/usr/bin/env python3
"""Measures what docs/results states and writes the JSON files there.

    python3 tests/bench/measure_results.py BUILD_DIR [--model M.gguf] [--only NAME ...]

Needs a built tree (with the targets recording_cost and precision_error) and, for the comparison, the Python package
llama-cpp-python. Run it on a quiet machine; then docs/results/make_tables.py.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
RESULTS = TOP / "docs" / "results"
LICENCES = "/usr/share/common-licenses"


def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed ({done.returncode}): {done.stderr.strip()}")
    return done.stdout


def machine():
    name = "unknown processor"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            name = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, no GPU"


def save(name, title, command, rows, notes, raw):
    commit = run(["git", "-C", str(TOP), "rev-parse", "--short", "HEAD"]).strip()
    document = {
        "title": title,
        "command": command,
        "commit": commit,
        "machine": machine(),
        "notes": notes,
        "rows": rows,
        "raw": raw,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    print("wrote", RESULTS / f"{name}.json")


def speed(build, model):
    script = str(TOP / "tests/bench/compare_llama_cpp.py")
    arguments = [model, "--hcprof", str(build / "bin/hcprof"), "--rounds", "3", "--json"]
    raw = json.loads(run([sys.executable, script, *arguments]))
    figures = raw["tokens_per_second"]
    peer = figures["llama.cpp"]
    rows = []
    for program, values in figures.items():
        row = {"program": program}
        for key, value in values.items():
            row[f"{key} tokens/s"] = value
            row[f"{key} ratio"] = value / peer[key]
        rows.append(row)
    save(
        "speed_llama_cpp",
        "Speed beside llama.cpp: same file, same two threads, one run",
        ["python3 tests/bench/compare_llama_cpp.py MODEL --hcprof build/dev/bin/hcprof --rounds 3 --json"],
        rows,
        [
            "SmolLM2-135M-Instruct Q4_1. Prefill of 512 and 2,048 tokens; median decode step behind 512.",
            "Rounds alternate, the best counts. hcprof records while it is timed. llama.cpp through "
            "llama-cpp-python, built from source on this machine with its native instruction sets.",
        ],
        raw,
    )


def recording(build, model):
    command = [str(build / "bin/recording_cost"), model, f"{LICENCES}/GPL-3", "2048", "24"]
    raws = [json.loads(run(command)) for _ in range(3)]
    rows = []
    for number, raw in enumerate(raws, 1):
        rows.append(
            {
                "repeat": number,
                "off: median step ms": raw["median_step_ns"]["off"] / 1e6,
                "recording: cost %": raw["cost_percent"]["recording"],
                "drift trace: cost %": raw["cost_percent"]["drift trace"],
            }
        )
    save(
        "recording_cost",
        "What recording costs the median decode step",
        ["recording_cost MODEL /usr/share/common-licenses/GPL-3 2048 24"],
        rows,
        [
            "Three engines at the same context decode in turn, blocks of 16 steps: without an observer, "
            "recording, and recording with a drift trace (k 0.5, every 5), which is a pass of its own.",
            "Negative costs are the noise of this machine.",
        ],
        raws,
    )


def precision(build, model):
    rows = []
    for text in ("GPL-3", "Artistic"):
        for prompt in ("512", "1024"):
            raw = json.loads(run([str(build / "bin/precision_error"), model, f"{LICENCES}/{text}", prompt, "128"]))
            rows.append({"text": text, **raw})
    save(
        "precision_fast",
        "What precision `fast` costs against fp32",
        ["precision_error MODEL /usr/share/common-licenses/GPL-3 512 128"],
        rows,
        ["The fp32 engine's greedy tokens fed to the fast one (int8 activations, fp16 KV), logits compared at every step."],
        rows,
    )


def profile(build, model, folder, name, extra):
    return json.loads(
        run([str(build / "bin/hcprof"), "profile", "--model", model, "--json",
             "-o", f"{folder}/{name}.sqlite", *extra])
    )["runs"]


def row_of(text, ratio, run):
    recall = run["recall"]
    return {
        "text": text,
        "policy": run["label"],
        "ratio": ratio,
        "recall low": recall["low"] if recall else None,
        "recall high": recall["high"] if recall else None,
        "KL mean nats": run["kl_nats"]["mean"] if run["kl_nats"] else None,
        "KL p95 nats": run["kl_nats"]["p95"] if run["kl_nats"] else None,
        "perplexity": run["perplexity"],
        "triggers": run["triggers"],
        "rows fetched": run["rows_fetched"],
        "step median ms": run["step_ns"]["median"] / 1e6,
    }


def quality(build, model):
    """Retrieval on, off and the oracle, on a text that drifts: the continuation quotes the second
    text and then the first, so attention has to move from one to the other."""
    hcprof = str(build / "bin/hcprof")
    with tempfile.TemporaryDirectory() as folder:
        first = pathlib.Path(f"{LICENCES}/Artistic").read_text()
        second = pathlib.Path(f"{LICENCES}/BSD").read_text()
        drifting = pathlib.Path(folder, "drifting.txt")
        drifting.write_text(second[300:900] + "\n\n" + first[1500:2100])
        texts = ["--text", f"{LICENCES}/Artistic", "--text", f"{LICENCES}/BSD"]
        heads = f"{folder}/heads.json"
        run([hcprof, "calibrate", "--model", model, *texts, "--generate", "64", "-o", heads])
        rows, raw = [], []
        for title, more in (
            ("quotes one text, then the other", ["--continuation", str(drifting), "--generate", "240"]),
            ("its own answer", ["--question", "Which of the two licences is longer, and why?", "--generate", "128"]),
        ):
            for ratio in ("0.4", "0.5", "0.7"):
                base = [*texts, *more, "--heads", heads, "--ratio", ratio, "--threshold", "0.6",
                        "--drift-trace", "k=1,every=4"]
                on = profile(build, model, folder, "on", [*base, "--policy", "heterocache,oracle"])
                off = profile(build, model, folder, "off", [*base, "--policy", "heterocache", "--no-retrieval"])
                for each in (off[1], on[1], on[2]):
                    rows.append(row_of(title, float(ratio), each))
                raw.append({"text": title, "ratio": ratio, "on": on, "off": off})
    save(
        "retrieval",
        "Retrieval on and off on a text that drifts, with the oracle",
        ["python3 tests/bench/measure_results.py build/dev --only quality"],
        rows,
        [
            "SmolLM2-135M-Instruct, Artistic + BSD licences as the prompt, fast precision, threshold 0.6. "
            "KL to full attention over forced tokens; recall against full attention's probabilities.",
            "The oracle keeps, per head, the most probable tokens of each step; it bounds recall, not KL.",
        ],
        raw,
    )


def demo(build, model):
    with tempfile.TemporaryDirectory() as folder:
        run([str(build / "bin/hcprof"), "demo", "--model", model, "--out", folder, "--no-window"])
        trace = f"{folder}/demo.sqlite"
        report = json.loads(run([str(build / "bin/hcprof"), "report", trace, "--json"]))["runs"]
        hetero = str(report[2]["run"])
        same = json.loads(run([str(build / "bin/hcprof"), "simulate", trace, "--run", hetero, "--json"]))
    same["trace"] = "demo.sqlite"
    rows = []
    for each in report:
        rows.append(
            {
                "run": each["label"],
                "tokens/s": each["tokens_per_s"],
                "step median ms": each["step_ns"]["median"] / 1e6,
                "step p95 ms": each["step_ns"]["p95"] / 1e6,
                "KV pool MiB": each["kv_pool_peak_bytes"] / 2**20,
                "hiding": each["hiding"],
                "interference": each["interference"],
                "triggers": each["triggers"],
                "rows fetched": each["rows_fetched"],
            }
        )
    predicted = same["predictions"][0]["step_ns"]["median"]["value"]
    recorded = report[2]["step_ns"]["median"]
    rows.append({"run": "identity replay of the heterocache run", "step median ms": predicted / 1e6})
    save(
        "demo",
        "The demo's runs and the identity replay",
        ["./run.sh demo", "hcprof simulate hcprof-demo/demo.sqlite --json"],
        rows,
        [
            "The second fullkv run records the drift trace: its time is its own.",
            f"Identity replay: median {100 * (predicted / recorded - 1):+.2f} % of the recorded one. "
            "Commit lag 1.",
        ],
        {"report": report, "identity": same},
    )


def main():
    measures = {"speed": speed, "recording": recording, "precision": precision, "quality": quality, "demo": demo}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--model", default=os.path.expanduser("~/.cache/hcprof/SmolLM2-135M-Instruct.Q4_1.gguf"))
    parser.add_argument("--only", nargs="*", choices=list(measures), default=list(measures))
    arguments = parser.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for name in arguments.only:
        measures[name](arguments.build, arguments.model)


if __name__ == "__main__":
    main()
