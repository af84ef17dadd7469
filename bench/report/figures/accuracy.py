"""The paper's Fig. 2b beside ours: what a shift buys in time and costs in space, against the share that moves.

Of the paper's figure only what our source gives is drawn: two values and one that follows from a stated difference.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.canvas import Figure, at_least, at_most, blank, finish
from bench.report.figures.latency import errorbars, line_handles, offsets
from bench.report.numbers import Estimate, fixed, number
from bench.report.selection import CHANCE_TEMPORAL, Row, Tables, arms, baselines, lines, main_condition, rows
from bench.report.style import BAND, INK, MUTED, Palette, fraction_axis, legend_below

PARTS = {"joint": "both right (joint)", "spatial": "what is seen (spatial)", "temporal": "in which order (temporal)"}
LEAST_RANGE = 10.0  # points of accuracy: a closer view would make noise look like a result
HIGHEST = 103.0  # per cent, with room for a mark at 100

PAPER_2D = 70.6  # per cent, Kinetics, TSN (TSM, arXiv 1811.08383, Table 1)
PAPER_QUARTER = 74.1  # residual, 1/4 (the same table)
PAPER_INPLACE_ALL = PAPER_2D - 2.6  # "2.6 points below the 2-D baseline" (section 3.2): derived

_APART = 0.018  # of the fraction axis: half a figure is narrow
_CHANCE: dict[str, Any] = {"color": MUTED, "linestyle": (0, (1, 1.5)), "linewidth": 1.3}


def accuracy_by_fraction(tables: Tables, palette: Palette) -> Figure | None:
    """The paper's plot, then joint accuracy here and the two parts that it is made of."""
    trained = arms(tables.accuracy)
    if trained.empty:
        return None
    baseline = baselines(main_condition(tables.accuracy))
    drawing = blank(7.2, 6.0)
    axes = drawing.subplot_mosaic([["paper", "joint"], ["spatial", "temporal"]])
    _draw_paper(axes["paper"], palette)
    for part in PARTS:
        _draw_part(axes[part], part, trained, baseline, palette)
    for part in ("spatial", "temporal"):
        axes[part].set_xlabel("channels moved (share of all)")
    handles: list[Line2D | Patch] = line_handles(lines(trained), palette)
    if not baseline.empty:
        handles.append(Line2D([], [], color=INK, linewidth=1.1, label="no shift (2-D)"))
        if any(_level(row, "joint").has_interval for row in rows(baseline)[:1]):
            handles.append(Patch(color=BAND, label="its 95 % interval"))
    chance = _chance(trained)
    if chance is not None:
        handles.append(Line2D([], [], **_CHANCE, label=f"chance, in time ({fixed(chance, 0)} %)"))
    legend_below(drawing, handles)
    return finish(drawing, "accuracy_by_fraction", "What the shift buys", _caption(tables, trained))


def _draw_paper(ax: Axes, palette: Palette) -> None:
    """Three values and no line between them: what lies between was not found."""
    ax.axhline(PAPER_2D, color=INK, linewidth=1.1)
    known = [
        ("residual", 1 / 4, PAPER_QUARTER, "residual 74.1"),
        ("inplace", 1.0, PAPER_INPLACE_ALL, "in-place 68.0 (derived)"),
    ]
    for placement, fraction, value, text in known:
        look = palette.look("copy_shift", placement, "bidirectional").points()
        ax.plot([fraction], [value], markersize=6, **look)
        ax.annotate(
            text,
            (fraction, value),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center" if fraction < 1 else "right",
            va="bottom",
            fontsize=8,
        )
    ax.text(0.0, PAPER_2D + 0.15, "TSN 70.6", fontsize=8, va="bottom")
    ax.text(0.03, 0.04, "other values: not found in our source", transform=ax.transAxes, fontsize=7.5, color=MUTED)
    ax.set_title("paper: Kinetics, ResNet-50")
    ax.set_ylabel("accuracy [%]")
    ax.set_ylim(66, 76)
    fraction_axis(ax, (1 / 8, 1 / 4, 1 / 2))


def _draw_part(ax: Axes, part: str, trained: pd.DataFrame, baseline: pd.DataFrame, palette: Palette) -> None:
    for row in rows(baseline)[:1]:
        level = _level(row, part)
        if level.has_interval:
            ax.axhspan(level.low, level.high, color=BAND, linewidth=0, zorder=0.5)
        ax.axhline(level.value, color=INK, linewidth=1.1)
    chance = _chance(trained)
    if part == "temporal" and chance is not None:
        ax.axhline(chance, **_CHANCE)
    drawn = lines(trained)
    for line, offset in zip(drawn, offsets(len(drawn), _APART), strict=True):
        errorbars(ax, line, part, f"{part}_mean_pct", palette, offset)
    ax.set_title(f"here: {PARTS[part]}")
    ax.set_ylabel("accuracy [%]")
    fraction_axis(ax, (float(f) for f in trained["fraction"]))
    ax.margins(y=0.08)
    at_least(ax, LEAST_RANGE)
    at_most(ax, HIGHEST)


def _level(row: Row, part: str) -> Estimate:
    return Estimate.of(row, part, f"{part}_mean_pct")


def _chance(trained: pd.DataFrame) -> float | None:
    return CHANCE_TEMPORAL.get(str(trained["dataset"].iloc[0]))


def seeds_text(trained: pd.DataFrame) -> str:
    """``10 seeds, 95 % intervals over seeds``, or that there are none."""
    seeds = sorted({int(number(row["seeds"])) for row in rows(trained)})
    runs = f"{seeds[0]} seed{'' if seeds[0] == 1 else 's'}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    return f"{runs}, {'no intervals: one seed' if seeds == [1] else '95 % intervals over seeds'}"


def _caption(tables: Tables, trained: pd.DataFrame) -> str:
    first = rows(trained)[0]
    others = len(set(zip(tables.accuracy["dataset"], tables.accuracy["backbone"], strict=True))) - 1
    more = f" {others} further data sets or networks are in the table." if others else ""
    return (
        "Top left, the paper's Fig. 2b as far as it is known to us: TSN 70.6 and residual 1/4 74.1 from its Table 1, "
        "in-place with all channels from the stated 2.6 points below TSN. The other three: accuracy on "
        f"{first['dataset']} with {first['backbone']}, {seeds_text(trained)}. Joint counts a clip only where both what "
        "is seen and the order of its frames are right; without a shift it cannot rise above chance in time. Residual "
        "placement keeps the present frame in the shortcut; in-place shifts the shortcut too, so what is moved is lost "
        f"to the present frame. Every plot has its own scale.{more}"
    )
