#!/usr/bin/env python3
"""Puts what engine_bench, device_bench and sdpa_peer.py wrote into the form of docs/results.

    python3 tests/bench/device_results.py --commit HASH --machine TEXT --suffix h100
        [--engine E.json ...] [--device D.json] [--peer S.json] [--out docs/results]

Writes one file per question (engine_fullkv_SUFFIX.json and so on), of those that there are points
for. Several --engine files are parts of one set: a point that two hold is the later one's. Then:
python3 docs/results/make_tables.py.
"""

import argparse
import json
import pathlib

TOP = pathlib.Path(__file__).resolve().parents[2]
ENGINE_COMMAND = (
    "engine_bench --heads Head_Analysis_llama-3.1-8b-instruct_*.json --lag 2 --out engine.json"
)
SYNTHETIC = (
    "Llama 3.1 8B's shape, seeded random weights, synthetic prompts and synthetic drift"
    " (a check triggers with probability 0.15, half of the wanted rows are new, in runs of 5"
    " tokens): times and bytes are real, what is attended to has no meaning."
)
FLOOR = (
    "Floor: weights that a step reads and KV at the mean length, over the read bandwidth that a"
    " kernel which only reads reaches in the same process."
)


def met(value, target, at_most):
    if value is None or target is None:
        return None
    return "yes" if (value <= target if at_most else value >= target) else "no"


def failure(point):
    """Why a point's figures do not count; "withdrawn" is written by hand, into a file of results."""
    return point.get("error") or point.get("skipped") or point.get("withdrawn")


def failures(points):
    return [f"{p['name']}: {failure(p)}." for p in points if failure(p)]


def good(points):
    return [p for p in points if not failure(p)]


def fullkv_rows(points):
    return [
        {
            "point": p["name"],
            "step ms": p["step_ms"],
            "p99 ms": p["p99_ms"],
            "device ms": p["device_ms"],
            "spread": p["spread"],
            "floor ms": p["floor_ms"],
            "x floor": p["ratio_to_floor"],
            "target": p["target_ratio_to_floor"],
            "met": met(p["ratio_to_floor"], p["target_ratio_to_floor"], True),
        }
        for p in good(points)
    ]


def hetero_rows(points):
    rows = []
    for p in good(points):
        # Variants of the drift explain; the targets are stated for the usual one.
        target = p.get("target_speedup") if "-lag" in p["name"] else None
        rows.append(
            {
                "point": p["name"],
                "step ms": p["step_ms"],
                "p99/median": p["p99_over_median"],
                "x floor": p["ratio_to_floor"],
                "speedup": p.get("speedup"),
                "target": target,
                "met": met(p.get("speedup"), target, False),
                "hiding": p.get("hiding"),
                "exposed ms/step": p.get("exposed_ms_per_step"),
                "transfer GB/s": p.get("transfer_gb_per_s"),
                "triggers/step": p.get("triggers_per_step"),
                "MB/step": p.get("mb_per_step"),
                "interference": p.get("interference"),
            }
        )
    return rows


def batch_rows(points, singles):
    rows = []
    for p in [*singles, *good(points)]:
        if p["name"] == "batch-summary":
            continue
        rows.append(
            {
                "point": p["name"],
                "batch": p["batch"],
                "step ms": p["step_ms"],
                "tokens/s": p["tokens_per_s"],
                "x floor": p["ratio_to_floor"],
            }
        )
    rows.sort(key=lambda row: (row["point"].replace("batch-", "").split("@")[0], row["batch"]))
    # Best of each kind again, here: the parts of a set may come from several runs.
    best = {}
    for row in rows:
        kind = row["point"].replace("batch-", "").split("@")[0]
        kind = "fullkv" if kind.startswith("fullkv") else "-".join(kind.split("-")[:2])
        if kind not in best or best[kind]["tokens/s"] < row["tokens/s"]:
            best[kind] = row
    full = best.get("fullkv", {}).get("tokens/s")
    for kind, row in best.items():
        rate = row["tokens/s"] / full if full else None
        target = 3 if kind == "hetero-0.25" else None
        rows.append(
            {
                "best of": kind,
                "batch": row["batch"],
                "tokens/s": row["tokens/s"],
                "x fullkv": rate,
                "target": target,
                "met": met(rate, target, False),
            }
        )
    return rows


def prefill_rows(points):
    return [
        {
            "point": p["name"],
            "seconds": p["seconds"],
            "tokens/s": p["tokens_per_s"],
            "TFLOP/s": p["tflop_per_s"],
            "share of bf16 peak": p["share_of_peak"],
            "target": p["target_share"],
            "met": met(p["share_of_peak"], p["target_share"], False),
        }
        for p in good(points)
    ]


def published_rows(points):
    return [
        {
            "point": p["name"],
            "step ms": p["step_ms"],
            "p99 ms": p["p99_ms"],
            "synchronous fetches ms/step": p.get("transfer_ms_per_step"),
            "ours is faster, x": p["ours_faster"],
            "median speedup over published FullKV": p.get("speedup_over_published_fullkv"),
        }
        for p in good(points)
    ]


def memory_rows(points):
    return [
        {
            "point": p["name"],
            "forecast GB": 1e-9 * p["forecast_bytes"],
            "device GB": 1e-9 * p["device_bytes"],
            "difference %": 100 * p["difference"],
            "peak difference %": 100 * p["peak_difference"],
            "host tier GB": 1e-9 * p["tier_bytes"],
            "tier difference %": 100 * p["tier_difference"],
            "target %": 1,
            "met": met(max(abs(p["difference"]), abs(p["tier_difference"])), 0.01, True),
        }
        for p in good(points)
    ]


def model_rows(points):
    return [
        {
            "point": p["name"],
            "step ms": p["step_ms"],
            "p99/median": p["p99_over_median"],
            "tokens/s": p["tokens_per_s"],
            "checks/step": p.get("checks_per_step"),
            "trigger share": p.get("trigger_share"),
            "rows/step": p.get("rows_per_step"),
            "speedup": p.get("speedup"),
        }
        for p in good(points)
    ]


def kernel_rows(device, peer):
    """Kernels beside PyTorch's, where both have the same work."""
    ours = {r["name"]: r for r in device["results"]}
    rows = []
    for theirs in good(peer["results"]):
        name = theirs["name"]
        kind, _, what = name.rpartition(" ")
        candidates = {
            "attention": [f"attention 32/8 D128 {what}"],
            "prefill attention": [f"prefill attention 32/8 D128 {what}"],
            "matmul": [f"decode matmul {what} batch 1", f"matmul {what} batch 1"],
        }[kind]
        mine = next((ours[c] for c in candidates if c in ours), None)
        if mine is None:
            continue
        row = {
            "work": name,
            "kernel": mine["name"],
            "us": mine["us"],
            "PyTorch us": theirs["us"],
            "faster, x": theirs["us"] / mine["us"],
        }
        if "flops" in theirs:
            row["TFLOP/s"] = mine.get("tflop_per_s")
            row["PyTorch TFLOP/s"] = theirs["tflop_per_s"]
        else:
            row["share of read"] = mine["share_of_read"]
            row["PyTorch share of read"] = theirs["gb_per_s"] / device["read_gb_per_s"]
        rows.append(row)
    return rows


def all_kernel_rows(device):
    rows = []
    for r in device["results"]:
        if "flops" in r:
            rows.append({k: r[k] for k in ("name", "us", "flops", "tflop_per_s")})
        else:
            rows.append({k: r[k] for k in ("name", "us", "bytes", "gb_per_s", "share_of_read")})
    return rows


def merged(files):
    """Points of all files by name, in the order in which they were first seen."""
    points = {}
    limits = []
    for path in files:
        document = json.loads(path.read_text())
        limits.append({k: v for k, v in document.items() if k != "points"})
        for point in document["points"]:
            # A failure does not take the place of figures.
            if point["name"] in points and failure(point) and not failure(points[point["name"]]):
                continue
            points[point["name"]] = point
    return list(points.values()), limits


class Folder:
    def __init__(self, arguments):
        self.arguments = arguments

    def further_notes(self, name):
        pairs = (note.partition("=") for note in self.arguments.note)
        return [text for file, _, text in pairs if file == name]

    def save(self, name, title, command, rows, notes, raw):
        if not rows and not notes:
            return
        document = {
            "title": f"{title}, {self.arguments.machine.split(',')[0]}",
            "command": command,
            "commit": self.arguments.commit,
            "machine": self.arguments.machine,
            "notes": [*notes, *self.further_notes(name)],
            "rows": rows,
            "raw": raw,
        }
        path = self.arguments.out / f"{name}_{self.arguments.suffix}.json"
        path.write_text(json.dumps(document, indent=1) + "\n")
        print("wrote", path)


def save_engine(folder, files):
    points, limits = merged(files)
    peak = [p for p in points if p["name"] == "limits"]
    measured = (
        f"Measured beside them: device read {peak[0]['read_gb_per_s']:.0f} GB/s, pinned copy"
        f" {peak[0]['h2d_gb_per_s']:.1f} GB/s, bf16 products {peak[0]['bf16_tflop_per_s'] or 0:.0f}"
        " TFLOP/s."
        if good(peak)
        else f"Device read {limits[0].get('read_gb_per_s')} GB/s."
    )
    single = [p for p in good(points) if p["name"] in ("fullkv@224K",) or "@224K-lag" in p["name"]]

    def save(name, beginning, title, rows_of, notes):
        mine = [p for p in points if p["name"].startswith(beginning)]
        if not mine:
            return
        folder.save(
            f"engine_{name}",
            title,
            [ENGINE_COMMAND],
            rows_of(mine),
            [*notes, measured, *failures(mine)],
            {"runs": limits, "points": mine},
        )

    save("fullkv", "fullkv", "FullKV steps on the CUDA engine", fullkv_rows, [SYNTHETIC, FLOOR])
    save(
        "hetero",
        "hetero",
        "HeteroCache steps at 224K on the CUDA engine",
        hetero_rows,
        [
            SYNTHETIC,
            FLOOR,
            "Speedup is against fullkv@224K of the same run. Interference is the step beside the"
            " same one without a trigger (-rate0), both less the tokens generated meanwhile."
            " Hiding is the share of transfer time that the computation did not wait for.",
        ],
    )
    save(
        "batch",
        "batch",
        "Tokens per second at 224K on the CUDA engine",
        lambda mine: batch_rows(mine, single),
        [SYNTHETIC],
    )
    save(
        "prefill",
        "prefill",
        "A prompt of 32K tokens on the CUDA engine",
        prefill_rows,
        ["FullKV, random tokens and weights; the faster of two prompts after a first one."],
    )
    save(
        "published",
        "published",
        "What the published code does, in the CUDA engine",
        published_rows,
        [
            "FullKV copies the cache of every layer at each token; HeteroCache in reference mode:"
            " all of a layer checks at once, the whole set is gathered by the host while the step"
            " waits. Both run on this engine's kernels, so they are faster than the published code.",
        ],
    )
    save(
        "memory",
        "memory",
        "Memory against the forecast of hcprof budget",
        memory_rows,
        ["Forecasts are made before anything is allocated, by the rule that hcprof budget uses."],
    )
    save(
        "model",
        "model",
        "SmolLM2 135M with its own drift on the CUDA engine",
        model_rows,
        ["A prompt of 7K tokens of text; checks and fetches are the model's own."],
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--device", type=pathlib.Path)
    parser.add_argument("--peer", type=pathlib.Path)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--suffix", required=True)
    parser.add_argument("--note", action="append", default=[], metavar="FILE=TEXT",
                        help="a further note of one file, say engine_hetero=...")
    parser.add_argument("--out", type=pathlib.Path, default=TOP / "docs" / "results")
    arguments = parser.parse_args()
    folder = Folder(arguments)
    if arguments.engine:
        save_engine(folder, arguments.engine)
    if not arguments.device:
        return
    device = json.loads(arguments.device.read_text())
    folder.save(
        "device_kernels",
        "CUDA kernels",
        ["device_bench results.json"],
        all_kernel_rows(device),
        ["Medians of graph replays; share_of_read is of the read bandwidth of the same process."],
        device,
    )
    if not arguments.peer:
        return
    peer = json.loads(arguments.peer.read_text())
    folder.save(
        "kernels_and_pytorch",
        "CUDA kernels beside PyTorch",
        ["device_bench results.json", "python3 tests/bench/sdpa_peer.py peer.json"],
        kernel_rows(device, peer),
        [
            f"PyTorch {peer['torch']}: scaled_dot_product_attention and linear in CUDA graphs, on"
            " the same machine.",
            *failures(peer["results"]),
        ],
        {"device": device, "peer": peer},
    )


if __name__ == "__main__":
    main()
