"""Accuracy by the fraction (beside the paper's Fig. 2b), while training, and while a clip is still running."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from bench.analysis.run import Analysis
from bench.report.figures import canvas
from bench.report.figures.canvas import INK, MOST_PLOTS, MUTED, UNJOINED, Drawn, Palette, fraction_axis, further
from bench.report.numbers import channels_text, estimate, fixed, span_text
from bench.report.selection import CHANCE_TEMPORAL, MECHANISM, arms, baselines, main_condition, rows, shifting
from bench.stats.estimators import FEWEST_SEEDS

PARTS = ("joint", "spatial", "temporal")
LEAST_RANGE = 10.0  # pp
HIGHEST = 103.0  # per cent, with room for a mark at 100

PAPER_2D = 70.6  # per cent, Kinetics, TSN (TSM, arXiv 1811.08383, Table 1)
PAPER_QUARTER = 74.1  # residual, 1/4 (the same table)
PAPER_INPLACE_ALL = PAPER_2D - 2.6  # derived: "2.6 points below the 2-D baseline" (section 3.2)

_MARKERS = ("o", "s", "^", "D", "v", "P")
_MOST_MARKS = 10  # about, on one curve
_BRIGHTEST = 0.78  # of viridis: its yellow end cannot be read on white


def seeds_text(frame: pd.DataFrame) -> str:
    """``10 seeds, 95 % intervals over seeds``, or that there are no intervals."""
    seeds = f"{span_text(list(frame['seeds']))} {'seed' if frame['seeds'].max() == 1 else 'seeds'}"
    return f"{seeds}: no interval" if frame["seeds"].max() < FEWEST_SEEDS else f"{seeds}, 95 % intervals over seeds"


def accuracy_by_fraction(run: Analysis, palette: Palette) -> Drawn:
    """The paper's plot, then joint accuracy here and the two parts that it is made of."""
    trained = arms(run.accuracy)
    if trained.empty:
        return None
    drawing, axes = canvas.grid(4, 2.6, "fraction of the channels moved", "accuracy [%]")
    draw_paper(axes[0], palette)
    for ax, part in zip(axes[1:], PARTS, strict=True):
        # half a figure is narrow: lines stand farther apart than in the latency figure
        canvas.mechanisms(ax, trained, "fraction", part, palette, 0.018)
        for row in rows(baselines(main_condition(run.accuracy)))[:1]:
            ax.axhline(estimate(row, part).mean, color=INK, linewidth=1.1, label="no shift (2-D)")
            canvas.band(ax, estimate(row, part), "no shift, 95 % interval")
        ax.set_title(f"here: {part}")
        fraction_axis(ax, trained["fraction"])
        _accuracy_axis(ax, _chance(part, trained))
    others = run.accuracy.groupby(["dataset", "backbone"]).ngroups - 1
    more = further(others, 0, "further data set or network", "further data sets or networks")
    return drawing, {**trained.iloc[0], "seeds": seeds_text(trained), "more": more}


def draw_paper(ax: Axes, palette: Palette) -> None:
    """Three values and no line between them: what lies between is not known."""
    ax.axhline(PAPER_2D, color=INK, linewidth=1.1)
    ax.text(0.0, PAPER_2D + 0.15, f"TSN {PAPER_2D}", fontsize=8, va="bottom")
    for placement, fraction, value, text, side in (
        ("residual", 1 / 4, PAPER_QUARTER, "residual 74.1", "center"),
        ("inplace", 1.0, PAPER_INPLACE_ALL, "in-place 68.0 (derived)", "right"),
    ):
        style = palette.look("copy_shift", placement, "bidirectional") | UNJOINED | {"label": None, "gid": None}
        ax.plot(fraction, value, **style)
        ax.annotate(text, (fraction, value), (0, 7), textcoords="offset points", ha=side, va="bottom", fontsize=8)
    ax.text(0.03, 0.04, "other values: not found in our source", transform=ax.transAxes, fontsize=7.5, color=MUTED)
    ax.set_title("paper: Kinetics, ResNet-50")
    ax.set_ylim(66, 76)
    fraction_axis(ax, (1 / 8, 1 / 4, 1 / 2))


def _chance(part: str, frame: pd.DataFrame) -> float | None:
    """Temporal accuracy of guessing, where that is known."""
    return CHANCE_TEMPORAL.get(str(frame["dataset"].iloc[0])) if part == "temporal" and len(frame) else None


def _accuracy_axis(ax: Axes, chance: float | None) -> None:
    if chance is not None:
        name = f"chance, temporal ({fixed(chance, 0)} %)"
        ax.axhline(chance, color=MUTED, linestyle=(0, (1, 1.5)), linewidth=1.3, label=name)
    ax.margins(y=0.08)
    canvas.at_least(ax, LEAST_RANGE, top=HIGHEST)


def learning_curves(run: Analysis, palette: Palette) -> Drawn:
    """Accuracy on validation clips, epoch by epoch."""
    return draw_curves(_parts(run.curves), "clips_seen", "training clips", palette)


def early_recognition(run: Analysis, palette: Palette) -> Drawn:
    """Accuracy of the arms that look at the past alone, against the share of the clip that has been seen."""
    return draw_curves(_parts(run.early), "seen_pct", "share of the clip seen [%]", palette)


@dataclass(frozen=True)
class Column:
    """A column of plots: rows of a table, and the stem of the accuracy that is drawn. chance: a line, where known."""

    title: str
    frame: pd.DataFrame
    stem: str
    chance: float | None = None


def _parts(every: pd.DataFrame) -> list[Column]:
    main = main_condition(every)
    return [Column(part, main, part, _chance(part, main)) for part in PARTS]


def draw_curves(columns: Sequence[Column], x: str, xlabel: str, palette: Palette) -> Drawn:
    """A row of plots for each mechanism, a colour for each fraction."""
    frames = [column.frame for column in columns if not shifting(column.frame).empty]
    if not frames:
        return None
    every = pd.concat(frames)
    curves = shifting(every)
    found = [key for key, _ in canvas.by_mechanism(curves)]
    found.sort(key=lambda key: (key[0], key[2], key[1] != "residual"))  # residual before in-place
    shown = found[:MOST_PLOTS]
    shares = sorted(set(curves["fraction"]))
    viridis = matplotlib.colormaps["viridis"](np.linspace(0, _BRIGHTEST, max(len(shares), 2)))
    looks = list(zip(shares, map(to_hex, viridis), cycle(_MARKERS), strict=False))
    spaced = max(1, curves[x].nunique() // _MOST_MARKS)
    drawing = canvas.blank(canvas.WIDTH, 2.0 * len(shown) + 1.0)
    axes = drawing.subplots(len(shown), len(columns), squeeze=False, sharex=True, sharey="col")
    for line, key in zip(axes, shown, strict=True):
        for ax, column in zip(line, columns, strict=True):
            ax.set_gid(canvas.part_id(key[0]))
            ends = [f"{column.stem}_{end}_pct" for end in ("mean", "ci_low", "ci_high")]
            own = column.frame[(column.frame[MECHANISM] == list(key)).all(axis=1)]
            for share, colour, marker in looks:
                style: Any = {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1.4}
                style["markevery"] = spaced
                canvas.curve(ax, own[own["fraction"] == share], x, *ends, label=channels_text(share), **style)
            canvas.curve(ax, baselines(column.frame), x, *ends, color=INK, linewidth=0.9, label="no shift")
            _accuracy_axis(ax, column.chance)
        line[0].set_ylabel(palette.look(*key)["label"].replace(", ", ",\n") + "\naccuracy [%]")
    for top, bottom, column in zip(axes[0], axes[-1], columns, strict=True):
        top.set_title(column.title)
        bottom.set_xlabel(xlabel)
    return drawing, {
        "seeds": seeds_text(pd.concat([baselines(every), curves])),
        "more": further(len(found), len(shown), "further mechanism"),
    }
