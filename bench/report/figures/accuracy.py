"""The paper's Fig. 2b: what a shift buys in time and costs in space, against the share of the channels that move."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.canvas import Figure, at_least, blank, finish
from bench.report.figures.latency import errorbars, line_handles, offsets
from bench.report.numbers import Estimate
from bench.report.selection import Row, Tables, arms, baselines, first_dataset, lines, rows
from bench.report.style import BAND, INK, MUTED, Palette, fraction_axis, legend_below

PARTS = {"joint": "both right (joint)", "spatial": "what is seen (spatial)", "temporal": "in which order (temporal)"}
CHANCE_TEMPORAL = 25.0  # per cent: four orders of the same frames, equally many of each
LEAST_RANGE = 10.0  # points of accuracy: a closer view would make noise look like a result
_APART = 0.026  # of the fraction axis: the two small plots are narrow


def accuracy_by_fraction(tables: Tables, palette: Palette) -> Figure | None:
    """Joint accuracy, and beside it the two parts that it is made of."""
    trained = arms(tables.accuracy)
    if trained.empty:
        return None
    baseline = baselines(first_dataset(tables.accuracy))
    drawing = blank(7.2, 4.4)
    axes = drawing.subplot_mosaic([["joint", "spatial"], ["joint", "temporal"]], width_ratios=[1.25, 1])
    for part, ax in axes.items():
        _draw_part(ax, part, trained, baseline, palette)
    axes["joint"].set_xlabel("channels moved (share of all)")
    axes["temporal"].set_xlabel("channels moved (share of all)")
    handles: list[Line2D | Patch] = line_handles(lines(trained), palette)
    if not baseline.empty:
        handles.append(Line2D([], [], color=INK, linewidth=1.1, label="no shift"))
        if any(_level(row, "joint").has_interval for row in rows(baseline)[:1]):
            handles.append(Patch(color=BAND, label="its 95 % interval"))
    handles.append(Line2D([], [], color=MUTED, linestyle=(0, (1, 1.5)), linewidth=1.3, label="chance, in time (25 %)"))
    legend_below(drawing, handles)
    return finish(drawing, "accuracy_by_fraction", "What the shift buys", _caption(tables, trained))


def _draw_part(ax: Axes, part: str, trained: pd.DataFrame, baseline: pd.DataFrame, palette: Palette) -> None:
    for row in rows(baseline)[:1]:
        level = _level(row, part)
        if level.has_interval:
            ax.axhspan(level.low, level.high, color=BAND, linewidth=0, zorder=0.5)
        ax.axhline(level.value, color=INK, linewidth=1.1)
    if part == "temporal":
        ax.axhline(CHANCE_TEMPORAL, color=MUTED, linestyle=(0, (1, 1.5)), linewidth=1.3)
    drawn = lines(trained)
    for line, offset in zip(drawn, offsets(len(drawn), _APART), strict=True):
        errorbars(ax, line, part, f"{part}_mean_pct", palette, offset)
    ax.set_title(PARTS[part])
    ax.set_ylabel("accuracy [%]")
    fraction_axis(ax, (float(f) for f in trained["fraction"]))
    ax.margins(y=0.08)
    at_least(ax, LEAST_RANGE)


def _level(row: Row, part: str) -> Estimate:
    return Estimate.of(row, part, f"{part}_mean_pct")


def _caption(tables: Tables, trained: pd.DataFrame) -> str:
    first = rows(trained)[0]
    seeds = sorted({int(row["seeds"]) for row in rows(trained)})
    runs = f"{seeds[0]} seed{'' if seeds[0] == 1 else 's'}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    interval = "no intervals: one seed" if seeds == [1] else "95 % intervals over seeds"
    others = len(set(zip(tables.accuracy["dataset"], tables.accuracy["backbone"], strict=True))) - 1
    more = f" {others} further data sets or networks are in the table." if others else ""
    return (
        f"Accuracy on {first['dataset']} with {first['backbone']}, {runs}, {interval}. Joint counts a clip only where "
        "both the digit and the order of its frames are right. Residual placement keeps the present frame in the "
        "shortcut; in-place shifts the shortcut too, so what is moved is lost to the present frame. The three plots "
        f"have their own scales.{more}"
    )
