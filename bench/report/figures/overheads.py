"""Overhead against what was swept: the fraction (the paper's Fig. 2a), any other axis, the runtime, and the streams
frame by frame.

An axis counts as swept where panels differ in it and agree in everything else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from operator import attrgetter
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from bench.analysis.run import Analysis
from bench.analysis.selection import PUBLISHED
from bench.report import selection
from bench.report.figures import canvas
from bench.report.figures.canvas import INK, MOST_PLOTS, MUTED, UNJOINED, Drawn, Palette, fraction_axis, further, label
from bench.report.numbers import estimate, fraction_text, known, milliseconds_text
from bench.report.selection import (
    COUNTED,
    HEAPS,
    MECHANISM,
    baselines,
    nearest_fraction,
    panel_text,
    panels,
    rows,
    timed,
)
from bench.spec.axes import BASELINE
from bench.spec.panel import Panel

PAPER_ALL = {"cpu": 13.7, "cuda": 12.4}  # per cent, all channels; ResNet-50, 8 frames (TSM, section 3.2)
PAPER_EIGHTH = 3.0  # "about 3 %" with 1/8, on every device; the paper gives no values at 1/4 and 1/2
PAPER_ONLINE = 2.1  # per cent: 4.8 ms against 4.7 ms, ResNet-50, 1/8 (TSM, Table 6)
MOST_AXES = 8
MOVING_ONLY = "buffer_shift"  # touches the moved channels and nothing else
_STEP = 0.012  # of the axis of fractions: between mechanisms, so that their intervals stand apart
_NARROW = 34  # characters of tick labels that fit below half a figure
_RAREST = 0.1  # per cent of the frames; beyond it there are too few
_BESIDE: Any = {"textcoords": "offset points", "ha": "right", "va": "center", "fontsize": 7.5, "color": MUTED}


def overhead_by_heap(run: Analysis, palette: Palette) -> Drawn:
    """The released code and moving only what moves, with the heap kept and as it comes, beside the paper's values."""
    measured, base = dict(panels(timed(run.latency))), selection.references(run.latency)
    heaps = {panel.allocator: panel for panel in selection.headline_panels(run.latency) if panel in base}
    if not heaps.keys() >= {*HEAPS}:
        return None
    drawing, (ax,) = canvas.grid(1, 3.6, "fraction of the channels moved", "latency overhead [%]")
    for place, (heap, strategy) in enumerate(product(HEAPS, (PUBLISHED, MOVING_ONLY))):
        style = palette.look(strategy, "residual", "bidirectional")
        if heap == "default":
            style["linestyle"] = (0, (4, 1.8))
        style["label"] += f", {heap} heap"
        style["gid"] = canvas.part_id(strategy, heaps[heap])
        cases = measured[heaps[heap]].sort_values("fraction")
        own = rows(cases[cases[MECHANISM].eq([strategy, "residual", "bidirectional"]).all(axis=1)])
        places = [row["fraction"] + (place - 1.5) * _STEP for row in own]
        canvas.intervals(ax, places, [estimate(row, "overhead") for row in own], **style)
    panel = heaps[HEAPS[0]]
    twin = selection.references(run.latency, aa=True).get(panel, {})
    canvas.band(ax, estimate(twin, "overhead"), f"A/A control, {HEAPS[0]} heap")
    canvas.zero(ax)
    _draw_paper(ax, panel)
    fraction_axis(ax, measured[panel]["fraction"])
    ax.margins(y=0.08)
    times = {heap: milliseconds_text(base[heaps[heap]]["latency_ms"]) for heap in HEAPS}
    return drawing, {"where": panel_text(replace(panel, allocator="default")), **times}


def latency_overhead(run: Analysis, palette: Palette) -> Drawn:
    """Overhead against fraction, one plot for each panel, with the A/A control and the paper's two values."""
    found, twins = panels(timed(run.latency)), selection.references(run.latency, aa=True)
    shown = found[:MOST_PLOTS]
    if not shown:
        return None
    keys = [panel for panel, _ in shown]
    height = 3.4 if len(shown) == 1 else 3.0
    alike = canvas.comparable(cases for _, cases in shown)
    drawing, axes = canvas.grid(len(shown), height, "fraction of the channels moved", "latency overhead [%]", alike)
    for ax, (panel, cases) in zip(axes, shown, strict=True):
        ax.set_gid(canvas.part_id("", panel))
        canvas.band(ax, estimate(twins.get(panel, {}), "overhead"), "A/A control")
        canvas.zero(ax)
        canvas.mechanisms(ax, cases, "fraction", "overhead", palette, _STEP)
        _draw_paper(ax, panel)
        fraction_axis(ax, cases["fraction"])
        ax.margins(y=0.08)
        ax.set_title(panel_text(panel, keys) if len(shown) > 1 else "")
    where = panel_text(keys[0]) if len(keys) == 1 else f"{len(keys)} settings, each against its own baseline"
    return drawing, {"where": where, "more": further(len(found), len(shown))}


def _draw_paper(ax: Axes, panel: Panel) -> None:
    """What the paper gives for this device; nothing for a network or a clip that it did not time."""
    if panel.backbone == "resnet50" and panel.frames == 8 and panel.device in PAPER_ALL:
        everything = PAPER_ALL[panel.device]
        name = f"paper, {panel.device}: {everything} % at all, about 3 % at 1/8"
        for fraction, value in ((1.0, everything), (1 / 8, PAPER_EIGHTH)):
            ends = [fraction - 0.035, fraction + 0.035]
            ax.plot(ends, [value] * 2, color=MUTED, linewidth=2.2, zorder=1.5, solid_capstyle="butt", label=name)
            ax.annotate(f"{value:g} %", (ends[0], value), (-2, 0), **_BESIDE)


@dataclass(frozen=True)
class Sweep:
    """One axis: a panel for each of its ``values``, in words, and their cases, with the ``place`` of their panel."""

    name: str
    panels: list[Panel]
    values: list[str]
    cases: pd.DataFrame


def swept(latency: pd.DataFrame) -> list[Sweep]:
    """Every axis along which at least one mechanism was measured, each with one fraction."""
    cases = dict(panels(timed(latency)))
    found = []
    for name in Panel.COLUMNS if cases else ():
        chosen = selection.differing_in(cases, name)
        if name in COUNTED:
            chosen.sort(key=attrgetter(name))
        placed = pd.concat([cases[panel].assign(place=place) for place, panel in enumerate(chosen)])
        along = []
        for _, own in placed.groupby(MECHANISM):
            counts = own["fraction"].value_counts()  # of those measured at most values, the one nearest to the usual
            own = own[own["fraction"] == nearest_fraction(counts.index[counts == counts.max()])]
            if len(own) > 1:
                along.append(own)
        if along:
            values = [panel.device if name == "device" else panel_text(panel, chosen) for panel in chosen]
            found.append(Sweep(name, chosen, values, pd.concat(along)))
    return found


def overhead_by_axis(run: Analysis, palette: Palette) -> Drawn:
    """One small plot for each swept axis; the baseline's time stands below each value."""
    found = swept(run.latency)
    shown = found[:MOST_AXES]
    if not shown:
        return None
    mosaic = _mosaic(shown)
    alike = canvas.comparable(sweep.cases for sweep in shown)
    drawing = canvas.blank(canvas.WIDTH, 2.6 * len(mosaic) + 0.6)
    axes = drawing.subplot_mosaic(mosaic, empty_sentinel="", sharey=alike)  # type: ignore[arg-type]
    for sweep in shown:
        ax = axes[sweep.name]
        canvas.zero(ax)
        joined = sweep.name in COUNTED  # between values without an order of their own there is nothing
        canvas.mechanisms(ax, sweep.cases, "place", "overhead", palette, 0.09, **({} if joined else UNJOINED))
        canvas.categories(ax, _above_times(run, [label(value) for value in sweep.values], sweep.panels))
        ax.margins(y=0.08)
        ax.set_title(sweep.name.replace("_", " "))
    for row in mosaic:
        axes[row[0]].set_ylabel("latency overhead [%]")
    return drawing, {"more": further(len(found), len(shown), "further axis", "further axes")}


def _mosaic(shown: Sequence[Sweep]) -> list[list[str]]:
    """Two plots in a row; one whose labels need the room has a row to itself."""
    wide = [sweep.name for sweep in shown if sum(len(label(value)) + 2 for value in sweep.values) > _NARROW]
    narrow = [sweep.name for sweep in shown if sweep.name not in wide]
    if len(shown) == 1:
        return [[shown[0].name]]
    pairs = [[*narrow[i : i + 2], ""][:2] for i in range(0, len(narrow), 2)]
    return pairs + [[name, name] for name in wide]


def _above_times(run: Analysis, names: Sequence[str], chosen: Sequence[Panel]) -> list[str]:
    """Names of panels, each above what the network without a shift takes there."""
    base = selection.references(run.latency)
    times = [milliseconds_text(base[panel]["latency_ms"]) if panel in base else "" for panel in chosen]
    return [f"{name}\n{time}" for name, time in zip(names, times, strict=True)]


def overhead_by_runtime(run: Analysis, palette: Palette) -> Drawn:
    """A row for each runtime, on an axis that is logarithmic beyond the noise: one shift costs from 1 % to 400 %."""
    chosen = selection.runtime_panels(run)
    if not chosen:
        return None
    measured = dict(panels(timed(run.latency)))
    own = [measured[panel].assign(place=place) for place, panel in enumerate(chosen)]
    cases = pd.concat([frame[frame["fraction"] == nearest_fraction(frame["fraction"])] for frame in own])
    drawing = canvas.blank(canvas.WIDTH, 1.4 + len(chosen) * (0.35 + 0.1 * cases.groupby(MECHANISM).ngroups))
    ax = drawing.subplots()
    canvas.mechanisms(ax, cases, "place", "overhead", palette, 0.12, horizontal=True, **UNJOINED)
    ax.set_xlabel("latency overhead [%]")
    canvas.wide_overheads(ax)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.axvline(PAPER_EIGHTH, color=MUTED, linewidth=1.0, linestyle=":", label="paper: about 3 % at 1/8")
    ax.grid(axis="y", visible=False)
    names = _above_times(run, [selection.runtime_name(panel, chosen) for panel in chosen], chosen)
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.hlines([edge - 0.5 for edge in range(1, len(names))], *ax.get_xlim(), color=MUTED, linewidth=0.5)
    return drawing, {"linear_to": canvas.LINEAR_TO}


def online_overhead(run: Analysis, palette: Palette) -> Drawn:
    """Overhead per frame against the number of streams, one plot for each network and device."""
    groups = selection.online_settings(run.online, "streams")
    if not groups:
        return None
    shown = groups[:MOST_PLOTS]
    measured = pd.concat([frame for _, frame in shown])
    usual = measured.loc[measured["strategy"] != BASELINE, "fraction"].mode().min()
    drawing, axes = canvas.grid(len(shown), 2.8, "streams", "overhead per frame [%]")
    for ax, (words, frame) in zip(axes, shown, strict=True):
        ax.set_gid(canvas.part_id("", *(panel for panel, _ in panels(frame))))
        _draw_overhead(ax, frame, usual, palette)
        ax.set_title(words)
    return drawing, {"more": further(len(groups), len(shown))}


def _draw_overhead(ax: Axes, frame: pd.DataFrame, usual: float, palette: Palette) -> None:
    counts = sorted(set(frame["streams"]))
    frame = frame.assign(place=frame["streams"].map(counts.index))
    for twin in rows(baselines(frame, aa=True)):
        ends = [(twin["place"] + share) / len(counts) for share in (0.1, 0.9)]
        canvas.band(ax, estimate(twin, "overhead"), "A/A control", *ends)
    canvas.zero(ax)
    if frame["backbone"].iloc[0] == "resnet50":
        name = f"paper: {PAPER_ONLINE:g} % (4.8 ms, 4.7 ms)"
        ax.axhline(PAPER_ONLINE, color=MUTED, linewidth=1.4, zorder=0.8, label=name)
    shifting = frame[frame["strategy"] != BASELINE]
    for found, places in canvas.mechanisms(ax, shifting, "place", "overhead", palette, 0.09):
        share, last = found[-1]["fraction"], estimate(found[-1], "overhead")
        if share != usual:
            top = last.high if known(last) else last.mean
            ax.annotate(fraction_text(share), (places[-1], top), (0, 3), textcoords="offset points", ha="center")
    times = {row["streams"]: row["frame_ms"] for row in rows(baselines(frame))}
    canvas.categories(ax, [f"{count}\n{milliseconds_text(times.get(count, math.nan))}" for count in counts])


def online_frame_times(run: Analysis, palette: Palette) -> Drawn:
    """For each setting: the share of frames that take longer than so many milliseconds."""
    settings = selection.online_settings(run.frames)
    if not settings:
        return None
    shown = settings[:MOST_PLOTS]
    drawing, axes = canvas.grid(len(shown), 2.8, "frame time [ms]", "frames that take longer [%]")
    for ax, (words, frame) in zip(axes, shown, strict=True):
        ax.set_gid(canvas.part_id("", *(panel for panel, _ in panels(frame))))
        frame = frame[frame["quantile_pct"] <= 100 - _RAREST]
        for key, own in canvas.by_mechanism(frame, "fraction", "aa"):
            style, twin = palette.look(*key) | {"marker": "", "linewidth": 1.3}, own["aa"].iloc[0]
            if key[0] == BASELINE:
                style |= {"label": "no shift, A/A twin", "linestyle": (0, (2, 2))} if twin else {"label": "no shift"}
            ax.plot(own["frame_ms"], 100 - own["quantile_pct"], **style)
        ax.set(title=words, yscale="log", ylim=(_RAREST, 100))
        ax.set_yticks([100, 10, 1, 0.1], ["100", "10", "1", "0.1"])
    return drawing, {"more": further(len(settings), len(shown))}
