"""All controls of the accuracy experiment in one forest plot: each comparison with its interval.

Two columns: what else could explain the result, and whether it lasts. Comparisons that differ only in what the network
gets right stand on one line, told apart by colour and marker.
"""

import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.report.control_words import IN_WORDS
from bench.report.controls import ABOVE, BELOW, LASTING, Comparison, comparisons
from bench.report.figures.canvas import Figure, blank, finish
from bench.report.numbers import fixed
from bench.report.selection import Tables
from bench.report.style import INK, MUTED, Palette, drawable

WIDTH = 7.2  # inches
_LINE = 0.172  # inches for a line of text
_FOOT = 0.85  # inches for the axis and the legend below it
_HEAD = 0.22  # inches for the numbers above
_TEXT = 7.3  # points
_SUBJECT = 29  # characters of a label that fit beside a plot
_HEADING = 58  # and above it
_LINEAR = 3.0  # points round zero within which the axis is about linear; beyond, it is squeezed
_TICKS = (-50, -20, -10, -5, -2, 0, 2, 5, 10, 20, 50)
_NAMED = (-50, -20, -5, 0, 5, 20, 50)  # ticks with a number; more would run into each other
_LEAST = 5.0  # points that the axis reaches at least, either way
_LOOKS: dict[str, tuple[str, str]] = {
    "joint": (INK, "o"),
    "spatial": ("#0072B2", "s"),
    "temporal": ("#D55E00", "^"),
    "mixture": ("#009E73", "D"),
}
"""Of what the network gets right: a colour of Okabe and Ito's, and a marker."""


@dataclass(frozen=True)
class _Line:
    """A line of text from the top of its column, with what is drawn beside it. kind: title, heading or subject."""

    y: float
    text: str
    kind: str
    drawn: tuple[Comparison, ...] = ()


def controls(tables: Tables, palette: Palette) -> Figure | None:
    """Every comparison as its distance from what it is held against."""
    found = [one for one in comparisons(tables.controls) if math.isfinite(one.distance.value)]
    if not found:
        return None
    columns = [[one for one in found if (one.control in LASTING) == lasting] for lasting in (False, True)]
    laid = [_layout(column) for column in columns if column]
    total = max(height for _, height in laid)
    tall = total * _LINE + _FOOT + _HEAD
    drawing = blank(WIDTH, tall)
    drawing.set_layout_engine("none")
    each = 1 / len(laid)
    limits = _limits(found)
    for place, (lines, _) in enumerate(laid):
        left, label_share = place * each, 0.5 if len(laid) > 1 else 0.3
        width = (0.97 - label_share) * each
        ax = drawing.add_axes((left + label_share * each, _FOOT / tall, width, total * _LINE / tall))
        _frame(ax, limits, total)
        edge = -label_share / (0.97 - label_share) + 0.02
        for line in lines:
            _draw(ax, line, edge)
    drawing.legend(handles=_handles(found), loc="lower left", ncols=3, bbox_to_anchor=(0.0, 0.0), fontsize=7.8)
    return finish(drawing, "controls", "What the controls show", _caption())


def _layout(found: Sequence[Comparison]) -> tuple[list[_Line], float]:
    """A column's lines, and how high they stand together, in lines."""
    lines: list[_Line] = []
    y, title, words = 0.0, "", ""
    for group in _same_line(found):
        one = group[0]
        if one.title != title:
            y += 0.55 if title else 0.0
            lines.append(_Line(y + 0.5, drawable(one.title), "title"))
            y, title, words = y + 1, one.title, ""
        if one.words != words:
            for text in textwrap.wrap(drawable(_against(one)), _HEADING):
                lines.append(_Line(y + 0.5, text, "heading"))
                y += 1
            words = one.words
        texts = textwrap.wrap(drawable(one.name.replace("learning rate", "rate")), _SUBJECT)[:2] or [""]
        for number, text in enumerate(texts):
            lines.append(_Line(y + 0.5, text, "subject", tuple(group) if number == 0 else ()))
            y += 1
    return lines, y + 0.3


def _same_line(found: Sequence[Comparison]) -> list[list[Comparison]]:
    """Comparisons of the same two arms, whatever the network gets right, in order of appearance."""
    groups: dict[tuple[str, str, str], list[Comparison]] = {}
    words = list(dict.fromkeys((one.control, one.words) for one in found))
    for one in sorted(found, key=lambda one: words.index((one.control, one.words))):
        groups.setdefault((one.control, one.words, one.subject), []).append(one)
    return list(groups.values())


def _against(one: Comparison) -> str:
    return one.words_text + (f" ({fixed(one.reference, 0)} %)" if one.unit == "%" else "")


def _limits(found: Sequence[Comparison]) -> tuple[float, float]:
    ends = [end for one in found for end in _ends(one)]
    return min(*ends, -_LEAST) * 1.25, max(*ends, _LEAST) * 1.25


def _ends(one: Comparison) -> tuple[float, float]:
    distance = one.distance
    return (distance.low, distance.high) if distance.has_interval else (distance.value, distance.value)


def _frame(ax: Axes, limits: tuple[float, float], total: float) -> None:
    ax.set_xscale("asinh", linear_width=_LINEAR)
    ax.set_xlim(*limits)
    ax.set_ylim(total, 0)
    shown = [tick for tick in _TICKS if limits[0] <= tick <= limits[1]]
    names = [("0" if tick == 0 else f"{tick:+d}") if tick in _NAMED else "" for tick in shown]
    ax.set_xticks(shown, names, fontsize=6.8)
    ax.tick_params(top=True, labeltop=True)
    ax.spines["top"].set_visible(True)
    ax.minorticks_off()
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.axvline(0, color=INK, linewidth=0.8, zorder=1)
    ax.set_xlabel("difference [points]", fontsize=_TEXT)


def _draw(ax: Axes, line: _Line, edge: float) -> None:
    indent = {"title": 0.0, "heading": 0.0, "subject": 0.04}[line.kind]
    style: dict[str, Any] = {"title": {"weight": "bold"}, "heading": {"color": MUTED, "backgroundcolor": "white"}}.get(
        line.kind, {}
    )
    ax.text(
        edge + indent,
        line.y,
        line.text,
        transform=ax.get_yaxis_transform(),
        va="center",
        fontsize=_TEXT,
        **style,
    )
    for place, one in enumerate(line.drawn):
        _draw_one(ax, one, line.y + (place - (len(line.drawn) - 1) / 2) * 0.27)


def _draw_one(ax: Axes, one: Comparison, y: float) -> None:
    colour, marker = _LOOKS.get(one.part, (MUTED, "v"))
    fill = colour if one.answer in (ABOVE, BELOW) else "white"
    ax.plot(_ends(one), [y, y], color=colour, linewidth=1.2, zorder=2, solid_capstyle="butt")
    ax.plot([one.distance.value], [y], marker, color=colour, markerfacecolor=fill, markersize=3.8, zorder=3)


def _handles(found: Sequence[Comparison]) -> list[Line2D]:
    there = {one.part for one in found}
    looks = {part: look for part, look in _LOOKS.items() if part in there}
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=4.5, linewidth=1.2, label=IN_WORDS[part])
        for part, (colour, marker) in looks.items()
    ]
    dot: dict[str, Any] = {"color": MUTED, "marker": "o", "markersize": 4.5, "linestyle": "none"}
    return [
        *handles,
        Line2D([], [], **dot, label="separated from zero"),
        Line2D([], [], **dot, markerfacecolor="white", label="not separated"),
    ]


def _caption() -> str:
    return (
        "Every comparison of the controls with its 95 % interval: a difference in points against zero or, where chance "
        "is named, an accuracy in time as its distance from chance. Left: could something else explain what the shift "
        "buys and costs? Right: does it last? Hollow marks are not separated from zero, which is no proof that there "
        "is no difference: the table says how large a one would have been found. Arms are those of copy_shift where "
        "no other name is given. The axis is squeezed towards its ends, so that small differences can be read beside "
        "large ones; mind its numbers."
    )
