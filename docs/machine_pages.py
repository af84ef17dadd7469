"""A page of results for each machine, made from the tables of ``results/reference`` while mkdocs builds the site.

The README there says which machine a run was measured on, and what the run shows; the numbers come from its tables. A
machine's runs are those whose folders' names begin with it: ``amd-zen4-2-cores-online`` was measured on the
``amd-zen4-2-cores``.
"""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from bench.report.numbers import estimate, fraction_text, interval_text, milliseconds_text
from bench.report.page import MAIN_FIGURES
from bench.report.selection import MECHANISM, baselines, line_text, main_condition, panel_text, panels, rows, timed

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
_MACHINE = re.compile(r"(?P<name>.+?-\d+-cores)(-|$)")
_LISTED = re.compile(r"^\| `(?P<folder>[^`]+)` \| (?P<machine>[^|]+) \| .+ \| (?P<shows>[^|]+) \|$", re.MULTILINE)
_INTRODUCTION = (
    "All numbers of this page are made from the runs' tables; brackets hold 95 % intervals. Overheads are in per cent, "
    "against the same network without a shift. Where the A/A control of a setting is undecided, small effects are not "
    "told apart; where it is off, its numbers are left out."
)


class Run(NamedTuple):
    """A row of the README of published runs."""

    folder: str
    machine: str
    shows: str


def machines() -> dict[str, list[Run]]:
    """{machine: its runs that have tables}, in the order of the README."""
    listed = [Run(**row.groupdict()) for row in _LISTED.finditer((REFERENCE / "README.md").read_text(encoding="utf-8"))]
    found: dict[str, list[Run]] = {}
    for run in listed:
        named = _MACHINE.match(run.folder)
        if named and (REFERENCE / run.folder / "run.json").exists():
            found.setdefault(named["name"], []).append(run)
    return found


def on_config(config: "MkDocsConfig") -> "MkDocsConfig":
    """The machines stand below the results in the navigation."""
    pages = [{name: f"machines/{name}.md"} for name in machines()]
    for place, entry in enumerate(config.nav or ()):
        if isinstance(entry, dict) and entry.get("Results") == "results.md":
            config.nav[place] = {"Results": [{"What was found": "results.md"}, *pages]}
    return config


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """The pages, under ``machines/``."""
    from mkdocs.structure.files import File

    for name, runs in machines().items():
        files.append(File.generated(config, f"machines/{name}.md", content=page(name, runs)))
    return files


def page(name: str, runs: Sequence[Run]) -> str:
    """The whole page of a machine, in Markdown."""
    parts = [f"# {name}", f"{_sentence(runs[0].machine)} {_INTRODUCTION}"]
    for run in runs:
        parts += _run(run)
    return "\n\n".join(parts) + "\n"


def _run(run: Run) -> list[str]:
    folder, link = REFERENCE / run.folder, f"../runs/{run.folder}"
    header = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    parts = [
        f"## {header['title']}",
        f"{_sentence(run.shows)} [{run.folder}]({link}/report.html), {header['created'][:10]}.",
        f"    {header['command']}",
    ]
    figure = next((name for name in MAIN_FIGURES if (folder / "figures" / f"{name}.png").exists()), None)
    if figure:
        parts.append(f"![{figure.replace('_', ' ')}]({link}/figures/{figure}.png)")
    parts += _timed(_read(folder, "latency"), "latency_ms", "without a shift")
    parts += _timed(_read(folder, "online"), "frame_ms", "a frame without a shift")
    parts += _accuracy(_read(folder, "accuracy"))
    parts += _detection(_read(folder, "detection"))
    return parts + _findings(_read(folder, "claims"))


def _read(folder: Path, table: str) -> pd.DataFrame:
    path = folder / "tables" / f"{table}.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame()


def _timed(frame: pd.DataFrame, time: str, what: str) -> list[str]:
    """A table for each panel: mechanism by fraction."""
    if frame.empty:
        return []
    shifting = timed(frame)
    parts, measured = [], panels(shifting[shifting["fraction"] > 0])
    among = [panel for panel, _ in measured]
    bases = {panel: own.iloc[0] for panel, own in panels(baselines(frame))}
    for panel, cases in measured:
        control = str(cases["control"].iloc[0])
        head = f"**{panel_text(panel, among, always=('backbone',))}**: {milliseconds_text(bases[panel][time])} {what}"
        parts.append(f"{head}; A/A control {control}.")
        if control != "off":
            shares = sorted(set(cases["fraction"]))
            lines = [
                [line_text(*key), *(_cell(own[own["fraction"] == share]) for share in shares)]
                for key, own in cases.groupby(MECHANISM, sort=False)
            ]
            parts.append(_table(["overhead [%]", *map(fraction_text, shares)], lines))
    return parts


def _cell(cases: pd.DataFrame) -> str:
    """Without a place to break, as an interval is one number."""
    return interval_text(estimate(rows(cases)[0], "overhead"), "").replace(" ", "\u00a0") if len(cases) else ""


def _accuracy(frame: pd.DataFrame) -> list[str]:
    """The arms of the main condition."""
    if frame.empty:
        return []
    lines = [
        [line_text(*(row[key] for key in MECHANISM)), fraction_text(row["fraction"]), str(row["seeds"])]
        + [interval_text(estimate(row, part), "", signed=False) for part in ("temporal", "spatial", "joint")]
        for row in rows(main_condition(frame))
    ]
    head = ["accuracy [%]", "fraction", "seeds", "order told apart", "digit read", "both"]
    return [_table(head, lines)]


def _detection(frame: pd.DataFrame) -> list[str]:
    if frame.empty:
        return []
    measures = ("map", "map_slow", "map_medium", "map_fast")
    lines = [
        [f"{row['form']}, {row['strategy']}", fraction_text(row["fraction"]), str(row["seeds"])]
        + [interval_text(estimate(row, measure), "", signed=False) for measure in measures]
        for row in rows(frame[frame["seeds"] > 0])
    ]
    return [_table(["mean average precision [%]", "fraction", "seeds", "all", "slow", "medium", "fast"], lines)]


def _findings(frame: pd.DataFrame) -> list[str]:
    """What was judged, and which way: of several subjects those with each verdict."""
    if frame.empty:
        return []
    judged = frame[frame["verdict"] != "not measured"]
    lines = []
    for _, own in judged.groupby("claim"):
        told = []
        for verdict, same in own.groupby("verdict", sort=False):
            subjects = ", ".join(same["subject"].dropna())
            told.append(f"**{verdict}**" + (f": {subjects}" if subjects else ""))
        lines.append([own["finding"].iloc[0], "; ".join(told)])
    return [_table(["finding of the paper", "here"], lines, "---")] if lines else []


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def _table(head: Sequence[str], lines: Iterable[Sequence[str]], others: str = "--:") -> str:
    """In Markdown. others: how the columns after the first are aligned."""
    every = (head, ["---", *[others] * (len(head) - 1)], *lines)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in every)
