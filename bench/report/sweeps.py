"""Which axes of a panel a run swept, and the cases along each.

An axis counts as swept where panels differ in it and agree in everything else. Sweeps are often made one axis at a
time from a common centre, so the panels of all axes are chosen to pass through that centre where they can.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from bench.report.selection import nearest_fraction, panel_text, panels, timed
from bench.spec.panel import PANEL_AXES, Panel

TITLES = {
    "threads": "threads",
    "dtype": "number format",
    "memory_format": "memory format",
    "frames": "frames in a clip",
    "size": "picture size",
    "batch": "clips in a batch",
    "allocator": "memory allocator",
    "backbone": "network",
    "runtime": "runtime",
    "device": "device",
}
COUNTED = {axis.name for axis in PANEL_AXES.values() if axis.counts}
"""Axes with an order of their own; the values of the others keep the run's."""


@dataclass(frozen=True)
class Sweep:
    """One axis: a panel for each value, and their cases, with the ``place`` of their panel."""

    name: str
    panels: tuple[Panel, ...]
    cases: pd.DataFrame

    @property
    def values(self) -> list[str]:
        """In words."""
        return [panel.device if self.name == "device" else panel_text(panel, self.panels) for panel in self.panels]


def swept(latency: pd.DataFrame) -> list[Sweep]:
    """Every axis along which at least one mechanism was measured."""
    cases = dict(panels(timed(latency)))
    found = []
    for name in TITLES if cases else ():
        chosen = _chosen(name, list(cases))
        placed = pd.concat([cases[panel].assign(place=place) for place, panel in enumerate(chosen)])
        along = [_usual(own) for _, own in placed.groupby(["strategy", "placement", "direction"])]
        along = [own for own in along if len(own) > 1]
        if along:
            found.append(Sweep(name, tuple(chosen), pd.concat(along)))
    return found


def _chosen(name: str, measured: Sequence[Panel]) -> list[Panel]:
    """The panels that differ in this axis alone: those through the centre, or else the longest such row."""
    centre = max(measured, key=lambda panel: sum(len(_row(axis, panel, measured)) > 1 for axis in Panel.COLUMNS))
    row = _row(name, centre, measured)
    if len(row) == 1:
        row = max((_row(name, panel, measured) for panel in measured), key=len)
    return [row[value] for value in (sorted(row) if name in COUNTED else row)]


def _row(name: str, panel: Panel, measured: Sequence[Panel]) -> dict[Any, Panel]:
    """{value: the panel that differs from this one in the axis alone}, with this one."""
    # threads are those of a CPU: they say nothing about a change of the device
    left_out = {name, "threads"} if name == "device" else {name}
    same = {column: value for column, value in asdict(panel).items() if column not in left_out}
    alike = [other for other in measured if same.items() <= asdict(other).items()]
    return {getattr(other, name): other for other in alike} | {getattr(panel, name): panel}


def _usual(own: pd.DataFrame) -> pd.DataFrame:
    """One mechanism's cases with one fraction: of those measured at most values, the one nearest to the usual."""
    counts = own["fraction"].value_counts()
    return own[own["fraction"] == nearest_fraction(counts.index[counts == counts.max()])]
