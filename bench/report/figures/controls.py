"""All controls of the accuracy experiment in one forest plot: each comparison with its interval.

Left: what else could explain the result; right: whether it lasts. Outcomes of the same two arms stand on one line.
"""

import math
import textwrap
from collections.abc import Sequence
from operator import attrgetter
from typing import Any

from matplotlib.axes import Axes

from bench.analysis.comparisons import ABOVE, BELOW, Comparison
from bench.analysis.run import Analysis
from bench.analysis.selection import PUBLISHED
from bench.report.figures import canvas
from bench.report.figures.canvas import INK, MUTED, WIDTH, Drawn, Palette, drawable
from bench.report.numbers import fixed
from bench.report.selection import grouped

_LINE = 0.172  # inches for a line of text
_AROUND = 1.1  # inches for the axes and the legend
_SUBJECT, _HEADING = 29, 58  # characters that fit beside a plot, and across it
_LINEAR = 3.0  # pp around zero within which the axis is about linear; beyond, it is compressed
_TICKS = {-50: "−50", -20: "", -10: "−10", -5: "", -2: "", 0: "0", 2: "", 5: "", 10: "+10", 20: "", 50: "+50"}
_LEAST = 5.0  # pp that the axis reaches at least, either way
_LOOKS = {"joint": (INK, "o"), "spatial": ("#0072B2", "s"), "temporal": ("#D55E00", "^"), "mixture": ("#009E73", "D")}
_WORDS = {"inplace": "in-place", "1": "all"}


def controls(run: Analysis, palette: Palette) -> Drawn:
    """Every comparison as its distance from what it is held against."""
    found = [one for one in run.comparisons if math.isfinite(one.interval.mean)]
    sides = [[one for one in found if one.explains == explains] for explains in (True, False)]
    sides = [side for side in sides if side]
    if not sides:
        return None
    drawing = canvas.blank(WIDTH, 1.0)
    axes = drawing.subplots(1, 2 * len(sides), sharey=True, squeeze=False)[0]
    height = max(_draw_side(*one) for one in zip(axes[::2], axes[1::2], sides, strict=True))
    drawing.set_size_inches(WIDTH, _AROUND + _LINE * height)
    axes[0].set_ylim(height, 0)
    ends = [end for one in found for end in _distance(one)]
    for names, plot in zip(axes[::2], axes[1::2], strict=True):
        names.axis("off")
        names.set_zorder(plot.get_zorder() + 1)  # headings reach across the plot
        _difference_axis(plot, min(*ends, -_LEAST) * 1.25, max(*ends, _LEAST) * 1.25)
    for outcome, (colour, marker) in _LOOKS.items():
        if any(one.outcome == outcome for one in found):
            axes[1].plot([], [], color=colour, marker=marker, markersize=4.5, linewidth=1.2, label=outcome)
    for fill, name in ((MUTED, "separated from zero"), ("white", "not separated")):
        axes[1].plot([], [], "o", color=MUTED, markersize=4.5, markerfacecolor=fill, label=name)
    return drawing, {"published": PUBLISHED}


def _draw_side(names: Axes, plot: Axes, found: Sequence[Comparison]) -> float:
    """Control by control from the top; gives the height in lines."""
    y = 0.0

    def write(texts: Sequence[str], indent: float = 0.0, **style: Any) -> None:
        nonlocal y
        style |= {"transform": names.get_yaxis_transform(), "va": "center", "fontsize": 7.3, "in_layout": False}
        for text in texts:
            names.text(indent, y + 0.5, text, **style)
            y += 1

    for title, control in grouped(found, attrgetter("title")).items():
        y += 0.55 if y else 0.0
        write([drawable(title)], weight="bold")
        for words, compared in grouped(control, attrgetter("words")).items():
            level = f" ({fixed(compared[0].reference, 0)} %)" if compared[0].unit == "%" else ""
            write(textwrap.wrap(_arm_text(words) + level, _HEADING), color=MUTED, backgroundcolor="white")
            for subject, outcomes in grouped(compared, attrgetter("subject")).items():
                for index, one in enumerate(outcomes):
                    height = y + 0.5 + (index - (len(outcomes) - 1) / 2) * 0.27
                    colour, marker = _LOOKS.get(one.outcome, (MUTED, "v"))
                    fill = colour if one.answer in (ABOVE, BELOW) else "white"
                    plot.plot(_distance(one), [height, height], color=colour, linewidth=1.2, solid_capstyle="butt")
                    x = one.interval.mean - one.reference
                    plot.plot(x, height, marker, color=colour, markersize=3.8, markerfacecolor=fill)
                write(textwrap.wrap(_arm_text(subject), _SUBJECT)[:2] or [""], indent=0.04)
    return y + 0.3


def _arm_text(words: str) -> str:
    """``copy_shift inplace 1`` -> ``in-place all``."""
    arm, _, schedule = words.partition(", ")
    named = " ".join(_WORDS.get(word, word) for word in arm.split() if word != PUBLISHED)
    return drawable(", ".join(part for part in (named, schedule.replace("learning rate", "rate")) if part))


def _distance(one: Comparison) -> tuple[float, float]:
    """The interval less its reference; without an interval the estimate twice."""
    mean, low, high = (end - one.reference for end in (one.interval.mean, one.interval.low, one.interval.high))
    return (low, high) if math.isfinite(low) else (mean, mean)


def _difference_axis(ax: Axes, low: float, high: float) -> None:
    ax.set_xscale("asinh", linear_width=_LINEAR)
    ax.set_xlim(low, high)
    shown = {tick: name for tick, name in _TICKS.items() if low <= tick <= high}
    ax.set_xticks(list(shown), list(shown.values()), fontsize=6.8)
    ax.minorticks_off()
    ax.set_yticks([])
    ax.tick_params(top=True, labeltop=True)
    ax.spines["top"].set_visible(True)
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
    ax.set_xlabel("difference [pp]", fontsize=7.3)
