"""The tables of a page: rounded text, a key to sort by; what all rows share is said once above.

``templates/columns.toml`` says which columns each has.
"""

import json
import math
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from bench.analysis.run import Analysis
from bench.analysis.tables.raw import comparison_table, quality_table
from bench.report.numbers import Estimate, fixed, fraction_text, number, p_text
from bench.report.selection import CONDITION_COLUMNS, PANEL_COLUMNS, TWIN_FLAG, Row, finished, flags_of, rows
from bench.spec.cases import Condition
from bench.store.samples import MEASURES, PARTS

_FILE = Path(__file__).with_name("templates") / "columns.toml"


class Cell(NamedTuple):
    """Text to read; ``key`` sorts numbers as numbers and intervals by their estimate."""

    text: str
    key: str


@dataclass(frozen=True)
class Column:
    """A heading and how a row's cell is made."""

    title: str
    cell: Callable[[Row], Cell]
    numeric: bool = True


@dataclass(frozen=True)
class Line:
    """One row. status: ``ok``, ``failed`` or ``skipped``; records: how the ids of its records begin."""

    cells: tuple[Cell, ...]
    status: str
    records: str


@dataclass(frozen=True)
class Sheet:
    """A table to print. same: what holds for every row."""

    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    same: str


def sheets(run: Analysis) -> dict[str, Sheet | None]:
    """Every table of a run by its name; None where there is nothing to show."""
    clips = [name for name in PANEL_COLUMNS if name != "streams"]
    trained = ("direction", "dataset", "backbone")
    detectors = ("detector", "form", "direction", "lr_factor", "length_factor")
    return {
        "latency": _sheet("latency", run.latency, ("direction", *clips), named=True),
        "online": _sheet("online", run.online, ("direction", *PANEL_COLUMNS), named=True),
        "accuracy": _sheet("accuracy", run.accuracy, trained, named=True),
        "controls": _sheet("controls", comparison_table(run.comparisons)),
        "detection": _sheet("detection", run.detection, detectors, named=True),
        "quality": _sheet("quality", quality_table(run.quality), clips),
        "bandwidth": _sheet("bandwidth", run.bandwidth, clips),
    }


def sample_lists(samples: pd.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """{how the ids of a case's records begin: [(the rest of the id, value of that process or seed)]}."""
    if samples.empty:
        return {}
    return {
        str(name): [(str(row["record"]).removeprefix(str(name)), _values(row)) for row in rows(own)]
        for name, own in samples.groupby("records", sort=False)
    }


def _values(row: Row) -> str:
    """``+1.23 %, 251.2 ms`` of a process; ``spatial 90.6 %, temporal 25.0 %, joint 22.7 %`` of a seed."""
    overhead, taken = number(row["overhead_pct"]), number(row["ms"])
    if math.isfinite(overhead):
        return f"{fixed(overhead, 2, signed=True)} %" + ("" if math.isnan(taken) else f", {fixed(taken, 2)} ms")
    known = {part: value for part in (*PARTS, *MEASURES) if math.isfinite(value := number(row.get(f"{part}_pct")))}
    return ", ".join(f"{_words(part)} {fixed(value, 1)} %" for part, value in known.items())


def plain(value: Any) -> str:
    """Anything from ``run.json`` on one line."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict) and all(isinstance(item, str | int | float) for item in value.values()):
        return ", ".join(f"{name} {plain(item)}" for name, item in value.items())
    if isinstance(value, list | tuple) and all(isinstance(item, str | int | float) for item in value):
        return ", ".join(plain(item) for item in value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list | tuple) else str(value)


_OFTEN_SHARED = ("processes", "superblocks", "seeds", "parameters [M]", "FLOPs [G]", "left out", "disturbed [%]")
_COUNTED = ("threads", "frames", "size", "batch", "streams")


def _sheet(name: str, frame: pd.DataFrame, axes: Sequence[str] = (), *, named: bool = False) -> Sheet | None:
    """A table of what varies; what is the same in all rows is said once, and what no row has is left away."""
    if frame.empty:
        return None
    everything, done = rows(frame), rows(finished(frame)) if named else rows(frame)
    present = [axis for axis in axes if axis in frame and frame[axis].notna().any()]
    varying = [axis for axis in present if frame[axis].astype(str).nunique() > 1]
    filled = [column for column in _columns(name) if any(column.cell(row).text for row in everything)]
    shared = [
        c for c in filled if c.title in _OFTEN_SHARED and len({c.cell(row).text for row in done}) == 1 < len(done)
    ]
    same = [f"{_words(axis)} {plain(frame[axis].iloc[0])}" for axis in present if axis not in varying]
    same += [f"{column.title} {column.cell(done[0]).text}" for column in shared]
    shown = [*map(_axis, varying), *([_STATUS] if named else []), *(c for c in filled if c not in shared)]
    shown = [*(_columns("case") if named else ()), *shown]
    lines = [
        Line(tuple(c.cell(row) for c in shown), str(row.get("status", "ok")), str(row.get("records", "")))
        for row in everything
    ]
    return Sheet(tuple(shown), tuple(lines), ", ".join(same))


@cache
def _columns(name: str) -> tuple[Column, ...]:
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8"))[name]
    return tuple(_column(**entry) for entry in entries)


def _column(title: str, interval: str = "", number: str = "", text: str = "", cell: str = "", **options: Any) -> Column:
    """From an entry of the file."""
    if interval:
        return Column(title, lambda row: _interval(row, interval, **options))
    if number:
        return Column(title, lambda row: _number(row, number, **options))
    if text:
        return Column(title, lambda row: _text(row.get(text)), numeric=False)
    return Column(title, _CELLS[cell], numeric=cell not in ("strategy", "otherwise"))


def _axis(name: str) -> Column:
    return Column(_words(name), lambda row: _text(plain(row[name]) if _known(row[name]) else None), name in _COUNTED)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _known(value: object) -> bool:
    return value is not None and value == value  # NaN differs from itself


def _interval(row: Row, stem: str, value: str = "", unit: str = "pct", flag: str = "", *, signed: bool = True) -> Cell:
    """With its p, where there is one. flag: only in rows that raise it."""
    if flag and flag not in flags_of(row):
        return Cell("", "")
    found = Estimate(
        number(row.get(value or f"{stem}_{unit}")), *(number(row.get(f"{stem}_ci_{e}_{unit}")) for e in ("low", "high"))
    )
    text = "" if math.isnan(found.value) else found.text("", signed=signed, missing="")
    if found.low == found.high == found.value:  # the baseline against itself
        text = fixed(found.value, 0)
    return Cell(", ".join(filter(None, (text, p_text(number(row.get(f"{stem}_p")))))), _key(found.value))


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


def _cycles(row: Row) -> Cell:
    """Latency × clock: what stays the same where only the clock changed."""
    return _number({"": number(row.get("latency_ms")) * number(row.get("sm_mhz"))}, "", 2, 1e3)


def _otherwise(row: Row) -> Cell:
    """What differs from the usual condition, beyond data set and network: ``lr factor 0.5, length factor 2``."""
    usual = asdict(Condition())
    names = [name for name in CONDITION_COLUMNS if name not in ("dataset", "backbone") and _known(row.get(name))]
    return _text(", ".join(f"{_words(name)} {plain(row[name])}" for name in names if row[name] != usual[name]))


def _bootstrap(row: Row) -> Cell:
    low, high = (number(row.get(f"joint_delta_boot_{end}_pct")) for end in ("low", "high"))
    return Cell(f"[{fixed(low)}, {fixed(high)}]" if math.isfinite(low + high) else "", _key(low))


def _measured(row: Row) -> Cell:
    """Of a control: in pp or %, as its row says."""
    found = Estimate(row["measured"], row["ci_low"], row["ci_high"])
    return Cell(found.text(row["unit"], signed=row["unit"] != "%"), _key(found.value))


_STATUS = Column("status", _status, numeric=False)
_CELLS: dict[str, Callable[[Row], Cell]] = {
    "strategy": _strategy,
    "fraction": lambda row: Cell(fraction_text(number(row["fraction"])), str(row["fraction"])),
    "cycles": _cycles,
    "otherwise": _otherwise,
    "bootstrap": _bootstrap,
    "measured": _measured,
}
