"""How the arms learn: accuracy on validation clips against the clips seen so far. A row for each mechanism.

Within a row the arms differ in one number, the share of the channels that move; so colour and marker say that here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.accuracy import HIGHEST, seeds_text
from bench.report.figures.canvas import Figure, at_least, at_most, blank, finish
from bench.report.numbers import channels_text, count_text, number
from bench.report.selection import CHANCE_TEMPORAL, Row, Tables, line_text, main_curves, rows
from bench.report.style import INK, MUTED, Palette, label, legend_below
from bench.spec.axes import BASELINE

PARTS = {"joint": "both right", "spatial": "what is seen", "temporal": "in which order"}
MOST_ROWS = 4  # mechanisms; more small plots cannot be read
LEAST_RANGE = 10.0  # points
_KEY = ["strategy", "placement", "direction"]
_THOUSAND = 1e3
_BRIGHTEST = 0.78  # of viridis: its yellow end cannot be read on white
_MARKERS = ("o", "s", "^", "D", "v", "P")


@dataclass(frozen=True)
class _Mechanism:
    """What has a row of plots: one arm for each fraction, each by epoch."""

    name: str
    arms: tuple[tuple[float, tuple[Row, ...]], ...]


def learning_curves(tables: Tables, palette: Palette) -> Figure | None:
    """Joint, spatial and temporal accuracy of every arm of the main condition, epoch by epoch."""
    curves = main_curves(tables.curves)
    shifting = curves if curves.empty else curves[curves["strategy"] != BASELINE]
    if shifting.empty:
        return None
    found = _mechanisms(shifting)
    shown = found[:MOST_ROWS]
    base = rows(curves[curves["strategy"] == BASELINE].sort_values("epoch"))
    shares = sorted({share for one in shown for share, _ in one.arms})
    drawing = blank(7.2, 2.0 * len(shown) + 0.9)
    axes = drawing.subplots(len(shown), len(PARTS), squeeze=False, sharex=True, sharey="col")
    for line, mechanism in zip(axes, shown, strict=True):
        for ax, part in zip(line, PARTS, strict=True):
            _draw(ax, mechanism, base, part, shares)
            if part == "temporal":
                _chance(ax, curves)
        line[0].set_ylabel(f"{mechanism.name}\naccuracy [%]")
    for ax, part in zip(axes[0], PARTS, strict=True):
        ax.set_title(PARTS[part])
    for ax in axes[-1]:
        ax.set_xlabel("thousand clips seen")
    for ax in axes.flat:
        at_least(ax, LEAST_RANGE)
        at_most(ax, HIGHEST)
    legend_below(drawing, _handles(shares, base, curves))
    return finish(drawing, "learning_curves", "How the arms learn", _caption(shifting, len(found) - len(shown)))


def _mechanisms(shifting: pd.DataFrame) -> list[_Mechanism]:
    """Residual before in-place, bidirectional before causal, as published."""
    groups = [(cast(tuple[str, str, str], key), own) for key, own in shifting.groupby(_KEY, sort=False)]
    groups.sort(key=lambda group: (group[0][0], group[0][2] != "bidirectional", group[0][1] != "residual"))
    several = shifting["strategy"].nunique() > 1
    found = []
    for (strategy, placement, direction), own in groups:
        name = line_text(label(strategy), placement, direction)
        arms = tuple((number(share), tuple(rows(arm.sort_values("epoch")))) for share, arm in own.groupby("fraction"))
        found.append(_Mechanism((name if several else name.partition(", ")[2]).replace(", ", ",\n"), arms))
    return found


def _draw(ax: Axes, mechanism: _Mechanism, base: Sequence[Row], part: str, shares: Sequence[float]) -> None:
    if base:
        _course(ax, base, part, INK, "", 0.9)
    for share, arm in mechanism.arms:
        colour, marker = _look(share, shares)
        _course(ax, arm, part, colour, marker, 1.4)


def _course(ax: Axes, epochs: Sequence[Row], part: str, colour: str, marker: str, width: float) -> None:
    """A line through the epochs, and its interval as a band."""
    seen = [number(row["clips_seen"]) / _THOUSAND for row in epochs]
    mean, low, high = ([number(row[f"{part}_{end}_pct"]) for row in epochs] for end in ("mean", "ci_low", "ci_high"))
    ax.fill_between(seen, low, high, color=colour, alpha=0.16, linewidth=0, zorder=1.5)
    ax.plot(seen, mean, color=colour, marker=marker, markersize=3.5, linewidth=width)


def _look(share: float, shares: Sequence[float]) -> tuple[str, str]:
    place = shares.index(share)
    colour = matplotlib.colormaps["viridis"](_BRIGHTEST * place / max(len(shares) - 1, 1))
    return to_hex(colour), _MARKERS[place % len(_MARKERS)]


def _chance(ax: Axes, curves: pd.DataFrame) -> None:
    chance = CHANCE_TEMPORAL.get(str(curves["dataset"].iloc[0]))
    if chance is not None:
        ax.axhline(chance, color=MUTED, linestyle=(0, (1, 1.5)), linewidth=1.3)


def _handles(shares: Sequence[float], base: Sequence[Row], curves: pd.DataFrame) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = []
    for share in shares:
        colour, marker = _look(share, shares)
        handles.append(Line2D([], [], color=colour, marker=marker, markersize=4, label=channels_text(share)))
    if base:
        handles.append(Line2D([], [], color=INK, linewidth=0.9, label="no shift"))
    if str(curves["dataset"].iloc[0]) in CHANCE_TEMPORAL:
        handles.append(Line2D([], [], color=MUTED, linestyle=(0, (1, 1.5)), linewidth=1.3, label="chance, in time"))
    return handles


def _caption(shifting: pd.DataFrame, left_out: int) -> str:
    more = f" {count_text(left_out, 'further mechanism')} in tables/curves.csv." if left_out else ""
    return (
        "Accuracy on validation clips, which share no image with training or test, after each epoch of fine-tuning "
        f"({seeds_text(shifting)}, as bands). A curve that still climbs at its end belongs to an arm that could use "
        "longer training. No epoch is chosen by these curves: the test is made once, after the last one. "
        f"Plots of one column share their scale.{more}"
    )
