"""Is the cost the movement of bytes? Measured against predicted overhead, and the copy bandwidth behind predictions."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.ticker import FuncFormatter, LogLocator

from bench.analysis.run import Analysis
from bench.report.figures import canvas
from bench.report.figures.canvas import Drawn, Mark
from bench.report.numbers import between, count_text, estimate, fraction_text
from bench.report.selection import mechanism_of, panel_text, panels, rows, timed
from bench.report.style import BAND, INK, MUTED, REMAINING, UNJOINED, Palette
from bench.spec.panel import Panel

WITHIN = 2.0  # a prediction from bytes and page faults is called good within this factor
_APART = 0.014  # of the axis: the width of a mark
_SEEN = 0.02  # of the axis: a second part that is smaller would lie under the mark
_HOLLOW: dict[str, Any] = {"marker": "o", "markersize": 3.5, "markerfacecolor": "white", "markeredgewidth": 0.9}
_LOG_FROM = 8.0  # speeds that differ by more than this factor (CPU and GPU) need a logarithmic scale


def data_movement(run: Analysis, palette: Palette) -> Drawn:
    """Predicted against measured overhead, all cases of the first panel that has predictions."""
    cases = timed(run.latency)
    shown = panels(cases[cases["predicted_overhead_pct"].notna()])
    if not shown:
        return None
    panel, frame = shown[0]
    frame = frame.assign(x=apart(list(frame["predicted_overhead_pct"])))
    end = 1.12 * max(frame["predicted_overhead_pct"].max(), 0.1)
    drawing, (ax,) = canvas.grid(1, 3.7, "", "measured overhead [%]")
    marks, faulting = [], []
    for row in rows(frame):
        x, measured = row["x"], estimate(row, "overhead")
        style = palette.look(*mechanism_of(row)) | UNJOINED
        marks.append(Mark(between(x), measured, fraction_text(row["fraction"]), style))
        faults = row.get("predicted_faults_pct", math.nan)
        if abs(faults) > _SEEN * end:  # a thin line leads to where the bytes alone would put the mark
            colour, height = style["color"], [measured.mean] * 2
            ax.plot([x - faults, x], height, color=colour, linewidth=0.8, markevery=[0], zorder=1.5, **_HOLLOW)
            faulting.append(((x - faults, measured.mean), (x, measured.mean)))
    canvas.draw_marks(ax, marks)
    low, high = ax.get_ylim()
    least = min(0.0, ax.dataLim.x0)  # below zero where a case saves bytes or page faults
    ax.plot([0, end], [0, end], color=MUTED, linewidth=1.0, zorder=1, label="measured = predicted")
    band: Any = {"color": BAND, "alpha": 0.55, "linewidth": 0, "zorder": 0.5}
    ax.fill_between([0, end], [0, end / WITHIN], [0, end * WITHIN], label=f"within a factor of {WITHIN:g}", **band)
    ax.set(xlim=(least - 0.03 * end, end), ylim=(min(low, -0.04 * end), max(high * 1.06, end * 0.6)))
    if faulting:
        ax.plot([], [], color=MUTED, linewidth=0.8, label="from the bytes alone", **_HOLLOW)
    parts = "bytes moved and page faults" if faulting else "bytes moved"
    ax.set_xlabel(f"predicted from {parts} [%]")
    crowded = canvas.label_marks(drawing, ax, marks, avoid=[*canvas.pieces([(0, 0), (end, end)]), *faulting])
    return drawing, {"parts": parts, "where": panel_text(panel), "more": crowded}


def apart(values: Sequence[float]) -> list[float]:
    """The values, those that would lie on each other moved a little to both sides of their mean."""
    gap = _APART * max(*values, 0.1)
    ordered = pd.Series(values).sort_values()
    groups = ordered.groupby((ordered.diff() >= gap / 2).cumsum())
    rank, size = groups.cumcount(), groups.transform("size")
    placed = (groups.transform("mean") + (rank - (size - 1) / 2) * gap).where(size > 1, ordered)
    return list(placed.sort_index())


def copy_bandwidth(run: Analysis, palette: Palette) -> Drawn:
    """One curve for each device and number of threads, with the quartiles over superblocks."""
    curves: dict[tuple[str, int], tuple[Panel, pd.DataFrame]] = {}
    for panel, group in panels(run.bandwidth):
        points = group[group["gb_per_s"] > 0]
        if len(points) > 1 and not panel.streams:  # old runs copied one size
            curves.setdefault((panel.device, panel.threads), (panel, points))  # nothing else changes a copy's speed
    colours = (INK, *REMAINING)
    shown = list(curves.values())[: len(colours)]
    if not shown:
        return None
    keys = [panel for panel, _ in shown]
    drawing, (ax,) = canvas.grid(1, 2.7, "size of the tensor [MiB]", "read and written [GB/s]")
    for (panel, points), colour in zip(shown, colours, strict=False):
        name = panel.device if panel.device != "cpu" else panel_text(panel, keys)
        style = {"color": colour, "marker": "o", "label": name if len(shown) > 1 else None}
        canvas.curve(ax, points, "mebibytes", "gb_per_s", "gb_per_s_low", "gb_per_s_high", **style)
    every = pd.concat([points for _, points in shown])
    if every["gb_per_s"].max() > _LOG_FROM * every["gb_per_s"].min():
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        ax.set_ylim(0, every["gb_per_s"].max() * 1.12)
    sizes = sorted(set(every["mebibytes"]))
    ax.set_xscale("log", base=2)
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
    ax.minorticks_off()
    return drawing, {"where": panel_text(keys[0]) if len(keys) == 1 else count_text(len(keys), "setting")}
