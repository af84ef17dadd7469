"""How the cost depends on the setting: overhead against each axis that was swept, the baseline's time below it."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.canvas import Figure, blank, finish
from bench.report.numbers import Estimate, channels_text, count_text, fraction_text, milliseconds_text
from bench.report.selection import Tables, line_text
from bench.report.style import INK, Palette, label, legend_below, line_handle
from bench.report.swept import COUNTED, Along, Axis, swept

MOST_AXES = 8  # more small plots cannot be read; the table has the others
_NARROW = 34  # characters of tick labels that fit below half a figure
_LONGEST_TICK = 14
_APART = 0.09  # of the distance between two values: from one mechanism's point to the next
_WIDEST = 0.5  # of the same, all mechanisms together
_ALIKE = 4.0  # plots whose ranges differ by less than this factor share their y axis


def overhead_by_axis(tables: Tables, palette: Palette) -> Figure | None:
    """One small plot for each axis; None where nothing was swept."""
    found = swept(tables)
    shown = found[:MOST_AXES]
    if not shown:
        return None
    mosaic = _mosaic(shown)
    drawing = blank(7.2, 2.6 * len(mosaic) + 0.6)
    axes = drawing.subplot_mosaic(mosaic, empty_sentinel="")  # type: ignore[arg-type]
    spans = [_draw(axes[axis.name], axis, palette) for axis in shown]
    if max(spans) <= _ALIKE * max(min(spans), 0.1):
        limits = [axes[axis.name].get_ylim() for axis in shown]
        for axis in shown:
            axes[axis.name].set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    for row in mosaic:
        axes[row[0]].set_ylabel("latency overhead [%]")
    legend_below(drawing, _handles(shown, palette))
    return finish(drawing, "overhead_by_axis", "What changes the cost", _caption(shown, len(found)))


def _mosaic(shown: Sequence[Axis]) -> list[list[str]]:
    """Two plots in a row; one whose labels need the room has a row to itself."""
    wide = [axis.name for axis in shown if sum(len(_tick(stop.text)) + 2 for stop in axis.stops) > _NARROW]
    narrow = [axis.name for axis in shown if axis.name not in wide]
    if len(shown) == 1:
        return [[shown[0].name]]
    pairs = [[*narrow[i : i + 2], ""][:2] for i in range(0, len(narrow), 2)]
    return pairs + [[name, name] for name in wide]


def _draw(ax: Axes, axis: Axis, palette: Palette) -> float:
    """Draws one axis; returns how far its overheads reach from zero."""
    ax.axhline(0, color=INK, linewidth=0.8)
    step = min(_APART, _WIDEST / len(axis.lines))
    for place, along in enumerate(axis.lines):
        _draw_line(ax, along, (place - (len(axis.lines) - 1) / 2) * step, axis.name in COUNTED, palette)
    ticks = [f"{_tick(stop.text)}\n{milliseconds_text(stop.baseline_ms)}" for stop in axis.stops]
    ax.set_xticks(range(len(ticks)), ticks)
    ax.set_xlim(-0.45, len(ticks) - 0.55)
    ax.grid(axis="x", visible=False)
    ax.margins(y=0.08)
    ax.set_title(axis.title)
    return max(abs(float(row["overhead_pct"])) for along in axis.lines for row in along.cases if row is not None)


def _draw_line(ax: Axes, along: Along, offset: float, joined: bool, palette: Palette) -> None:
    """Values with an order of their own are joined; between the others there is nothing to be read."""
    look = palette.look(along.strategy, along.placement, along.direction)
    places = [place for place, row in enumerate(along.cases) if row is not None]
    known = [Estimate.of(row, "overhead") for row in along.cases if row is not None]
    reach = [[max(e.value - e.low, 0.0), max(e.high - e.value, 0.0)] if e.has_interval else [0.0, 0.0] for e in known]
    ax.errorbar(
        [place + offset for place in places],
        [e.value for e in known],
        yerr=np.array(reach).T,
        capsize=2.5,
        elinewidth=1.1,
        **(look.line() if joined else look.points()),
    )


def _handles(shown: Sequence[Axis], palette: Palette) -> list[Line2D | Patch]:
    """One entry for each mechanism; its fraction where not all have the same."""
    drawn = list(chain.from_iterable(axis.lines for axis in shown))
    several = len({along.fraction for along in drawn}) > 1
    entries: dict[tuple[str, str, str], set[float]] = {}
    for along in drawn:
        entries.setdefault((along.strategy, along.placement, along.direction), set()).add(along.fraction)
    return [
        line_handle(
            palette.look(*key),
            line_text(label(key[0]), *key[1:])
            + (f", {' or '.join(map(fraction_text, sorted(fractions)))}" if several else ""),
            line=any(axis.name in COUNTED for axis in shown),
        )
        for key, fractions in sorted(entries.items())
    ]


def _tick(text: str) -> str:
    return text if len(text) <= _LONGEST_TICK else f"{text[: _LONGEST_TICK - 1]}…"


def _moved(fractions: list[float]) -> str:
    return channels_text(fractions[0]) if len(fractions) == 1 else "the share of the channels that the legend names"


def _caption(shown: Sequence[Axis], total: int) -> str:
    fractions = sorted({along.fraction for axis in shown for along in axis.lines})
    told = [
        f"Latency overhead with its 95 % interval against what was swept, moving "
        f"{_moved(fractions)}; each plot changes one thing and keeps the rest. Below each value stands what the "
        "network without a shift takes there: every overhead is relative to it, so the same bytes weigh more where the "
        "arithmetic got faster.",
        "Points are set slightly apart; mind the scales, which differ where the ranges do.",
    ]
    if total > len(shown):
        told.append(f"{count_text(total - len(shown), 'further axis', 'further axes')} in the table.")
    return " ".join(told)
