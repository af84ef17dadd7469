"""raw.jsonl -> results.csv, summary.json, the figure and the page. No torch; can be run again at any time::

    uv run python tests/harnesses/page.py DIR

What the page says is computed from the numbers, the verdict too. What a person has to add (why the bar was missed, or
what else the numbers show) is read from ``DIR/why.md``, so that it survives the next time.
"""

import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.harnesses import drawing
from tests.harnesses.cases import EFFECTS
from tests.harnesses.readings import READERS, Reading
from tests.harnesses.summary import Summary, Trials, summarise
from tests.harnesses.tools import TOOLS
from tests.harnesses.truth import extra_layers, truths
from tests.harnesses.words import page, verdict

Row = dict[str, Any]

_COLUMNS = "round place tool effect truth_pct overhead_pct ci_low_pct ci_high_pct wall_seconds steal_seconds load"


def write(folder: Path) -> Summary:
    """Everything in ``folder`` that follows from its raw.jsonl. Raises SystemExit where no round is complete."""
    rows = [json.loads(line) for line in (folder / "raw.jsonl").read_text().splitlines()]
    header = next(row for row in rows if row["kind"] == "header")
    fixed_part = next(row for row in rows if row["kind"] == "fixed")["processes"]
    runs = [row for row in rows if row["kind"] == "trial"]
    read = {(row["round"], row["tool"]): READERS[row["tool"]](row["samples"]) for row in runs}
    trials = complete_rounds(read)
    if not trials:
        raise SystemExit(f"no round in {folder / 'raw.jsonl'} holds a trial of every tool yet")
    truth = truths(fixed_part)
    known = extra_layers(fixed_part)
    summary = summarise(trials, truth, known.half_width)
    _write_csv(folder / "results.csv", runs, read, truth)
    answer = {**{key: header[key] for key in ("machine", "id", "seconds", "rounds", "seed", "command")}}
    (folder / "summary.json").write_text(json.dumps({**summary.to_json(), **answer}, indent=1) + "\n")
    figure = drawing.estimates(trials, truth)
    (folder / "estimates.svg").write_text(figure.svg)
    (folder / "estimates.png").write_bytes(figure.png)
    why = folder / "why.md"
    notes = why.read_text().strip() if why.exists() else ""
    text = page(summary, header, runs, known, figure.caption, notes)
    (folder / "README.md").write_text(text)
    return summary


def complete_rounds(read: Mapping[tuple[int, str], Mapping[str, Reading]]) -> Trials:
    """Rounds in which every tool had its trial: others would hold one tool's hour against another's.

    Every tool that was tried at all: older results lack one.
    """
    tried = {tool for _, tool in read}
    used = [tool for tool in TOOLS if tool in tried]
    numbers = sorted({number for number, _ in read})
    return [{tool: read[n, tool] for tool in used} for n in numbers if all((n, tool) in read for tool in used)]


def _write_csv(path: Path, runs: list[Row], read: Mapping[tuple[int, str], Mapping[str, Reading]], truth: Row) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(_COLUMNS.split())
        for row in runs:
            for effect in EFFECTS:
                said = read[row["round"], row["tool"]][effect]
                ends = [f"{end:.4f}" if said.has_interval else "" for end in (said.low, said.high)]
                numbers = [f"{truth[effect]:.4f}", f"{said.value:.4f}", *ends]
                system = [f"{row['wall']:.1f}", f"{row['steal']:.2f}", f"{row['load']:.2f}"]
                table.writerow([row["round"], row["place"], row["tool"], effect, *numbers, *system])


if __name__ == "__main__":
    print(verdict(write(Path(sys.argv[1]))))
