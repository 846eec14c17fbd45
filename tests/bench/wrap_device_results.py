#!/usr/bin/env python3
"""Puts the output of device_bench or retrieval_bench into the form that docs/results holds.

    python3 tests/bench/wrap_device_results.py RAW.json OUT.json --title TITLE --commit HASH [--note TEXT ...]
"""

import argparse
import json
import pathlib


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("raw", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--title", required=True)
    parser.add_argument("--commit", required=True)
    parser.add_argument("--command", required=True)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--note", action="append", default=[])
    arguments = parser.parse_args()
    raw = json.loads(arguments.raw.read_text())
    results = raw["results"] if isinstance(raw, dict) else raw
    document = {
        "title": arguments.title,
        "command": [arguments.command],
        "commit": arguments.commit,
        "machine": arguments.machine,
        "notes": arguments.note,
        "rows": results,
        "raw": raw,
    }
    arguments.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
