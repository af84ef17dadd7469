"""How far the numbers can be trusted: the A/A control, and the interval that each case reached."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from bench.report.figures.canvas import Figure, blank, finish
from bench.report.numbers import Estimate, fraction_text, sentence
from bench.report.selection import Row, Tables, in_panel, panels, rows, timed, twins
from bench.report.style import ALARM, BAND, INK, MUTED, Palette, label, legend_below

MOST_CASES = 30  # more rows would be smaller than their labels
_ROW = 0.21  # inches for one labelled case
_JITTER = 0.22
QUIET: dict[str, Any] = {"marker": "o", "color": MUTED, "markersize": 2.8, "alpha": 0.6, "markeredgewidth": 0}
DISTURBED: dict[str, Any] = {
    "marker": "o",
    "color": ALARM,
    "markersize": 3.8,
    "markerfacecolor": "white",
    "markeredgewidth": 1.0,
}
LEFT_OUT: dict[str, Any] = {"marker": "x", "color": ALARM, "markersize": 4.5, "markeredgewidth": 1.2}


def measurement_noise(tables: Tables, palette: Palette) -> Figure | None:
    """Left: the twin's differences, superblock by superblock. Right: half-widths reached against the target."""
    samples = first_control(tables.superblocks)
    twin = _twin_of(samples, tables.latency)
    widths = _widths(tables.latency)
    if samples.empty and not widths:
        return None
    drawing = blank(7.2, min(max(3.4, 1.3 + _ROW * len(widths)), 8.5))
    both = not samples.empty and bool(widths)
    axes = drawing.subplots(1, 2, width_ratios=[1, 1.1], squeeze=False)[0] if both else [drawing.subplots()]
    if not samples.empty:
        _draw_twin(axes[0], samples, twin)
    if widths:
        _draw_widths(axes[-1], widths, _target(tables.header), palette)
    _legend(drawing, samples)
    return finish(drawing, "measurement_noise", "How far to trust it", _caption(both, len(widths), samples))


def _twin_of(samples: pd.DataFrame, latency: pd.DataFrame) -> list[Row]:
    """The latency row of the twin whose samples these are: the only twin, or the one of the panel in their label."""
    found = panels(twins(latency))
    if samples.empty or len(found) > 1:
        label = "" if samples.empty else str(samples["label"].iloc[0])
        found = [(panel, twin) for panel, twin in found if label.startswith(f"{panel.label}/")]
    return [row for _, twin in found for row in rows(twin)]


def first_control(superblocks: pd.DataFrame) -> pd.DataFrame:
    """The twin's differences in the first panel: machines and devices scatter differently, so never all together."""
    if superblocks.empty:
        return superblocks
    aa = superblocks[superblocks["aa"].astype(bool) & superblocks["overhead_pct"].notna()]
    return aa if aa.empty else aa[aa["label"] == aa["label"].iloc[0]]


def _draw_twin(ax: Axes, samples: pd.DataFrame, twin: list[Row]) -> None:
    for row in twin:
        control = Estimate.of(row, "overhead")
        if control.has_interval:
            ax.axhspan(control.low, control.high, color=BAND, linewidth=0, zorder=0.5)
    ax.axhline(0, color=INK, linewidth=0.8)
    replicates = [(str(name), group) for name, group in samples.groupby("replicate")]
    for place, (_, group) in enumerate(replicates):
        values = group["overhead_pct"].to_numpy(float)
        x = place + (np.linspace(-_JITTER, _JITTER, len(values)) if len(values) > 1 else np.zeros(1))
        left_out = _marked(group, "excluded")
        disturbed = _marked(group, "disturbed") & ~left_out
        for chosen, marks in ((~disturbed & ~left_out, QUIET), (disturbed, DISTURBED), (left_out, LEFT_OUT)):
            ax.plot(x[chosen], values[chosen], linestyle="none", **marks)
        counted = values[~left_out] if not left_out.all() else values
        ax.plot([place - 0.33, place + 0.33], [np.median(counted)] * 2, color=INK, linewidth=2)
    step = math.ceil(len(replicates) / 12)
    ticks = list(range(0, len(replicates), step))
    ax.set_xticks(ticks, [replicates[i][0] for i in ticks])
    ax.set_xlim(-0.6, len(replicates) - 0.4)
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("replicate (fresh process)")
    ax.set_ylabel("difference of two identical networks [%]")
    ax.set_title("A/A control")


def _marked(samples: pd.DataFrame, column: str) -> NDArray[np.bool_]:
    """Which superblocks carry a mark; none in runs that did not record it."""
    if column not in samples:
        return np.zeros(len(samples), dtype=np.bool_)
    return samples[column].eq(True).to_numpy(np.bool_)


def _legend(drawing: Drawing, samples: pd.DataFrame) -> None:
    """Only where a rule called a superblock disturbed."""
    kinds = {"disturbed, but kept": DISTURBED, "left out by the declared rules": LEFT_OUT}
    left_out = _marked(samples, "excluded")
    present = (bool((_marked(samples, "disturbed") & ~left_out).any()), bool(left_out.any()))
    shown = {text: marks for (text, marks), there in zip(kinds.items(), present, strict=True) if there}
    if shown:
        shown = {"quiet superblock": QUIET, **shown}
        legend_below(drawing, [Line2D([], [], label=text, linestyle="none", **marks) for text, marks in shown.items()])


def _widths(latency: pd.DataFrame) -> list[tuple[Row, float]]:
    """The first panel's cases by the half-width they reached, the widest first."""
    shown = panels(timed(latency))
    if not shown:
        return []
    cases = rows(in_panel(timed(latency), shown[0][0]))
    known = [(row, float(row["half_width_pct"])) for row in cases if math.isfinite(float(row["half_width_pct"]))]
    return sorted(known, key=lambda pair: -pair[1])[:MOST_CASES]


def _draw_widths(ax: Axes, widths: list[tuple[Row, float]], target: float | None, palette: Palette) -> None:
    for place, (row, width) in enumerate(widths):
        look = palette.look(row["strategy"], row["placement"], row["direction"])
        ax.plot([0, width], [place, place], color=look.colour, linewidth=1.2, alpha=0.5)
        ax.plot([width], [place], **look.points())
    if target is not None:
        ax.axvline(target, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
    ax.set_yticks(range(len(widths)), [_name(row) for row, _ in widths], fontsize=8)
    ax.set_ylim(len(widths) - 0.4, -0.6)
    ax.set_xlim(0, max([width for _, width in widths] + [target or 0.0]) * 1.1)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("half of the 95 % interval [points]")
    ax.set_title("Width reached" + (" (dashed: target)" if target is not None else ""))


def _name(row: Row) -> str:
    way = "" if row["direction"] == "bidirectional" else " uni"
    return f"{label(str(row['strategy']))} {row['placement']} {fraction_text(float(row['fraction']))}{way}"


def _target(header: Row) -> float | None:
    value = ((header.get("settings") or {}).get("latency") or {}).get("target_half_width_points")
    return float(value) if isinstance(value, int | float) else None


def _caption(both: bool, cases: int, samples: pd.DataFrame) -> str:
    crossed = " (crossed superblocks do not count)" if _marked(samples, "excluded").any() else ""
    control = (
        "a second, identical baseline ran in every superblock; each dot is one superblock's difference, the bar its "
        f"median in one fresh process{crossed}, the grey band the 95 % interval over processes, which should hold zero."
    )
    widths = (
        "how finely each case is known; a dot right of the dashed line ran out of time before it was narrow enough."
        + (f" Only the {MOST_CASES} widest are shown." if cases == MOST_CASES else "")
    )
    if both:
        return f"Left: {control} Right: {widths}"
    return sentence(widths if cases else control)
