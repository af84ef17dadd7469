"""Which axes of the setting a run swept, and each mechanism along them. Selection only; nothing is drawn or told here.

An axis counts as swept where panels differ in it and agree in everything else. Sweeps are often made one axis at a
time from a common centre, so the panels of all axes are chosen to pass through that centre where they can.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from bench.report.numbers import number
from bench.report.selection import (
    PANEL_COLUMNS,
    USUAL_FRACTION,
    Row,
    Tables,
    baselines,
    nearest_fraction,
    panel_text,
    panels,
    rows,
    timed,
)
from bench.spec.panel import Panel

TITLES = {
    "threads": "threads",
    "dtype": "number format",
    "memory_format": "memory format",
    "frames": "frames in a clip",
    "size": "picture size",
    "batch": "clips in a batch",
    "backbone": "network",
    "runtime": "runtime",
    "device": "device",
}
COUNTED = ("threads", "frames", "size", "batch")  # axes with an order of their own; the others keep the run's


@dataclass(frozen=True)
class Stop:
    """One value of an axis: the panel that stands for it, and what its baseline takes. text: ``bf16``."""

    panel: Panel
    text: str
    baseline_ms: float


@dataclass(frozen=True)
class Along:
    """One mechanism with one fraction along an axis; None where it was not measured."""

    strategy: str
    placement: str
    direction: str
    fraction: float
    cases: tuple[Row | None, ...]


@dataclass(frozen=True)
class Axis:
    """A swept axis. name: a column; stops: its values; lines: the mechanisms measured at two of them or more."""

    name: str
    stops: tuple[Stop, ...]
    lines: tuple[Along, ...]

    @property
    def title(self) -> str:
        """The axis in words."""
        return TITLES[self.name]


def swept(tables: Tables) -> list[Axis]:
    """Every axis that was swept with at least one mechanism."""
    cases = {panel: rows(group) for panel, group in panels(timed(tables.latency))}
    times = {panel: number(group["latency_ms"].iloc[0]) for panel, group in panels(baselines(tables.latency))}
    found = []
    for name in TITLES:
        chosen = _chosen(name, list(cases))
        along = tuple(_lines([cases[panel] for panel in chosen]))
        if along:
            texts = [panel.device if name == "device" else panel_text(panel, chosen) for panel in chosen]
            stops = [Stop(panel, text, times.get(panel, math.nan)) for panel, text in zip(chosen, texts, strict=True)]
            found.append(Axis(name, tuple(stops), along))
    return found


def _chosen(name: str, measured: Sequence[Panel]) -> list[Panel]:
    """The panels that differ in this axis alone: those through the centre, or else the longest such row."""
    groups = {
        key: group
        for key, group in _groups(name, measured).items()
        if len({getattr(panel, name) for panel in group}) > 1
    }
    if not groups:
        return []
    centre = _centre(measured)
    best = groups.get(_others(name, centre)) or max(groups.values(), key=len)
    by_value = {getattr(panel, name): panel for panel in best}
    if centre in best:
        by_value[getattr(centre, name)] = centre
    best = list(by_value.values())
    return sorted(best, key=lambda panel: getattr(panel, name)) if name in COUNTED else best


def _groups(name: str, measured: Sequence[Panel]) -> dict[tuple[object, ...], list[Panel]]:
    groups: dict[tuple[object, ...], list[Panel]] = {}
    for panel in measured:
        groups.setdefault(_others(name, panel), []).append(panel)
    return groups


def _others(name: str, panel: Panel) -> tuple[object, ...]:
    """Everything but this axis. Threads are those of a CPU: they say nothing about a change of the device."""
    left_out = {name, "threads"} if name == "device" else {name}
    return tuple(value for column, value in asdict(panel).items() if column not in left_out)


def _centre(measured: Sequence[Panel]) -> Panel:
    """The panel that lies on the most sweeps; of several, the first."""

    def sweeps(panel: Panel) -> int:
        others = [other for other in measured if other != panel]
        return sum(_others(name, panel) in {_others(name, other) for other in others} for name in PANEL_COLUMNS)

    return max(measured, key=sweeps)


def _lines(stops: Sequence[Sequence[Row]]) -> Iterator[Along]:
    """Each mechanism with one fraction: of those measured at most values, the one nearest to the usual."""
    by_key: dict[tuple[str, str, str], list[dict[float, Row]]] = {}
    for place, cases in enumerate(stops):
        for case in cases:
            key = (str(case["strategy"]), str(case["placement"]), str(case["direction"]))
            by_key.setdefault(key, [{} for _ in stops])[place][float(case["fraction"])] = case
    for key, measured in sorted(by_key.items()):
        counts = Counter(fraction for cases in measured for fraction in cases)
        most = max(counts.values())
        fraction = nearest_fraction((f for f, count in counts.items() if count == most), USUAL_FRACTION)
        if most > 1:
            yield Along(*key, fraction, tuple(cases.get(fraction) for cases in measured))
