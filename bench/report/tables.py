"""The tables of a page: rounded text, a key to sort by; what all rows share is said once above.

``templates/columns.toml`` says which columns each has.
"""

import json
import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench.analysis.run import Analysis
from bench.analysis.tables.raw import comparison_table, quality_table
from bench.report.numbers import between, estimate, fixed, fraction_text, interval_text, number, p_text
from bench.report.selection import TWIN_FLAG, Row, flags_of, rows
from bench.spec.cases import Condition
from bench.spec.panel import Panel
from bench.store.samples import MEASURES, PARTS

_FILE = Path(__file__).with_name("templates") / "columns.toml"
_COUNTED = ("threads", "frames", "size", "batch", "streams")


class Cell(NamedTuple):
    """Text to read; ``key`` sorts numbers as numbers and intervals by their estimate."""

    text: str
    key: str


@dataclass(frozen=True)
class Column:
    """A heading and how a row's cell is made. shared: said above the table where all rows agree."""

    title: str
    cell: Callable[[Row], Cell]
    numeric: bool = True
    shared: bool = False


@dataclass(frozen=True)
class Line:
    """One row. status: ``ok``, ``failed`` or ``skipped``; records: how the ids of its records begin."""

    cells: tuple[Cell, ...]
    status: str
    records: str


@dataclass(frozen=True)
class Sheet:
    """A table to print. same: what holds for every row."""

    columns: list[Column]
    lines: list[Line]
    same: str


def sheets(run: Analysis) -> dict[str, Sheet | None]:
    """Every table of a run by its name; None where there is nothing to show."""
    clips = [name for name in Panel.COLUMNS if name != "streams"]
    latency = run.latency.assign(million_cycles=run.latency["latency_ms"] * run.latency["sm_mhz"] / 1e3)
    detectors = ("detector", "form", "direction", "lr_factor", "length_factor")
    return {
        "latency": _sheet("latency", latency, ("direction", *clips), named=True),
        "online": _sheet("online", run.online, ("direction", *Panel.COLUMNS), named=True),
        "accuracy": _sheet("accuracy", run.accuracy, ("direction", "dataset", "backbone"), named=True),
        "controls": _sheet("controls", comparison_table(run.comparisons)),
        "detection": _sheet("detection", run.detection, detectors, named=True),
        "quality": _sheet("quality", quality_table(run.quality), clips),
        "bandwidth": _sheet("bandwidth", run.bandwidth, clips),
    }


def sample_lists(samples: pd.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """{how the ids of a case's records begin: [(the rest of the id, value of that process or seed)]}."""
    return {
        str(name): [(str(row["record"]).removeprefix(str(name)), _values(row)) for row in rows(own)]
        for name, own in samples.groupby("records", sort=False)
    }


def _values(row: Row) -> str:
    """``+1.23 %, 251.2 ms`` of a process; ``spatial 90.6 %, temporal 25.0 %, joint 22.7 %`` of a seed."""
    overhead, taken = number(row["overhead_pct"]), number(row["ms"])
    if math.isfinite(overhead):
        return f"{fixed(overhead, 2, signed=True)} %" + ("" if math.isnan(taken) else f", {fixed(taken, 2)} ms")
    found = {part: value for part in (*PARTS, *MEASURES) if math.isfinite(value := number(row.get(f"{part}_pct")))}
    return ", ".join(f"{_words(part)} {fixed(value, 1)} %" for part, value in found.items())


def plain(value: Any) -> str:
    """Anything from ``run.json`` on one line."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict) and all(isinstance(item, str | int | float) for item in value.values()):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(plain(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple) else str(value)


def _sheet(name: str, frame: pd.DataFrame, axes: Sequence[str] = (), *, named: bool = False) -> Sheet | None:
    """A table of what varies. named: its rows are of strategies, and may have failed."""
    if frame.empty:
        return None
    found, along = rows(frame), [_axis(axis) for axis in axes]
    columns = [*_columns("case"), *along, _STATUS, *_columns(name)] if named else [*along, *_columns(name)]
    cells = {column: [column.cell(row) for row in found] for column in columns}
    texts = {column: {cell.text for cell in own} - {""} for column, own in cells.items()}
    shared = [column for column, own in texts.items() if column.shared and len(own) == 1]
    shown = [column for column, own in texts.items() if own and column not in shared]
    lines = [
        Line(tuple(cells[column][place] for column in shown), row.get("status", "ok"), row.get("records", ""))
        for place, row in enumerate(found)
    ]
    return Sheet(shown, lines, ", ".join(f"{column.title} {texts[column].pop()}" for column in shared))


@cache
def _columns(name: str) -> list[Column]:
    return [_column(**entry) for entry in tomllib.loads(_FILE.read_text(encoding="utf-8"))[name]]


def _column(
    title: str, interval: str = "", number: str = "", text: str = "", cell: str = "", shared: bool = False, **more: Any
) -> Column:
    """From an entry of the file."""
    if interval:
        return Column(title, lambda row: _interval(row, interval, **more), shared=shared)
    if number:
        return Column(title, lambda row: _number(row, number, **more), shared=shared)
    if text:
        return Column(title, lambda row: _text(row.get(text)), numeric=False)
    return Column(title, _CELLS[cell], numeric=cell not in ("strategy", "otherwise"))


def _axis(name: str) -> Column:
    def cell(row: Row) -> Cell:
        return _text(plain(row[name]) if _known(row.get(name)) else None)

    return Column(_words(name), cell, name in _COUNTED, shared=True)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _known(value: object) -> bool:
    return value is not None and value == value  # NaN differs from itself


def _interval(row: Row, stem: str, unit: str = "pct", flag: str = "", *, signed: bool = True) -> Cell:
    """With its p, where there is one. flag: only in rows that raise it."""
    if flag and flag not in flags_of(row):
        return Cell("", "")
    found = estimate(row, stem, unit)
    text = "" if math.isnan(found.mean) else interval_text(found, "", signed=signed, missing="")
    if found.low == found.high == found.mean:  # the baseline against itself
        text = fixed(found.mean, 0)
    return Cell(", ".join(filter(None, (text, p_text(number(row.get(f"{stem}_p")))))), _key(found.mean))


def _number(row: Row, name: str, digits: int = 0, scale: float = 1.0, *, signed: bool = False) -> Cell:
    value = number(row.get(name)) / scale
    return Cell("" if math.isnan(value) else fixed(value, digits, signed=signed), _key(value))


def _text(value: Any) -> Cell:
    """Text that sorts as it reads; empty for what is not known."""
    text = str(value) if _known(value) else ""
    return Cell(text, text)


def _key(value: float) -> str:
    """What a number is sorted by; empty for NaN, which comes last."""
    return repr(value) if math.isfinite(value) else ""


def _strategy(row: Row) -> Cell:
    return _text(f"{row['strategy']} (A/A twin)" if TWIN_FLAG in flags_of(row) else row["strategy"])


def _status(row: Row) -> Cell:
    warnings = [flag for flag in flags_of(row) if flag != TWIN_FLAG]
    return _text("; ".join(filter(None, (str(row["status"]), *warnings, _text(row.get("reason")).text))))


def _otherwise(row: Row) -> Cell:
    """What differs from the usual condition, beyond data set and network: ``lr factor 0.5, length factor 2``."""
    usual = {name: value for name, value in vars(Condition()).items() if name not in ("dataset", "backbone")}
    changed = {name: row[name] for name in usual if _known(row.get(name)) and row[name] != usual[name]}
    return _text(", ".join(f"{_words(name)} {plain(value)}" for name, value in changed.items()))


def _measured(row: Row) -> Cell:
    """Of a control: in pp or %, as its row says."""
    found = between(row["measured"], row["ci_low"], row["ci_high"])
    return Cell(interval_text(found, row["unit"], signed=row["unit"] != "%"), _key(found.mean))


_STATUS = Column("status", _status, numeric=False)
_CELLS: dict[str, Callable[[Row], Cell]] = {
    "strategy": _strategy,
    "fraction": lambda row: Cell(fraction_text(number(row["fraction"])), str(row["fraction"])),
    "otherwise": _otherwise,
    "measured": _measured,
}
