"""Accuracy against the fraction (beside the paper's Fig. 2b), while training, and while a clip is still running."""

from itertools import cycle
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure as Drawing

from bench.analysis.run import Analysis
from bench.report import selection
from bench.report.figures import canvas
from bench.report.figures.canvas import MOST_PLOTS, WIDTH, Figure, estimate, further
from bench.report.numbers import channels_text, fixed
from bench.report.selection import rows
from bench.report.style import INK, MUTED, Palette, fraction_axis
from bench.spec.axes import BASELINE

PARTS = ("joint", "spatial", "temporal")
LEAST_RANGE = 10.0  # pp
HIGHEST = 103.0  # per cent, with room for a mark at 100

PAPER_2D = 70.6  # per cent, Kinetics, TSN (TSM, arXiv 1811.08383, Table 1)
PAPER_QUARTER = 74.1  # residual, 1/4 (the same table)
PAPER_INPLACE_ALL = PAPER_2D - 2.6  # derived: "2.6 points below the 2-D baseline" (section 3.2)

_MARKERS = ("o", "s", "^", "D", "v", "P")
_BRIGHTEST = 0.78  # of viridis: its yellow end cannot be read on white


def seeds_text(frame: pd.DataFrame) -> str:
    """``10 seeds, 95 % intervals over seeds``, or that there are no intervals."""
    fewest, most = int(frame["seeds"].min()), int(frame["seeds"].max())
    count = f"{fewest} seed{'' if fewest == 1 else 's'}" if fewest == most else f"{fewest} to {most} seeds"
    return f"{count}, {'no intervals: one seed' if most == 1 else '95 % intervals over seeds'}"


def accuracy_by_fraction(run: Analysis, palette: Palette) -> Figure | None:
    """The paper's plot, then joint accuracy here and the two parts that it is made of."""
    trained = selection.arms(run.accuracy)
    if trained.empty:
        return None
    drawing, axes = canvas.grid(4, 2.6, "fraction of the channels moved", "accuracy [%]")
    _draw_paper(axes[0], palette)
    for ax, part in zip(axes[1:], PARTS, strict=True):
        # half a figure is narrow: lines stand farther apart than in the latency figure
        canvas.mechanisms(ax, trained, "fraction", part, palette, step=0.018)
        for row in rows(selection.baselines(selection.main_condition(run.accuracy)))[:1]:
            ax.axhline(estimate(row, part).value, color=INK, linewidth=1.1, label="no shift (2-D)")
            canvas.band(ax, estimate(row, part), "no shift, 95 % interval")
        ax.set_title(f"here: {part}")
        fraction_axis(ax, trained["fraction"])
        _accuracy_axis(ax, part, trained)
    others = len(set(zip(run.accuracy["dataset"], run.accuracy["backbone"], strict=True))) - 1
    first = trained.iloc[0]
    caption = (
        f"Top left: what is known of the paper's Fig. 2b. Others: accuracy on {first['dataset']} with "
        f"{first['backbone']} ({seeds_text(trained)}); joint: both the spatial and the temporal label are right."
        + further(others, 0, "further data set or network", "further data sets or networks")
    )
    return canvas.finish(drawing, "accuracy_by_fraction", "Accuracy by fraction", caption)


def _draw_paper(ax: Axes, palette: Palette) -> None:
    """Three values and no line between them: what lies between is not known."""
    ax.axhline(PAPER_2D, color=INK, linewidth=1.1)
    ax.text(0.0, PAPER_2D + 0.15, f"TSN {PAPER_2D}", fontsize=8, va="bottom")
    for placement, fraction, value, text, side in (
        ("residual", 1 / 4, PAPER_QUARTER, "residual 74.1", "center"),
        ("inplace", 1.0, PAPER_INPLACE_ALL, "in-place 68.0 (derived)", "right"),
    ):
        ax.plot(fraction, value, **palette.look("copy_shift", placement, "bidirectional").points() | {"label": None})
        ax.annotate(text, (fraction, value), (0, 7), textcoords="offset points", ha=side, va="bottom", fontsize=8)
    ax.text(0.03, 0.04, "other values: not found in our source", transform=ax.transAxes, fontsize=7.5, color=MUTED)
    ax.set_title("paper: Kinetics, ResNet-50")
    ax.set_ylim(66, 76)
    fraction_axis(ax, (1 / 8, 1 / 4, 1 / 2))


def _accuracy_axis(ax: Axes, part: str, frame: pd.DataFrame) -> None:
    """With a line for the temporal accuracy of guessing, where that is known."""
    chance = selection.CHANCE_TEMPORAL.get(str(frame["dataset"].iloc[0]))
    if part == "temporal" and chance is not None:
        name = f"chance, temporal ({fixed(chance, 0)} %)"
        ax.axhline(chance, color=MUTED, linestyle=(0, (1, 1.5)), linewidth=1.3, label=name)
    ax.margins(y=0.08)
    canvas.at_least(ax, LEAST_RANGE, top=HIGHEST)


def learning_curves(run: Analysis, palette: Palette) -> Figure | None:
    """Accuracy on validation clips, epoch by epoch."""
    curves = selection.main_curves(run.curves)
    if curves.empty or (curves["strategy"] == BASELINE).all():
        return None
    drawing, more = _draw_curves(curves, "clips_seen", "training clips", palette)
    caption = (
        f"Accuracy on validation clips after each epoch ({seeds_text(curves)}, as bands). Validation clips share no "
        f"image with training or test; no epoch is chosen by these curves.{more}"
    )
    return canvas.finish(drawing, "learning_curves", "Learning curves", caption)


def early_recognition(run: Analysis, palette: Palette) -> Figure | None:
    """Accuracy of the arms that look at the past alone, against the share of the clip that has been seen."""
    early = selection.main_curves(run.early)
    if early.empty or (early["strategy"] == BASELINE).all():
        return None
    drawing, more = _draw_curves(early, "seen_pct", "share of the clip seen [%]", palette)
    caption = (
        "Accuracy of a running stream after each frame of a test clip, from the mean of the logits so far "
        f"({seeds_text(early)}, as bands). Only networks that look at the past alone are shown.{more}"
    )
    return canvas.finish(drawing, "early_recognition", "Early recognition", caption)


def _draw_curves(curves: pd.DataFrame, x: str, xlabel: str, palette: Palette) -> tuple[Drawing, str]:
    """A row of plots for each mechanism, a colour for each fraction; and what the caption adds."""
    base, shifting = curves[curves["strategy"] == BASELINE], curves[curves["strategy"] != BASELINE]
    found = canvas.by_mechanism(shifting)
    found.sort(key=lambda one: (one[0][0], one[0][2], one[0][1] != "residual"))  # residual before in-place
    shown = found[:MOST_PLOTS]
    shares = sorted(set(shifting["fraction"]))
    viridis = matplotlib.colormaps["viridis"](np.linspace(0, _BRIGHTEST, max(len(shares), 2)))
    looks = list(zip(shares, map(to_hex, viridis), cycle(_MARKERS), strict=False))
    drawing = canvas.blank(WIDTH, 2.0 * len(shown) + 1.0)
    axes = drawing.subplots(len(shown), len(PARTS), squeeze=False, sharex=True, sharey="col")
    for line, (key, own) in zip(axes, shown, strict=True):
        for ax, part in zip(line, PARTS, strict=True):
            ends = [f"{part}_{end}_pct" for end in ("mean", "ci_low", "ci_high")]
            for share, colour, marker in looks:
                style: Any = {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1.4}
                canvas.curve(ax, own[own["fraction"] == share], x, *ends, label=channels_text(share), **style)
            canvas.curve(ax, base, x, *ends, color=INK, linewidth=0.9, label="no shift")
            _accuracy_axis(ax, part, curves)
        line[0].set_ylabel(palette.look(*key).name.replace(", ", ",\n") + "\naccuracy [%]")
    for top, bottom, part in zip(axes[0], axes[-1], PARTS, strict=True):
        top.set_title(part)
        bottom.set_xlabel(xlabel)
    return drawing, further(len(found), len(shown), "further mechanism")
