"""The tables of a page: rounded text, a key to sort by; what all rows share is said once above.

``templates/columns.toml`` says which columns each has.
"""

import json
import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench.analysis.run import Analysis
from bench.analysis.tables.raw import comparison_table, quality_table
from bench.report.cost_and_gain import budgets, cost_and_gain, judged_by
from bench.report.numbers import between, estimate, fixed, fraction_text, interval_text, known, number, p_text
from bench.report.selection import COUNTED, Row, rows, warnings_of
from bench.spec.cases import Condition
from bench.spec.panel import Panel

_WORDS = ("strategy", "otherwise", "taken", "streamable")  # cells that are no numbers
_FILE = Path(__file__).with_name("templates") / "columns.toml"


class Cell(NamedTuple):
    """Text to read; ``key`` sorts numbers as numbers and intervals by their estimate. faint: it is no finding."""

    text: str
    key: str
    faint: bool = False


@dataclass(frozen=True)
class Column:
    """A heading and how a row's cell is made. shared: said above the table where all rows agree."""

    title: str
    cell: Callable[[Row], Cell]
    numeric: bool = True
    shared: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table to print. lines: rows with the cells of the columns; same: what holds for every row."""

    columns: list[Column]
    lines: list[tuple[Row, list[Cell]]]
    same: str


def sheets(run: Analysis) -> dict[str, Sheet | None]:
    """Every table of a run by its name; None where there is nothing to show."""
    clips = [name for name in Panel.COLUMNS if name != "streams"]
    latency = run.latency.assign(million_cycles=run.latency["latency_ms"] * run.latency["sm_mhz"] / 1e3)
    detectors = ("detector", "form", "direction", "lr_factor", "length_factor")
    return {
        "latency": _sheet("latency", latency, ("direction", *clips)),
        "online": _sheet("online", run.online, ("direction", *Panel.COLUMNS)),
        "video": _sheet("video", run.video, ("question", "direction", "backbone", "lr_factor", "length_factor")),
        "accuracy": _sheet("accuracy", run.accuracy, ("direction", "dataset", "backbone")),
        "controls": _sheet("controls", comparison_table(run.comparisons)),
        "detection": _sheet("detection", run.detection, detectors),
        "quality": _sheet("quality", quality_table(run.quality, run.controls), clips),
        "bandwidth": _sheet("bandwidth", run.bandwidth, clips),
    } | cost_sheets(cost_and_gain(run))


def cost_sheets(table: pd.DataFrame) -> dict[str, Sheet | None]:
    """``cost_and_gain`` with a column for each yardstick, and what it makes of ``budgets``."""
    by_yardstick = [Column(f"{by} [pp]", partial(_interval, name=f"{by}_gain")) for by in judged_by(table)]
    return {
        "cost_and_gain": _sheet("cost_and_gain", table.assign(status="ok"), ("backbone",), by_yardstick),
        "budgets": _sheet("budgets", budgets(table)),
    }


def sample_lists(samples: pd.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """{how the ids of a case's records begin: [(the rest of the id, values of that process or seed)]}.

    Values: ``overhead [%] +1.23, slot [ms] 251.20`` of a process; ``spatial [%] 90.6, joint [%] 22.7`` of a seed.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for row in rows(samples):
        cells = {column.title: column.cell(row).text for column in _columns("samples")}
        values = ", ".join(f"{title} {text}" for title, text in cells.items() if text)
        found.setdefault(row["records"], []).append((row["record"].removeprefix(row["records"]), values))
    return found


def plain(value: Any) -> str:
    """Anything from ``run.json`` on one line."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict) and all(isinstance(item, str | int | float) for item in value.values()):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(plain(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple) else str(value)


def _sheet(name: str, frame: pd.DataFrame, axes: Sequence[str] = (), more: Sequence[Column] = ()) -> Sheet | None:
    """A table of what varies. Rows of strategies are named first, and may have failed. more: columns at the end."""
    if frame.empty:
        return None
    found, along = rows(frame), [_axis(axis) for axis in axes]
    columns = [*along, *_columns(name)]
    if "status" in frame:
        columns = [*_columns("case"), *along, _STATUS, *_columns(name), *more]
    cells = {column: [column.cell(row) for row in found] for column in columns}
    texts = {column: {cell.text for cell in own} - {""} for column, own in cells.items()}
    alike = [column for column, own in texts.items() if column.shared and len(own) == 1]
    shared = [column for column in alike if len(found) > 1 or column in along]
    shown = [column for column, own in texts.items() if own and column not in shared]
    lines = [(row, [cells[column][place] for column in shown]) for place, row in enumerate(found)]
    return Sheet(shown, lines, ", ".join(f"{column.title} {texts[column].pop()}" for column in shared))


@cache
def _columns(table: str) -> list[Column]:
    return [_column(**entry) for entry in tomllib.loads(_FILE.read_text(encoding="utf-8"))[table]]


def _column(title: str, shared: bool = False, **entry: Any) -> Column:
    (kind, name), *options = entry.items()
    make = _CELLS[name] if kind == "cell" else partial(_CELLS[kind], name=name, **dict(options))
    return Column(title, make, numeric=kind != "text" and name not in _WORDS, shared=shared)


def _axis(name: str) -> Column:
    return Column(name.replace("_", " "), partial(_text, name=name), name in COUNTED, shared=True)


def _interval(row: Row, name: str, unit: str = "pct", flag: str = "", *, signed: bool = True) -> Cell:
    """With its p, where there is one. flag: only in rows that raise it."""
    if flag and flag not in warnings_of(row):
        return Cell("", "")
    found = estimate(row, name, unit)
    text = "" if math.isnan(found.mean) else interval_text(found, "", signed=signed)
    if found.low == found.high == found.mean:  # the baseline against itself
        text = fixed(found.mean, 0)
    text = ", ".join(filter(None, (text, p_text(number(row.get(f"{name}_p"))))))
    return Cell(text, _key(found.mean), faint=not known(found))


def _number(row: Row, name: str, digits: int = 0, scale: float = 1.0, *, signed: bool = False) -> Cell:
    value = number(row.get(name)) / scale
    return Cell("" if math.isnan(value) else fixed(value, digits, signed=signed), _key(value))


def _text(row: Row, name: str) -> Cell:
    return _word(plain(row[name]) if pd.notna(row.get(name)) else "")


def _word(text: str) -> Cell:
    """It sorts as it reads."""
    return Cell(text, text)


def _key(value: float) -> str:
    """What a number is sorted by; empty for NaN, which comes last."""
    return repr(value) if math.isfinite(value) else ""


def _status(row: Row) -> Cell:
    return _word("; ".join(filter(None, (row["status"], *warnings_of(row), _text(row, "reason").text))))


def _otherwise(row: Row) -> Cell:
    """What differs from the usual condition, beyond data set and network: ``lr factor 0.5, length factor 2``."""
    usual = {name: value for name, value in vars(Condition()).items() if name not in ("dataset", "backbone")}
    changed = {name: row[name] for name in usual if pd.notna(row.get(name)) and row[name] != usual[name]}
    return _word(", ".join(f"{name.replace('_', ' ')} {plain(value)}" for name, value in changed.items()))


def _measured(row: Row) -> Cell:
    found, unit = between(row["measured"], row["ci_low"], row["ci_high"]), row["unit"]
    return Cell(interval_text(found, unit, signed=unit != "%"), _key(found.mean))


def _budget(row: Row) -> Cell:
    limit = float(row["budget_pct"])
    return Cell(f"{limit:g}" if math.isfinite(limit) else "any", str(limit))


def _taken(row: Row) -> Cell:
    return _word(f"{row['strategy']} {fraction_text(row['fraction'])}" if pd.notna(row["strategy"]) else "")


_STATUS = Column("status", _status, numeric=False)
_CELLS: dict[str, Callable[..., Cell]] = {
    "interval": _interval,
    "number": _number,
    "text": _text,
    "strategy": lambda row: _word(row["strategy"] + (" (A/A twin)" if row.get("aa") else "")),
    "fraction": lambda row: Cell(fraction_text(number(row["fraction"])), str(row["fraction"])),
    "budget": _budget,
    "taken": _taken,
    "streamable": lambda row: _word({True: "yes", False: "no"}.get(row["streamable"], "")),
    "otherwise": _otherwise,
    "measured": _measured,
}
