"""Frame by frame: overhead against the number of streams, and the distribution of frame times."""

import math

import pandas as pd
from matplotlib.axes import Axes

from bench.analysis.run import Analysis
from bench.report.figures import canvas
from bench.report.figures.canvas import MOST_PLOTS, Drawn, further
from bench.report.numbers import estimate, fraction_text, known, milliseconds_text
from bench.report.selection import online_settings, rows
from bench.report.style import MUTED, Palette
from bench.spec.axes import BASELINE

PAPER_ONLINE = 2.1  # per cent: 4.8 ms against 4.7 ms, ResNet-50, 1/8 (TSM, Table 6)
_RAREST = 0.1  # per cent of the frames; beyond it there are too few


def online_overhead(run: Analysis, palette: Palette) -> Drawn:
    """Overhead per frame against the number of streams, one plot for each network and device."""
    groups = online_settings(run.online, "streams")
    if not groups:
        return None
    shown = groups[:MOST_PLOTS]
    measured = pd.concat([frame for _, frame in shown])
    usual = measured.loc[measured["strategy"] != BASELINE, "fraction"].mode().min()
    drawing, axes = canvas.grid(len(shown), 2.8, "streams", "overhead per frame [%]")
    for ax, (words, frame) in zip(axes, shown, strict=True):
        _draw_overhead(ax, frame, usual, palette)
        ax.set_title(words)
    return drawing, {"more": further(len(groups), len(shown))}


def _draw_overhead(ax: Axes, frame: pd.DataFrame, usual: float, palette: Palette) -> None:
    counts = sorted(set(frame["streams"]))
    frame = frame.assign(place=frame["streams"].map(counts.index))
    base = frame[frame["strategy"] == BASELINE]
    twin = base["aa"].astype(bool)
    for row in rows(base[twin]):
        ends = [(row["place"] + share) / len(counts) for share in (0.1, 0.9)]
        canvas.band(ax, estimate(row, "overhead"), "A/A control", *ends)
    canvas.zero(ax)
    if frame["backbone"].iloc[0] == "resnet50":
        name = f"paper: {PAPER_ONLINE:g} % (4.8 ms, 4.7 ms)"
        ax.axhline(PAPER_ONLINE, color=MUTED, linewidth=1.4, zorder=0.8, label=name)
    shifting = frame[frame["strategy"] != BASELINE]
    for found, places in canvas.mechanisms(ax, shifting, "place", "overhead", palette, step=0.09, by_fraction=True):
        share, last = found[-1]["fraction"], estimate(found[-1], "overhead")
        if share != usual:
            top = last.high if known(last) else last.mean
            ax.annotate(fraction_text(share), (places[-1], top), (0, 3), textcoords="offset points", ha="center")
    times = dict(zip(base.loc[~twin, "streams"], base.loc[~twin, "frame_ms"], strict=True))
    canvas.categories(ax, [f"{count}\n{milliseconds_text(times.get(count, math.nan))}" for count in counts])


def online_frame_times(run: Analysis, palette: Palette) -> Drawn:
    """For each setting: the share of frames that take longer than so many milliseconds."""
    settings = online_settings(run.frames)
    if not settings:
        return None
    shown = settings[:MOST_PLOTS]
    drawing, axes = canvas.grid(len(shown), 2.8, "frame time [ms]", "frames that take longer [%]")
    for ax, (words, frame) in zip(axes, shown, strict=True):
        frame = frame[frame["quantile_pct"] <= 100 - _RAREST]
        for key, own in canvas.by_mechanism(frame, "fraction", "aa"):
            style, twin = palette.look(*key) | {"marker": "", "linewidth": 1.3}, own["aa"].iloc[0]
            if key[0] == BASELINE:
                style |= {"label": "no shift, A/A twin", "linestyle": (0, (2, 2))} if twin else {"label": "no shift"}
            ax.plot(own["frame_ms"], 100 - own["quantile_pct"], **style)
        ax.set(title=words, yscale="log", ylim=(_RAREST, 100))
        ax.set_yticks([100, 10, 1, 0.1], ["100", "10", "1", "0.1"])
    return drawing, {"more": further(len(settings), len(shown))}
