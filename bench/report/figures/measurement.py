"""How far the numbers can be trusted: the A/A control, and the interval that each case reached."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from bench.analysis.run import Analysis
from bench.report.figures import canvas
from bench.report.figures.canvas import INK, MUTED, UNJOINED, WIDTH, Drawn, Palette, label
from bench.report.numbers import estimate, fraction_text
from bench.report.selection import mechanism_of, panels, references, rows, target_half_width, timed

MOST_CASES = 30  # more rows would be smaller than their labels
_SPREAD = 0.22  # of the distance between two replicates
_ALARM = "#b3261e"  # what a rule calls disturbed; no strategy has this colour
_LOOKS: dict[str, dict[str, Any]] = {
    "superblock": {"color": MUTED, "marker": "o", "markersize": 2.8, "alpha": 0.6, "markeredgewidth": 0},
    "disturbed superblock": {"color": _ALARM, "marker": "o", "markersize": 3.8, "markerfacecolor": "white"},
    "excluded superblock": {"color": _ALARM, "marker": "x", "markersize": 4.5, "markeredgewidth": 1.2},
}


def measurement_noise(run: Analysis, palette: Palette) -> Drawn:
    """Left: the twin's differences, superblock by superblock. Right: half-widths reached against the target."""
    samples, widths = _first_control(run.superblocks), _widths(run.latency)
    parts = [not samples.empty, not widths.empty]
    if not any(parts):
        return None
    drawing = canvas.blank(WIDTH, min(max(3.4, 1.6 + 0.21 * len(widths)), 8.5))
    axes = drawing.subplots(1, sum(parts), squeeze=False)[0]
    if not samples.empty:
        _draw_twin(axes[0], samples, run.latency)
    if not widths.empty:
        _draw_widths(axes[-1], widths, target_half_width(run), palette)
    return drawing, {"more": f" Only the {MOST_CASES} widest are shown." if len(widths) == MOST_CASES else ""}


def _first_control(superblocks: pd.DataFrame) -> pd.DataFrame:
    """The twin's differences in the first panel: machines and devices scatter differently, so never all together."""
    aa = superblocks[superblocks["aa"].astype(bool) & superblocks["overhead_pct"].notna()]
    return aa[aa["label"].isin(aa["label"].head(1))]


def _draw_twin(ax: Axes, samples: pd.DataFrame, latency: pd.DataFrame) -> None:
    for panel, twin in references(latency, aa=True).items():
        if samples["label"].iloc[0].startswith(f"{panel.label}/"):
            ax.set_gid(canvas.part_id("", panel))
            canvas.band(ax, estimate(twin, "overhead"), "95 % interval")
    canvas.zero(ax)
    replicates = list(samples.groupby("replicate"))
    for place, (_, own) in enumerate(replicates):
        x = place + (np.linspace(-_SPREAD, _SPREAD, len(own)) if len(own) > 1 else np.zeros(1))
        excluded, disturbed = own["excluded"].astype(bool), own["disturbed"].astype(bool)
        judged = np.select([excluded, disturbed], ["excluded superblock", "disturbed superblock"], "superblock")
        for name, look in _LOOKS.items():
            these = judged == name
            if these.any():
                ax.plot(x[these], own.loc[these, "overhead_pct"], linestyle="none", label=name, **look)
        median = (own if excluded.all() else own[~excluded])["overhead_pct"].median()
        ax.plot([place - 0.33, place + 0.33], [median] * 2, color=INK, linewidth=2, label="median of a process")
    ticks = range(0, len(replicates), math.ceil(len(replicates) / 12))
    ax.set_xticks(ticks, [str(replicates[place][0]) for place in ticks])
    ax.set_xlim(-0.6, len(replicates) - 0.4)
    ax.grid(axis="x", visible=False)
    ax.set(title="A/A control", xlabel="replicate (fresh process)", ylabel="difference of two identical networks [%]")


def _widths(latency: pd.DataFrame) -> pd.DataFrame:
    """The first panel's cases by the half-width they reached, the widest first."""
    for _, cases in panels(timed(latency))[:1]:
        known = cases[cases["half_width_pct"].notna()]
        return known.sort_values("half_width_pct", ascending=False, kind="stable").head(MOST_CASES)
    return pd.DataFrame()


def _draw_widths(ax: Axes, widths: pd.DataFrame, target: float, palette: Palette) -> None:
    ax.set_gid(canvas.part_id("", panels(widths)[0][0]))
    names = []
    for place, row in enumerate(rows(widths)):
        look, width = palette.look(*mechanism_of(row)) | UNJOINED | {"label": None}, row["half_width_pct"]
        ax.plot([0, width], [place, place], color=look["color"], linewidth=1.2, alpha=0.5, gid=look["gid"])
        ax.plot([width], [place], **look)
        way = "" if row["direction"] == "bidirectional" else " uni"
        names.append(f"{label(row['strategy'])} {row['placement']} {fraction_text(row['fraction'])}{way}")
    if not math.isnan(target):
        ax.axvline(target, color=INK, linewidth=1.0, linestyle=(0, (4, 2)), label="target")
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set(xlim=(0, 1.1 * np.nanmax([*widths["half_width_pct"], target])), ylim=(len(names) - 0.4, -0.6))
    ax.set(title="Precision reached", xlabel="half-width of the 95 % interval [pp]")
    ax.grid(axis="y", visible=False)
