#!/usr/bin/env python3
"""Holds the simulator against held-out runs, by the committed protocol docs/results/simulator_protocol.json.

    validate_simulator.py cpu   --hcprof BIN --out DIR [--quick]               on a quiet machine of two cores
    validate_simulator.py gpu   --hcprof BIN --heads FILE --out DIR [--quick]  on the GPU machine, about four minutes
    validate_simulator.py cross --hcprof BIN --source DIR --target DIR --out FILE
                                traces of one GPU's leg against the measured points of another's, by catalogue and by
                                the file that 'hardware measure' wrote there; needs no GPU
    validate_simulator.py table RESULT.json                                    a result as Markdown
    validate_simulator.py publish RESULT.json --title T --commit C --machine M --out docs/results/simulator_cpu.json

Needs nothing but Python 3. Points are measured in an order drawn from the protocol's seed, each in a process of its
own. The result holds every point, the bad ones too. --quick runs a few points briefly: for trying this script.
"""

import argparse
import datetime
import json
import pathlib
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
PROTOCOL = TOP / "docs" / "results" / "simulator_protocol.json"


def fail(message):
    sys.exit(f"validate_simulator: {message}")


def run(command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(str(c) for c in command)} failed ({done.returncode}): {done.stderr.strip()}")
    return done.stdout


class Leg:
    """Records and predicts the points of one leg."""

    def __init__(self, name, arguments):
        self.name = name
        self.hcprof = pathlib.Path(arguments.hcprof).resolve()
        self.out = pathlib.Path(arguments.out)
        self.out.mkdir(parents=True, exist_ok=True)
        protocol_file = pathlib.Path(arguments.protocol)
        self.protocol = json.loads(protocol_file.read_text())
        self.plan = self.protocol["legs"][name]
        self.random = random.Random(self.protocol["seed"])
        self.generate = 21 if arguments.quick else self.plan["generate"]
        self.repeats = 1 if arguments.quick else self.plan["repeats"]
        self.quick = arguments.quick
        self.heads = getattr(arguments, "heads", None)
        self.failures = []

    # ---- recording ----

    def drift(self, point):
        told = dict(self.plan["drift"])
        told.update({k: point[k] for k in ("rate", "new", "run", "seed") if k in point})
        return "synthetic:" + ",".join(f"{k}={told[k]}" for k in ("rate", "new", "run", "seed"))

    def base_command(self, point):
        command = [self.hcprof, "profile", "--json", "--prompt-tokens", point["prompt"], "--generate", self.generate]
        if self.name == "gpu":
            command += ["--backend", "cuda", "--model", self.plan["model"], "--prefill", "synthetic",
                        "--drift", self.drift(point)]
        else:
            command += ["--backend", "cpu"]
            for text in self.plan["texts"]:
                command += ["--text", text]
        if "batch" in point:
            command += ["--batch", point["batch"]]
        return command

    def policy_options(self, point):
        options = ["--heads", self.heads, "--ratio", point["ratio"]]
        for key, option in (("threshold", "--threshold"), ("window", "--window"), ("commit_lag", "--commit-lag")):
            if key in point:
                options += [option, point[key]]
        return options

    def record_fit(self, index, point):
        trace = self.out / f"fit{index}.sqlite"
        command = self.base_command(point)
        if "ratio" in point:
            policies = "fullkv,heterocache" if point.get("fullkv", self.name == "cpu" and "batch" not in point) else "heterocache"
            command += ["--policy", policies] + self.policy_options(point)
            if self.name == "cpu" and "batch" not in point:
                command += [f"--drift-trace={self.plan['drift_trace']}"]
        else:
            command += ["--policy", "fullkv"]
        runs = json.loads(run(command + ["-o", trace]))["runs"]
        if self.name == "gpu":
            slim(trace)
        return {"point": point, "trace": trace.name, "bytes": trace.stat().st_size, "runs": [self.figures(r) for r in runs]}

    @staticmethod
    def figures(run_json):
        keys = ("policy", "fetches", "triggers", "fetch_bytes", "rows_fetched", "kv_pool_peak_bytes", "host_tier_bytes",
                "hiding", "recall", "interference", "transfer_ns", "exposed_ns", "tokens_per_s")
        figures = {k: run_json[k] for k in keys}
        figures["step_median_ns"] = run_json["step_ns"]["median"]
        figures["step_p99_ns"] = run_json["step_ns"]["p99"]
        figures["steps"] = run_json["step_ns"]["count"]
        return figures

    def measure(self, point, repeat):
        """One held-out run in a process of its own; the first of the CPU's is judged for recall."""
        policy = point.get("policy", "heterocache")
        trace = self.out / "held_out.sqlite"
        command = self.base_command(point) + ["--policy", policy]
        if policy == "heterocache":
            command += self.policy_options(point)
            if self.name == "cpu" and repeat == 0:
                command += [f"--drift-trace={self.plan['drift_trace']}"]
        runs = json.loads(run(command + ["-o", trace]))["runs"]
        trace.unlink()
        return self.figures(runs[-1])

    # ---- predicting ----

    @staticmethod
    def distance(point, fit):
        context = abs(point["prompt"] / fit["prompt"] - 1) if point["prompt"] >= fit["prompt"] else fit["prompt"] / point["prompt"] - 1
        told = any(point.get(k) != fit.get(k) for k in ("run", "rate"))
        return (context, told, abs(point.get("ratio", 1) - fit.get("ratio", 1)),
                abs(point.get("threshold", 0) - fit.get("threshold", 0)))

    def source_of(self, point, fits):
        with_policy = [f for f in fits if "ratio" in f["point"] and "batch" not in f["point"]]
        return min(with_policy, key=lambda f: self.distance(point, f["point"]))

    def predict(self, point, fits, folder=None, machine=None):
        folder = folder or self.out
        source = self.source_of(point, fits)
        others = [folder / f["trace"] for f in fits if f is not source]
        command = [self.hcprof, "simulate", folder / source["trace"], "--json", "--costs-from", ",".join(map(str, others))]
        if point["prompt"] != source["point"]["prompt"]:
            command += ["--prompt-tokens", point["prompt"]]
        if point.get("policy") == "fullkv":
            command += ["--policy", "fullkv"]
        else:
            command += ["--ratio", point["ratio"]]
            for key, option in (("threshold", "--threshold"), ("window", "--window"), ("commit_lag", "--commit-lag")):
                if key in point and (self.name != "gpu" or key != "threshold"):
                    command += [option, point[key]]
        for key in ("rate", "run"):
            told = self.plan.get("drift", {}).get(key)
            if self.name == "gpu" and point.get(key, told) != source["point"].get(key, told):
                command += ["--drift", self.drift(point)]
                break
        if "batch" in point:
            command += ["--batch", point["batch"]]
        if machine:
            command += ["--on", machine]
        started = time.monotonic()
        answer = json.loads(run(command))["predictions"][0]
        return {"source": source["trace"], "tag": answer["tag"], "seconds": round(time.monotonic() - started, 3),
                "step_median_ns": answer["step_ns"]["median"], "step_p99_ns": answer["step_ns"]["p99"],
                "hiding": answer["hiding"], "fetches": answer["fetches"], "fetch_bytes": answer["fetch_bytes"],
                "kv_pool_bytes": answer["kv_pool_bytes"], "host_tier_bytes": answer["host_tier_bytes"],
                "recall": answer["recall"], "notes": answer["notes"]}

    def baselines(self, point, fits):
        source = self.source_of(point, fits)
        policy = point.get("policy", "heterocache")
        runs = [r for r in source["runs"] if r["policy"] == policy] or source["runs"]
        nearest = runs[-1]
        pool = nearest["kv_pool_peak_bytes"]
        kept = point.get("ratio", 1) / source["point"].get("ratio", 1) * point["prompt"] / source["point"]["prompt"]
        weights = 15.0e9 if self.name == "gpu" else 98e6
        batch = point.get("batch", 1)
        out = {"nearest": nearest["step_median_ns"],
               "bytes": nearest["step_median_ns"] * (weights + pool * kept * batch) / (weights + pool),
               "hiding_none": 0.0}
        steps = max(1, nearest["steps"])
        if nearest["transfer_ns"] > 0:
            transfer = nearest["transfer_ns"] / steps
            work = nearest["step_median_ns"]
            out["hiding_scalar"] = 1 - max(transfer - work, 0) / transfer
        return out

    # ---- a whole leg ----

    def points(self):
        held_out = self.plan["held_out"]
        return held_out[:3] if self.quick else held_out

    def run(self):
        began = time.monotonic()
        fits = []
        plan = self.plan["fit"] + self.plan.get("fit_batches", [])
        for index, point in enumerate(plan):
            print(f"fit {index + 1}/{len(plan)}: {point}", file=sys.stderr)
            fits.append(self.record_fit(index, point))
        machine = None
        if self.name == "gpu":
            machine = self.out / "machine.json"
            run([self.hcprof, "hardware", "measure", "--backend", "cuda", "-o", machine])
        jobs = [(i, r) for i in range(len(self.points())) for r in range(self.repeats)]
        self.random.shuffle(jobs)
        measured = {}
        for done, (i, repeat) in enumerate(jobs):
            point = self.points()[i]
            print(f"held out {done + 1}/{len(jobs)}: {point}", file=sys.stderr)
            try:
                measured.setdefault(i, []).append(self.measure(point, repeat))
            except RuntimeError as error:
                self.failures.append({"point": point, "error": str(error)})
        spread = None
        if "repeat_for_spread" in self.plan and not self.quick:
            repeated = [self.measure(self.plan["repeat_for_spread"], r) for r in range(3)]
            spread = [r["step_median_ns"] for r in repeated]
        result = self.header(began)
        result["fits"] = fits
        result["spread_of_repeats_ns"] = spread
        result["points"] = []
        for i, point in enumerate(self.points()):
            if i in measured:
                result["points"].append(self.compare(point, measured[i], fits))
        result["groups"] = summarise(result["points"], self.protocol["goals"][self.plan["goals"]])
        result["failures"] = self.failures
        if "tuner" in self.plan and not self.quick:
            result["tuner"] = self.tuner(fits)
        target = self.out / "result.json"
        target.write_text(json.dumps(result, indent=1) + "\n")
        print(f"wrote {target} after {time.monotonic() - began:.0f} s", file=sys.stderr)
        print(table(result))

    def header(self, began):
        version = run([self.hcprof, "--version"]).strip()
        return {"format": "hcprof-simulator-validation", "leg": self.name, "hcprof": version, "quick": self.quick,
                "date": datetime.date.today().isoformat(), "protocol": self.protocol["version"],
                "load_average": pathlib.Path("/proc/loadavg").read_text().split()[:3],
                "seconds": round(time.monotonic() - began)}

    def compare(self, point, repeats, fits, folder=None, machine=None):
        entry = {"point": point, "measured": merge_repeats(repeats), "repeats": len(repeats)}
        entry["spread"] = spread_of([r["step_median_ns"] for r in repeats])
        try:
            entry["predicted"] = self.predict(point, fits, folder, machine)
            entry["errors"] = errors(entry["predicted"], entry["measured"])
        except RuntimeError as error:
            entry["refused"] = str(error)
        entry["baselines"] = self.baselines(point, fits)
        return entry

    def tuner(self, fits):
        """Measured cost of what the tuner chooses from a grid, against the measured best of that grid."""
        plan = self.plan["tuner"]
        source = next(f for f in fits if f["point"]["prompt"] == plan["prompt"])
        others = [str(self.out / f["trace"]) for f in fits if f is not source]
        answer = json.loads(run([self.hcprof, "tune", self.out / source["trace"], "--json", "--head-trials", 0,
                                 "--ratio", plan["ratios"], "--threshold", plan["thresholds"], "--window", plan["windows"],
                                 "--commit-lag", plan["commit_lags"], "--costs-from", ",".join(others),
                                 "-o", self.out / "tuned"] + plan["goal"]))
        limit = float(plan["goal"][plan["goal"].index("--min-recall") + 1])
        measured = []
        for ratio in plan["ratios"].split(","):
            for threshold in plan["thresholds"].split(","):
                for lag in plan["commit_lags"].split(","):
                    point = {"prompt": plan["prompt"], "ratio": float(ratio), "threshold": float(threshold),
                             "commit_lag": int(lag)}
                    repeats = [self.measure(point, r) for r in range(self.repeats)]
                    measured.append({"point": point, "measured": merge_repeats(repeats)})
        keeps = [m for m in measured if m["measured"]["recall"] and m["measured"]["recall"]["low"] >= limit]
        first = [{"ratio": c["question"]["ratio"], "threshold": c["question"]["threshold"],
                  "commit_lag": c["question"]["commit_lag"]} for c in answer["first"]]
        if not keeps:
            return {"measured": measured, "first": first, "note": "no measured point keeps the limit"}
        best = min(keeps, key=lambda m: m["measured"]["step_median_ns"])

        def same(a, b):
            return all(abs(a[k] - b[k]) < 1e-9 for k in ("ratio", "threshold", "commit_lag"))

        chosen = next((m for m in measured if same(m["point"], first[0])), None)
        return {"measured": measured, "first": first, "best": best["point"],
                "regret": chosen and chosen["measured"]["step_median_ns"] / best["measured"]["step_median_ns"] - 1,
                "true_best_place": next((i + 1 for i, f in enumerate(first) if same(f, best["point"])), None)}


def slim(trace):
    """Without the positions of fetched rows: nine tenths of such a file, and told drift does without them."""
    connection = sqlite3.connect(trace)
    connection.execute("DELETE FROM hc_rows")
    connection.commit()
    connection.execute("VACUUM")
    connection.close()


def spread_of(values):
    return (max(values) - min(values)) / statistics.median(values) if len(values) > 1 else None


def merge_repeats(repeats):
    out = {}
    for key in repeats[0]:
        values = [r[key] for r in repeats if isinstance(r[key], (int, float))]
        out[key] = statistics.median(values) if values else next((r[key] for r in repeats if r[key] is not None), None)
    return out


def relative(predicted, measured):
    if measured == 0:
        return 0.0 if predicted == 0 else None
    return predicted / measured - 1


def errors(predicted, measured):
    out = {"step_median": relative(predicted["step_median_ns"]["value"], measured["step_median_ns"]),
           "step_p99": relative(predicted["step_p99_ns"]["value"], measured["step_p99_ns"]),
           "fetches": relative(predicted["fetches"], measured["fetches"]),
           "bytes": relative(predicted["fetch_bytes"], measured["fetch_bytes"]),
           "kv_pool": relative(predicted["kv_pool_bytes"], measured["kv_pool_peak_bytes"]),
           "host_tier": relative(predicted["host_tier_bytes"], measured["host_tier_bytes"])}
    if predicted["hiding"] is not None and measured["hiding"] is not None:
        out["hiding"] = predicted["hiding"]["value"] - measured["hiding"]
    if predicted["recall"] and measured["recall"]:
        a, b = predicted["recall"], measured["recall"]
        out["recall"] = max(0.0, a["low"] - b["high"], b["low"] - a["high"])
    low, high = predicted["step_median_ns"]["low"], predicted["step_median_ns"]["high"]
    out["covered"] = low <= measured["step_median_ns"] <= high
    return out


def mean_abs(values):
    values = [abs(v) for v in values if v is not None]
    return statistics.mean(values) if values else None


def largest(values):
    values = [abs(v) for v in values if v is not None]
    return max(values) if values else None


def summarise(points, goals):
    """Every group by itself and all together: groups are never mixed into one score."""
    groups = {}
    for name in dict.fromkeys(p["point"]["group"] for p in points):
        members = [p for p in points if p["point"]["group"] == name and "errors" in p]
        refused = sum(1 for p in points if p["point"]["group"] == name and "refused" in p)
        e = [p["errors"] for p in members]
        if not e:
            groups[name] = {"points": 0, "refused": refused}
            continue
        group = {"points": len(e), "refused": refused,
                 "step_median_mape": mean_abs(x["step_median"] for x in e),
                 "step_p99_mape": mean_abs(x["step_p99"] for x in e),
                 "hiding_points": largest(x.get("hiding") for x in e),
                 "fetches": mean_abs(x["fetches"] for x in e), "bytes": mean_abs(x["bytes"] for x in e),
                 "memory": largest([x["kv_pool"] for x in e] + [x["host_tier"] for x in e]),
                 "recall": largest(x.get("recall") for x in e),
                 "coverage": sum(x["covered"] for x in e) / len(e)}
        for baseline in ("nearest", "bytes"):
            group["baseline_" + baseline] = mean_abs(
                relative(p["baselines"][baseline], p["measured"]["step_median_ns"]) for p in members)
        group["missed"] = [k for k, goal in goals.items() if group.get(k) is not None and group[k] > goal]
        groups[name] = group
    return groups


def percent(value):
    return "-" if value is None else f"{100 * value:.1f} %"


def table(result):
    lines = ["| point | measured ms | predicted ms | error | p99 error | hiding | bytes | recall | nearest | bytes rule |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for p in result["points"]:
        what = ", ".join(f"{k} {v}" for k, v in p["point"].items() if k != "group")
        measured = p["measured"]["step_median_ns"]
        base = p["baselines"]
        tail = f"{percent(relative(base['nearest'], measured))} | {percent(relative(base['bytes'], measured))} |"
        if "refused" in p:
            lines.append(f"| {p['point']['group']}: {what} | {measured * 1e-6:.2f} | refused | - | - | - | - | - | {tail}")
            continue
        e = p["errors"]
        lines.append(f"| {p['point']['group']}: {what} | {measured * 1e-6:.2f} | "
                     f"{p['predicted']['step_median_ns']['value'] * 1e-6:.2f} | {percent(e['step_median'])} | "
                     f"{percent(e['step_p99'])} | {percent(e.get('hiding'))} | {percent(e['bytes'])} | "
                     f"{percent(e.get('recall'))} | {tail}")
    lines += ["", "| group | points | median MAPE | p99 MAPE | hiding | fetches | bytes | memory | recall | covered | missed goals |",
              "|---|---|---|---|---|---|---|---|---|---|---|"]
    for name, g in result["groups"].items():
        if g["points"] == 0:
            lines.append(f"| {name} | 0 ({g['refused']} refused) | - | - | - | - | - | - | - | - | - |")
            continue
        lines.append(f"| {name} | {g['points']} | {percent(g['step_median_mape'])} | {percent(g['step_p99_mape'])} | "
                     f"{percent(g['hiding_points'])} | {percent(g['fetches'])} | {percent(g['bytes'])} | {percent(g['memory'])} | "
                     f"{percent(g['recall'])} | {percent(g['coverage'])} | {', '.join(g['missed']) or 'none'} |")
    return "\n".join(lines)


def publish(arguments):
    """The result as docs/results/make_tables.py reads it: every point, then every group."""
    result = json.loads(pathlib.Path(arguments.result).read_text())
    rows = []
    for p in result["points"]:
        e = p.get("errors", {})
        rows.append({"group": p["point"]["group"],
                     "point": ", ".join(f"{k} {v}" for k, v in p["point"].items() if k != "group"),
                     "measured ms": p["measured"]["step_median_ns"] * 1e-6,
                     "predicted ms": p["predicted"]["step_median_ns"]["value"] * 1e-6 if e else None,
                     "error %": e and 100 * e["step_median"], "p99 error %": e and 100 * e["step_p99"],
                     "hiding error %": 100 * e["hiding"] if "hiding" in e else None,
                     "bytes error %": 100 * e["bytes"] if e.get("bytes") is not None else None,
                     "nearest point %": 100 * relative(p["baselines"]["nearest"], p["measured"]["step_median_ns"]),
                     "bytes rule %": 100 * relative(p["baselines"]["bytes"], p["measured"]["step_median_ns"])})
    for name, g in result["groups"].items():
        if g["points"]:
            rows.append({"group": name, "points": g["points"], "median MAPE": g["step_median_mape"],
                         "p99 MAPE": g["step_p99_mape"], "hiding": g["hiding_points"], "fetches": g["fetches"],
                         "bytes": g["bytes"], "memory": g["memory"], "recall": g["recall"], "covered": g["coverage"],
                         "goals missed": ", ".join(g["missed"]) or "none"})
    notes = [f"Protocol version {result['protocol']}; load average {' '.join(result['load_average'])}; {result['hcprof']}."]
    if result.get("failures"):
        notes.append(f"{len(result['failures'])} held-out runs failed and are missing.")
    if result.get("spread_of_repeats_ns"):
        notes.append(f"Spread of one point's repeats: {percent(spread_of(result['spread_of_repeats_ns']))}.")
    tuner = result.get("tuner")
    if tuner:
        notes.append(f"Tuner: regret {percent(tuner.get('regret'))}, the true best among its first: place {tuner.get('true_best_place')}.")
    document = {"title": arguments.title, "command": [f"tests/bench/validate_simulator.py {result['leg']}"],
                "commit": arguments.commit, "machine": arguments.machine, "notes": notes, "rows": rows}
    pathlib.Path(arguments.out).write_text(json.dumps(document, indent=1) + "\n")


def cpu(arguments):
    leg = Leg("cpu", arguments)
    for text in leg.plan["texts"]:
        if not pathlib.Path(text).is_file():
            fail(f"{text} is missing: the protocol's texts are Debian's licences (package base-files)")
    leg.heads = leg.out / "heads.json"
    texts = [word for text in leg.plan["texts"] for word in ("--text", text)]
    run([leg.hcprof, "calibrate", "--prompt-tokens", leg.plan["calibration_prompt"]] + texts + ["-o", leg.heads])
    leg.run()


def gpu(arguments):
    if not pathlib.Path(arguments.heads).is_file():
        fail(f"{arguments.heads} is missing: the head file of Llama-3.1-8B is in the packed folder's heads/")
    Leg("gpu", arguments).run()


def cross(arguments):
    """Predictions for the target from the source's traces, against what the target measured."""
    arguments.quick = False
    target_dir = pathlib.Path(arguments.target)
    source_dir = pathlib.Path(arguments.source)
    target = json.loads((target_dir / "result.json").read_text())
    source = json.loads((source_dir / "result.json").read_text())
    wanted, arguments.out = arguments.out, str(source_dir)
    leg = Leg("gpu", arguments)
    device = json.loads((target_dir / "machine.json").read_text())["name"]
    catalogue_id = next((m["id"] for m in json.loads(run([leg.hcprof, "hardware", "list", "--json"]))
                         if device in m.get("device_names", [])), None)
    result = leg.header(time.monotonic())
    result["leg"] = f"from {source_dir.name} to {device}"
    for way, machine, goals in (("catalogue", catalogue_id, "other_gpu_catalogue"),
                                ("measured", str(target_dir / "machine.json"), "other_gpu_measured")):
        if machine is None:
            result[way] = {"note": f"the catalogue does not know {device}"}
            continue
        points = [leg.compare(p["point"], [p["measured"]], source["fits"], source_dir, machine) for p in target["points"]]
        result[way] = {"points": points, "groups": summarise(points, leg.protocol["goals"][goals])}
        print(f"\n{way}: {result['leg']}\n\n{table(result[way])}")
    pathlib.Path(wanted).write_text(json.dumps(result, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, body in (("cpu", cpu), ("gpu", gpu), ("cross", cross)):
        command = commands.add_parser(name)
        command.set_defaults(body=body)
        command.add_argument("--hcprof", required=True)
        command.add_argument("--out", required=True)
        command.add_argument("--protocol", default=str(PROTOCOL))
        if name == "cross":
            command.add_argument("--source", required=True)
            command.add_argument("--target", required=True)
        else:
            command.add_argument("--quick", action="store_true")
        if name == "gpu":
            command.add_argument("--heads", required=True)
    published = commands.add_parser("publish")
    published.add_argument("result")
    for option in ("--title", "--commit", "--machine", "--out"):
        published.add_argument(option, required=True)
    published.set_defaults(body=publish)
    shown = commands.add_parser("table")
    shown.add_argument("result")
    shown.set_defaults(body=lambda a: print(table(json.loads(pathlib.Path(a.result).read_text()))))
    arguments = parser.parse_args()
    if getattr(arguments, "hcprof", None) and shutil.which(arguments.hcprof) is None:
        fail(f"{arguments.hcprof} is no program")
    try:
        arguments.body(arguments)
    except RuntimeError as error:
        fail(str(error))


if __name__ == "__main__":
    main()
