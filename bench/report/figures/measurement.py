"""How far the numbers can be trusted: the A/A control, the interval that each case reached, and the copy bandwidth
behind predictions."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from bench.analysis.run import Analysis
from bench.report.figures import canvas
from bench.report.figures.canvas import INK, MUTED, REMAINING, UNJOINED, WIDTH, Drawn, Palette, label
from bench.report.numbers import count_text, estimate, fraction_text
from bench.report.selection import mechanism_of, panel_text, panels, references, rows, target_half_width, timed
from bench.spec.panel import Panel

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
    names = []
    for place, row in enumerate(rows(widths)):
        look, width = palette.look(*mechanism_of(row)) | UNJOINED | {"label": None}, row["half_width_pct"]
        ax.plot([0, width], [place, place], color=look["color"], linewidth=1.2, alpha=0.5)
        ax.plot([width], [place], **look)
        way = "" if row["direction"] == "bidirectional" else " uni"
        names.append(f"{label(row['strategy'])} {row['placement']} {fraction_text(row['fraction'])}{way}")
    if not math.isnan(target):
        ax.axvline(target, color=INK, linewidth=1.0, linestyle=(0, (4, 2)), label="target")
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set(xlim=(0, 1.1 * np.nanmax([*widths["half_width_pct"], target])), ylim=(len(names) - 0.4, -0.6))
    ax.set(title="Precision reached", xlabel="half-width of the 95 % interval [pp]")
    ax.grid(axis="y", visible=False)


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
    if every["gb_per_s"].max() > 8 * every["gb_per_s"].min():  # a CPU and a GPU
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
