"""``python -m tests.scripts.family TIMED TRAINED... --out FOLDER``: cost and gain of modules, joined over runs.

TIMED is a run with latencies (preset family), each TRAINED one that trained the same strategies (family too, and
family-video). FOLDER gets ``cost_and_gain`` and ``budgets``, as CSV and Markdown, the figure, and ``runs.json``, which
says from which runs they are.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from bench.analysis.run import load
from bench.report.cost_and_gain import joined
from bench.report.figures import draw
from bench.report.page import write_cost_and_gain
from bench.store.records import write_atomically


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("timed", type=Path)
    parser.add_argument("trained", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    run = joined(load(asked.timed), *map(load, asked.trained))
    write_cost_and_gain(run, asked.out)
    for figure in draw(run, ["pareto"]):
        write_atomically(asked.out / "pareto.svg", figure.svg)
        write_atomically(asked.out / "pareto.png", figure.png)
        runs = {"timed": asked.timed.name, "trained": [folder.name for folder in asked.trained]}
        write_atomically(asked.out / "runs.json", json.dumps(runs | {"caption": figure.caption}, indent=2) + "\n")
    if not (asked.out / "runs.json").exists():
        parser.error("nothing was both timed and trained in these runs")


if __name__ == "__main__":
    main()
