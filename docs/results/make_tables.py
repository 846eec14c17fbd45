#!/usr/bin/env python3
"""Makes docs/results/README.md from the JSON files beside it.

    python3 docs/results/make_tables.py

Each JSON file holds: title, command, commit, machine, notes (a list), and rows (a list of objects
with the same keys). Nothing in the tables is typed by hand.
"""

import itertools
import json
import pathlib

HERE = pathlib.Path(__file__).resolve().parent


def cell(value):
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"
    return str(value)


def tables(rows):
    """Rows with the same keys share a table."""
    lines = []
    for keys, group in itertools.groupby(rows, key=tuple):
        lines += [""] if lines else []
        lines += table(list(keys), list(group))
    return lines


def table(keys, rows):
    lines = ["| " + " | ".join(keys) + " |", "|" + "|".join("---" for _ in keys) + "|"]
    lines += ["| " + " | ".join(cell(row.get(key)) for key in keys) + " |" for row in rows]
    return lines


def main():
    lines = [
        "# Results",
        "",
        "Made from the JSON files in this folder by `make_tables.py`; do not edit. Absolute times",
        "are of one machine; ratios within one run travel better.",
    ]
    for path in sorted(HERE.glob("*.json")):
        data = json.loads(path.read_text())
        if "rows" not in data:  # a protocol, say, which holds no results
            continue
        lines += ["", f"## {data['title']}", ""]
        lines += tables(data["rows"])
        lines += [""]
        lines += [f"- {note}" for note in data["notes"]]
        lines += [
            f"- Machine: {data['machine']}. Commit `{data['commit']}`. Raw: [{path.name}]({path.name})",
            "",
            "```",
            *data["command"],
            "```",
        ]
    (HERE / "README.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
