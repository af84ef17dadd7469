"""The paper's Fig. 2a: what each mechanism costs, against the share of the channels that move."""

import math
from collections.abc import Iterable, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.canvas import Figure, blank, finish
from bench.report.numbers import Estimate, count_text
from bench.report.selection import Line, Tables, in_panel, line_text, lines, panel_text, panels, rows, timed, twins
from bench.report.style import BAND, INK, MUTED, Palette, fraction_axis, label, legend_below, line_handle
from bench.spec.cases import Panel

MOST_PANELS = 4  # more small plots cannot be read; the table has the others
PAPER_ALL = {"cpu": 13.7, "cuda": 12.4}  # per cent, all channels; ResNet-50, 8 frames (TSM, section 3.2)
PAPER_EIGHTH = 3.0  # "about 3 %" with 1/8, on every device; the paper's values at 1/4 and 1/2 are not known
_ALIKE = 4.0  # panels whose ranges differ by more than this factor get their own y axis


def latency_overhead(tables: Tables, palette: Palette) -> Figure | None:
    """Overhead against fraction, one plot for each panel, with the A/A control and the paper's two values."""
    cases = timed(tables.latency)
    shown = panels(cases)[:MOST_PANELS]
    if not shown:
        return None
    keys = [panel for panel, _ in shown]
    columns = min(len(shown), 2)
    height = 3.6 if len(shown) == 1 else 3.1
    drawing = blank(7.2, height * math.ceil(len(shown) / columns) + 0.5)
    spans = [_span(frame) for _, frame in shown]
    axes = drawing.subplots(
        math.ceil(len(shown) / columns), columns, squeeze=False, sharey=max(spans) <= _ALIKE * max(min(spans), 0.1)
    )
    for ax, (panel, frame) in zip(axes.flat, shown, strict=False):
        _draw_panel(ax, frame, twins(in_panel(tables.latency, panel)), panel, palette)
        if len(shown) > 1:
            ax.set_title(panel_text(panel, keys))
    for ax in axes.flat[len(shown) :]:
        ax.remove()
    for ax in axes[:, 0]:
        ax.set_ylabel("latency overhead [%]")
    drawn = lines(pd.concat([frame for _, frame in shown]))
    control = any(Estimate.of(row, "overhead").has_interval for row in rows(twins(tables.latency)))
    legend_below(drawing, _handles(drawn, keys, control, palette))
    return finish(drawing, "latency_overhead", "What the shift costs", _caption(keys, len(panels(cases)), control))


def _draw_panel(ax: Axes, cases: pd.DataFrame, twin: pd.DataFrame, panel: Panel, palette: Palette) -> None:
    for row in rows(twin):
        control = Estimate.of(row, "overhead")
        if control.has_interval:
            ax.axhspan(control.low, control.high, color=BAND, linewidth=0, zorder=0.5)
    ax.axhline(0, color=INK, linewidth=0.8)
    drawn = lines(cases)
    for line, offset in zip(drawn, offsets(len(drawn)), strict=True):
        errorbars(ax, line, "overhead", None, palette, offset)
    for x, value in _paper_marks(panel):
        ax.plot([x - 0.035, x + 0.035], [value, value], color=MUTED, linewidth=2.2, zorder=1.5, solid_capstyle="butt")
    ax.set_xlabel("channels moved (share of all)")
    fraction_axis(ax, (float(f) for f in cases["fraction"]))
    ax.margins(y=0.08)


def errorbars(ax: Axes, line: Line, stem: str, value: str | None, palette: Palette, offset: float) -> None:
    """One line with 95 % intervals; points set aside by ``offset``, so that intervals do not lie on each other."""
    look = palette.look(line.strategy, line.placement, line.direction)
    estimates = [Estimate.of(row, stem, value) for row in line.rows]
    below = [e.value - e.low if e.has_interval else 0.0 for e in estimates]
    above = [e.high - e.value if e.has_interval else 0.0 for e in estimates]
    x = [float(row["fraction"]) + offset for row in line.rows]
    ax.errorbar(
        x,
        [e.value for e in estimates],
        # a point estimate and its interval may come from different estimators: never a negative length
        yerr=[[max(b, 0.0) for b in below], [max(a, 0.0) for a in above]],
        capsize=2.5,
        elinewidth=1.1,
        **look.line(),
    )


def offsets(count: int, widest: float = 0.012) -> list[float]:
    """Small shifts along the fraction axis, symmetric round zero; ``widest``: from one line to the next."""
    step = min(widest, 0.06 / max(count, 1))
    return [(i - (count - 1) / 2) * step for i in range(count)]


def _paper_marks(panel: Panel) -> list[tuple[float, float]]:
    """The paper's values for this device; none for a network or a clip that it did not time."""
    if panel.backbone != "resnet50" or panel.frames != 8 or panel.device not in PAPER_ALL:
        return []
    return [(1.0, PAPER_ALL[panel.device]), (1 / 8, PAPER_EIGHTH)]


def _span(cases: pd.DataFrame) -> float:
    """How far from zero the overheads of one panel reach."""
    return float(cases["overhead_pct"].abs().max())


def _handles(drawn: list[Line], keys: Sequence[Panel], control: bool, palette: Palette) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = line_handles(drawn, palette)
    devices = {panel.device for panel in keys if _paper_marks(panel)}
    if devices:
        values = " / ".join(f"{PAPER_ALL[device]} % ({device})" for device in sorted(devices))
        text = f"paper: {values} at all, about 3 % at 1/8"
        handles.append(Line2D([], [], color=MUTED, linewidth=2.2, label=text, solid_capstyle="butt"))
    if control:
        handles.append(Patch(color=BAND, label="A/A: two identical networks"))
    return handles


def line_handles(drawn: Iterable[Line], palette: Palette, *, line: bool = True) -> list[Line2D | Patch]:
    """One legend entry for each mechanism, placement and direction."""
    return [
        line_handle(
            palette.look(one.strategy, one.placement, one.direction),
            line_text(label(one.strategy), one.placement, one.direction),
            line=line,
        )
        for one in drawn
    ]


def _caption(keys: Sequence[Panel], total: int, control: bool) -> str:
    where = panel_text(keys[0]) if len(keys) == 1 else f"{len(keys)} settings, each against its own baseline"
    told = [
        f"Extra latency against the network without a shift ({where}), with 95 % intervals.",
        "Points are set slightly apart so that intervals can be told from each other.",
    ]
    if control:
        told.append("The grey band is the A/A control: a mechanism inside it costs nothing that this run could see.")
    if any(_paper_marks(panel) for panel in keys):
        told.append("The paper gives a value at two fractions only; its hardware was another.")
    if total > len(keys):
        told.append(f"{count_text(total - len(keys), 'further setting')} in the table.")
    return " ".join(told)
