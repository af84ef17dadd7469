"""Real videos: top-1 by the fraction (beside the paper's Fig. 2b) for each question, and while training."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.analysis.run import Analysis
from bench.report.figures import canvas
from bench.report.figures.accuracy import HIGHEST, LEAST_RANGE, Column, draw_curves, draw_paper, seeds_text
from bench.report.figures.canvas import INK, MOST_PLOTS, MUTED, Drawn, Palette, fraction_axis, further, label
from bench.report.numbers import estimate, fixed
from bench.report.selection import MECHANISM, baselines, main_condition, rows, shifting, whole_arms

_COLUMNS = 3  # questions beside each other in the learning curves
_CONTROLS: dict[str, tuple[str, Any]] = {
    "shuffled": ("frames in random order", {"linestyle": (0, (4, 1.5, 1, 1.5)), "marker": "x"}),
    "one_frame": ("one frame", {"linestyle": (0, (2, 1.5)), "marker": "+"}),
}
_STRIP = 0.1  # of an axis, left free at its lower end for what is written there


def video_by_fraction(run: Analysis, palette: Palette) -> Drawn:
    """The paper's plot, then top-1 of each question."""
    whole = pd.DataFrame(whole_arms(run.video), columns=run.video.columns)
    arms = shifting(whole)
    if arms.empty:
        return None
    questions = list(dict.fromkeys(arms["question"]))
    shown = questions[: MOST_PLOTS - 1]
    drawing, axes = canvas.grid(1 + len(shown), 2.6, "fraction of the channels moved", "top-1 accuracy [%]")
    draw_paper(axes[0], palette)
    for ax, question in zip(axes[1:], shown, strict=True):
        _draw_question(ax, whole[whole["question"] == question], palette)
        ax.set_title(label(f"here: {question}"))
    return drawing, {"seeds": seeds_text(whole), "more": further(len(questions), len(shown), "further question")}


def _draw_question(ax: Axes, found: pd.DataFrame, palette: Palette) -> None:
    """The mechanisms, the network without a shift, and the levels of networks that are shown no order."""
    arms = shifting(found)
    canvas.mechanisms(ax, arms, "fraction", "top1", palette, 0.018)
    for row in rows(baselines(found))[:1]:
        ax.axhline(estimate(row, "top1").mean, color=INK, linewidth=1.1, label="no shift (2-D)")
        canvas.band(ax, estimate(row, "top1"), "no shift, 95 % interval")
    lowest, highest = found["top1_mean_pct"].min(), found["top1_mean_pct"].max()
    least = lowest - max(highest - lowest, LEAST_RANGE)  # a line farther below would flatten what is compared
    below = []
    for stem, (name, style) in _CONTROLS.items():
        levels = arms.groupby("fraction")[f"{stem}_mean_pct"].mean()
        if levels.min() >= least:
            ax.plot(levels.index, levels, color=MUTED, linewidth=1.0, markersize=4, label=name, **style)
        else:
            below.append(f"{name} {fixed(levels.mean(), 0)}")
    chance = float(arms["chance_pct"].iloc[0])
    if chance >= least:
        ax.axhline(chance, color=MUTED, linestyle=(0, (1, 1.5)), linewidth=1.3, label="chance")
    else:
        below.append(f"chance {fixed(chance, 0)}")
    fraction_axis(ax, arms["fraction"])
    ax.margins(y=0.08)
    canvas.at_least(ax, LEAST_RANGE, top=HIGHEST)
    if below:
        low, high = ax.get_ylim()
        ax.set_ylim(low - _STRIP * (high - low), high)
        ax.text(0.03, 0.03, f"below: {', '.join(below)} %", transform=ax.transAxes, fontsize=7.5, color=MUTED)


def video_curves(run: Analysis, palette: Palette) -> Drawn:
    """Top-1 on validation clips, epoch by epoch: does it still rise at the end?"""
    curves = main_condition(run.video_curves)
    questions = list(dict.fromkeys(shifting(curves)["question"]))
    shown = questions[:_COLUMNS]
    columns = [Column(label(question), curves[curves["question"] == question], "top1") for question in shown]
    drawn = draw_curves(columns, "epoch", "epoch", palette)
    if drawn is None:
        return None
    drawing, words = drawn
    more = f"{words['more']}{further(len(questions), len(shown), 'further question')}"
    return drawing, words | {"rise": fixed(_rise(curves)), "more": more}


def _rise(curves: pd.DataFrame) -> float:
    """How much the mean of an arm's last fifth of epochs lies above that of the fifth before, in pp, at most; questions
    may have epochs of their own."""
    rises = []
    for _, own in curves.groupby("question"):
        last = int(own["epoch"].max())
        fifth = max(1, last // 5)
        late, before = (
            own[own["epoch"].between(end - fifth + 1, end)].groupby([*MECHANISM, "fraction"])["top1_mean_pct"].mean()
            for end in (last, last - fifth)
        )
        rises.append((late - before).max())
    return float(np.max(rises))  # n/a where one question has too few epochs to say
