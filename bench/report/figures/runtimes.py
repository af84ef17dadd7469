"""Overhead by runtime: one row of marks for each runtime, one colour for each mechanism, on an axis that is linear
round zero and logarithmic beyond, because the same shift costs 1 % here and 400 % there.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.report.figures.canvas import Figure, blank, finish
from bench.report.numbers import Estimate, channels_text, milliseconds_text, number
from bench.report.selection import (
    USUAL_FRACTION,
    Row,
    Tables,
    baselines,
    in_panel,
    line_text,
    nearest_fraction,
    panels,
    rows,
    runtime_name,
    runtime_panels,
    timed,
)
from bench.report.style import INK, MUTED, Palette, label, legend_below, line_handle
from bench.spec.cases import Panel

_LINEAR_TO = 5.0  # per cent: noise and the paper's 3 % lie within
_TICKS = (-5, 0, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_BOUND = 3.0  # the paper's figure for 1/8 of the channels
_SPREAD = 0.7  # of the distance between two runtimes: all mechanisms together


def overhead_by_runtime(tables: Tables, palette: Palette) -> Figure | None:
    """None where the run has one runtime only."""
    chosen = runtime_panels(tables)
    if not chosen:
        return None
    measured = {panel: _told(in_panel(timed(tables.latency), panel)) for panel in chosen}
    keys = sorted({_key(row) for own in measured.values() for row in own})
    if not keys:
        return None
    drawing = blank(7.2, 1.4 + len(chosen) * (0.35 + 0.1 * len(keys)))
    ax = drawing.subplots()
    for place, own in enumerate(measured.values()):
        _draw(ax, own, place, keys, palette)
    _dress(ax, tables, chosen)
    looks = [(palette.look(*key), line_text(label(key[0]), *key[1:])) for key in keys]
    handles: list[Line2D] = [line_handle(look, text, line=False) for look, text in looks]
    handles.append(Line2D([], [], color=MUTED, linestyle=":", label="the paper's 3 % for 1/8 of the channels"))
    legend_below(drawing, handles)
    fraction = float(next(row for own in measured.values() for row in own)["fraction"])
    caption = (
        f"Extra latency of a shift of {channels_text(fraction)} against the network without a shift in the same "
        "runtime, with 95 % intervals; below each runtime what that network takes there. The axis is linear up to "
        f"{_LINEAR_TO:g} % and logarithmic beyond. Mechanisms that compute the same function differ "
        "only in how the shift is written."
    )
    return finish(drawing, "overhead_by_runtime", "What the shift costs where networks run", caption)


def _told(frame: pd.DataFrame) -> list[Row]:
    """The cases with the fraction nearest to the usual one."""
    own = rows(frame)
    if not own:
        return []
    fraction = nearest_fraction((float(row["fraction"]) for row in own), USUAL_FRACTION)
    return [row for row in own if float(row["fraction"]) == fraction]


def _key(row: Row) -> tuple[str, str, str]:
    return str(row["strategy"]), str(row["placement"]), str(row["direction"])


def _draw(ax: Axes, own: list[Row], place: int, keys: list[tuple[str, str, str]], palette: Palette) -> None:
    """One runtime; each mechanism keeps its height within the row."""
    step = _SPREAD / len(keys)
    for row in own:
        known = Estimate.of(row, "overhead")
        reach = (
            [max(known.value - known.low, 0.0), max(known.high - known.value, 0.0)] if known.has_interval else [0, 0]
        )
        height = place + (keys.index(_key(row)) - (len(keys) - 1) / 2) * step
        ax.errorbar(
            [known.value],
            [height],
            xerr=np.array([reach]).T,
            capsize=2.5,
            elinewidth=1.1,
            **palette.look(*_key(row)).points(),
        )


def _dress(ax: Axes, tables: Tables, chosen: list[Panel]) -> None:
    """Scale, ticks and the names of the runtimes, the first one on top."""
    times = {panel: number(group["latency_ms"].iloc[0]) for panel, group in panels(baselines(tables.latency))}
    names = [f"{runtime_name(p, chosen)}\n{milliseconds_text(times.get(p, float('nan')))}" for p in chosen]
    ax.set_xscale("symlog", linthresh=_LINEAR_TO, linscale=0.7)
    low, high = min(ax.get_xlim()[0], -1.0), max(1.1 * ax.get_xlim()[1], 2 * _LINEAR_TO)
    ax.set_xlim(low, high)
    ax.set_xticks([tick for tick in _TICKS if low <= tick <= high])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.axvline(_BOUND, color=MUTED, linewidth=1.0, linestyle=":")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    for edge in range(1, len(names)):
        ax.axhline(edge - 0.5, color=MUTED, linewidth=0.5)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("latency overhead [%]")
