"""What the figures share: one look, estimates with intervals, curves with bands, and the export.

A colour says which mechanism, a line style and marker which placement and direction. Colours are those of Okabe and Ito
(2008), which stay apart for colour-blind readers; their yellow is left out, as it cannot be read on white. Text is
drawn as paths, so that labels keep their width whatever fonts a reader has.
"""

import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib import rc_params_from_file
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure as Drawing
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FuncFormatter, NullLocator

from bench.report.numbers import count_text, estimate, fraction_text, known, minus_text
from bench.report.selection import MECHANISM, Row, line_text, rows
from bench.spec.axes import BASELINE
from bench.spec.panel import Panel
from bench.stats.estimators import Interval

INK = "#1a1a1a"
MUTED = "#666666"
BAND = "#d9d9d9"
BUILT_IN = {BASELINE: INK, "copy_shift": "#D55E00", "concat_shift": "#E69F00", "buffer_shift": "#0072B2"}
REMAINING = ("#009E73", "#CC79A7", "#56B4E9", "#7a5c00", "#7F7F7F")
LINEAR_TO = 5.0
"""Per cent: an axis of ``wide_overheads`` is logarithmic beyond."""
_WIDE_TICKS = (-5, 0, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_LINES: dict[tuple[str, str], tuple[Any, str]] = {
    ("residual", "bidirectional"): ("-", "o"),
    ("inplace", "bidirectional"): ((0, (4, 1.8)), "s"),
    ("residual", "unidirectional"): ((0, (5, 1.5, 1, 1.5)), "^"),
    ("inplace", "unidirectional"): ((0, (1, 1.5)), "D"),
}
RC: Any = rc_params_from_file(Path(__file__).parents[1] / "templates" / "figures.mplstyle", use_default_template=False)
_CHARACTERS = FT2Font(findfont("DejaVu Sans")).get_charmap()
_FILLS: tuple[dict[str, str], ...] = (
    {},
    {"markerfacecolor": "white"},
    {"fillstyle": "left", "markerfacecoloralt": "white"},
    {"fillstyle": "bottom", "markerfacecoloralt": "white"},
)
UNJOINED: Any = {"linestyle": "none"}
"""Makes points of a line's look."""
FAINT: Any = UNJOINED | {"markerfacecolor": "white", "alpha": 0.5}
"""The look of what has no interval."""

WIDTH = 7.2  # inches
MOST_PLOTS = 4  # small plots in a figure; more cannot be read, and the tables have all
LONGEST_NAME = 26  # characters of a plug-in's name that fit into half a legend
_WIDE_LABEL = 24  # three columns of longer labels would be wider than the figure
_MOST_STEPS = 6  # mechanisms set apart by full steps; with more of them the steps get smaller
_COMPARABLE = 4.0  # plots whose ranges differ by more than this factor get their own axis
_PNG_DPI = 160
_PLACES = re.compile(r'\bd="[^"]*"|\b[xy]="[^"]*"|translate\([^)]*\)')

Drawn = tuple[Drawing, dict[str, object]] | None
"""A drawing and what its caption is filled with; None with nothing to draw."""


@dataclass(frozen=True)
class Palette:
    """A colour for every strategy of a run, the same in all its figures. fills: how the marks of those are filled that
    share theirs."""

    colours: dict[str, str]
    fills: dict[str, dict[str, str]]

    @classmethod
    def of(cls, names: Iterable[str]) -> "Palette":
        """Built-in strategies keep their colour; plug-ins take what remains, then the same again as hollow marks, then
        as marks that are half full."""
        plugins = sorted(set(names) - BUILT_IN.keys())
        colours = {name: REMAINING[i % len(REMAINING)] for i, name in enumerate(plugins)}
        fills = {name: _FILLS[i // len(REMAINING) % len(_FILLS)] for i, name in enumerate(plugins)}
        return cls({**BUILT_IN, **colours}, fills)

    def look(self, strategy: str, placement: str, direction: str) -> dict[str, Any]:
        """A mechanism's keywords for ``Axes.plot`` and ``errorbar``, with its name in the legend as ``label``."""
        colour = self.colours.get(strategy, MUTED)
        linestyle, marker = _LINES.get((placement, direction), ("-", "o"))
        return {
            "color": colour,
            "linestyle": linestyle,
            "marker": marker,
            "markerfacecolor": colour,
            "markeredgecolor": colour,
            **self.fills.get(strategy, {}),
            "label": line_text(label(strategy), placement, direction),
            "gid": part_id(strategy),
        }


def part_id(strategy: str = "", *panels: Panel) -> str:
    """What a part of a drawing shows, as its id in the SVG: by that the page's filter finds it.

    JSON, as names come from plug-ins and may hold anything.
    """
    shown: dict[str, Any] = {"strategy": strategy} if strategy else {}
    if panels:
        shown["panels"] = [panel.label for panel in panels]
    return json.dumps(shown)


def drawable(text: str) -> str:
    """As the font can draw it."""
    return "".join(c if ord(c) in _CHARACTERS and c.isprintable() else "?" for c in text)


def label(text: str) -> str:
    """A name as the font can draw it: one line, of bounded length, and not hidden by a leading underscore.

    Where it is too long, values of parameters are kept, as they may be all that tells two names apart.
    """
    shown = drawable(text)
    shown = f" {shown}" if shown.startswith("_") else shown
    if len(shown) <= LONGEST_NAME:
        return shown
    values = shown[shown.find("[") :] if "[" in shown else ""
    kept = values if len(values) <= LONGEST_NAME // 2 else ""
    return f"{shown[: LONGEST_NAME - 1 - len(kept)]}…{kept}"


def blank(width: float, height: float) -> Drawing:
    """An empty drawing in inches, with room made for legends; no window system, no global state."""
    drawing = Drawing(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawing)
    return drawing


def grid(count: int, height: float, xlabel: str, ylabel: str, sharey: bool = False) -> tuple[Drawing, list[Axes]]:
    """Up to two plots in a row, each ``height`` inches high."""
    columns = min(count, 2)
    lines = math.ceil(count / columns)
    drawing = blank(WIDTH, height * lines + 0.7)
    axes = list(drawing.subplots(lines, columns, squeeze=False, sharey=sharey).flat)
    for ax in axes[count:]:
        ax.remove()
    for place, ax in enumerate(axes[:count]):
        ax.set(xlabel=xlabel, ylabel="" if place % columns else ylabel)
    return drawing, axes[:count]


@dataclass(frozen=True)
class Figure:
    """A finished figure."""

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


def finish(drawing: Drawing, name: str, title: str, caption: str) -> Figure:
    """Render to SVG and PNG, with a legend. The same drawing gives the same bytes: no date, no random ids."""
    if not drawing.legends:
        legend_below(drawing)
    svg, png = io.StringIO(), io.BytesIO()
    drawing.savefig(svg, format="svg", metadata={"Date": None, "Creator": "shiftbench"})
    drawing.set_layout_engine("none")  # the SVG's layout holds for the PNG: laying out again takes half the time
    drawing.set_dpi(_PNG_DPI)
    FigureCanvasAgg(drawing).print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return Figure(name, title, caption, _compact(svg.getvalue()), png.getvalue())


def _compact(svg: str) -> str:
    """Less to load: places to a tenth of a point, no indentation, no names of parts that matplotlib only counts."""

    def rounded(places: re.Match[str]) -> str:
        return re.sub(r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.1f}", places[0])

    svg = re.sub(r'<g id="\w+_\d+">', "<g>", _PLACES.sub(rounded, svg)).replace('"DejaVuSans-', '"d-')
    return re.sub(r"\s*\n\s*", " ", svg.replace("#DejaVuSans-", "#d-")).replace("> <", "><")


def legend_below(drawing: Drawing) -> None:
    """One legend under all axes, where it covers no data: what was drawn with a label, mechanisms first."""
    drawn = [one for ax in drawing.axes for one in zip(*ax.get_legend_handles_labels(), strict=True)]
    mechanisms = {text: one[0] for one, text in drawn if isinstance(one, ErrorbarContainer)}
    entries: dict[str, Any] = dict(sorted(mechanisms.items()))
    for one, text in drawn:
        entries.setdefault(text, one)
    if entries:
        columns = 2 if max(map(len, entries)) > _WIDE_LABEL else 3
        drawing.legend(list(entries.values()), list(entries), loc="outside lower left", ncols=columns)


def further(total: int, shown: int, singular: str = "further setting", plural: str | None = None) -> str:
    """The end of a caption where not everything is drawn."""
    return f" {count_text(total - shown, singular, plural)} in the table." if total > shown else ""


def by_mechanism(frame: pd.DataFrame, *more: str) -> list[tuple[tuple[str, str, str], pd.DataFrame]]:
    """((strategy, placement, direction), its rows) in alphabetical order. more: columns that tell rows apart too."""
    return [(cast(Any, key[:3]), own) for key, own in frame.groupby([*MECHANISM, *more], sort=True)]


def intervals(ax: Axes, x: Sequence[float], found: Sequence[Interval], horizontal: bool = False, **style: Any) -> None:
    """Estimates at places ``x`` with their 95 % intervals; horizontal: places along the y axis.

    One without an interval is no finding: it is hollow and faint, and no line leads to it.
    """
    sure = any(map(known, found))
    for has, look in ((True, {}), (False, FAINT | ({"label": None} if sure else {}))):
        shown = [(place, e.mean, e.low, e.high) for place, e in zip(x, found, strict=True) if known(e) == has]
        if shown:
            places, mean, low, high = np.array(shown).T
            # an estimate and its interval may come from different estimators: never a negative length
            reach = np.maximum([mean - low, high - mean], 0.0) if has else None
            where = {"x": mean, "y": places, "xerr": reach} if horizontal else {"x": places, "y": mean, "yerr": reach}
            bars = ax.errorbar(**where, elinewidth=1.1, **style | look)
            for part in bars.get_children():  # matplotlib gives the id to the marks alone
                part.set_gid(style.get("gid"))


def mechanisms(
    ax: Axes, frame: pd.DataFrame, x: str, stem: str, palette: Palette, step: float, **style: Any
) -> list[tuple[list[Row], list[float]]]:
    """Each mechanism's estimates over column ``x``, set apart by ``step`` so that intervals do not lie on each other.

    Each fraction on its own, named in the legend, unless ``x`` is the fraction. Gives (rows, their places).
    """
    drawn = []
    groups = by_mechanism(frame, *([] if x == "fraction" else ["fraction"]))
    step = min(step, _MOST_STEPS * step / max(len(groups), 1))
    for index, (key, own) in enumerate(groups):
        found = rows(own.sort_values(x, kind="stable"))
        places = [row[x] + (index - (len(groups) - 1) / 2) * step for row in found]
        look = palette.look(*key) | style
        if x != "fraction":
            look["label"] += f", {fraction_text(found[0]['fraction'])}"
        intervals(ax, places, [estimate(row, stem) for row in found], **look)
        drawn.append((found, places))
    return drawn


def curve(ax: Axes, frame: pd.DataFrame, x: str, value: str, low: str, high: str, **style: Any) -> None:
    """A line over column ``x`` with the interval between two columns as a band; faint where there is none."""
    frame = frame.sort_values(x)
    style |= {"alpha": 0.5} if frame[low].isna().all() else {}
    ax.fill_between(frame[x], frame[low], frame[high], color=style["color"], alpha=0.16, linewidth=0, zorder=1.5)
    ax.plot(frame[x], frame[value], **style)


def band(ax: Axes, found: Interval, name: str, xmin: float = 0.0, xmax: float = 1.0) -> None:
    """The interval of a reference; xmin, xmax: in shares of the axis."""
    if known(found):
        ax.axhspan(found.low, found.high, xmin, xmax, color=BAND, linewidth=0, zorder=0.5, label=name)


def zero(ax: Axes) -> None:
    """No difference."""
    ax.axhline(0, color=INK, linewidth=0.8)


def fraction_axis(ax: Axes, fractions: Iterable[float]) -> None:
    """0 to all, linear, with a tick where something was measured."""
    ticks: list[float] = []
    for value in sorted({0.0, 1.0, *fractions}, key=lambda f: (f not in (0.0, 1.0), f)):
        if all(abs(value - other) >= 0.055 for other in ticks):  # closer labels would run into each other
            ticks.append(value)
    ax.set_xticks(ticks, [fraction_text(tick) for tick in ticks])
    ax.set_xlim(-0.04, 1.05)


def wide_overheads(ax: Axes) -> None:
    """An x axis for overheads of a few per cent beside those of hundreds; call it when all is drawn."""
    ax.set_xscale("symlog", linthresh=LINEAR_TO, linscale=0.7)
    low, high = min(1.1 * ax.dataLim.x0, -1.0), max(1.6 * ax.dataLim.x1, 2 * LINEAR_TO)
    ax.set(xlim=(low, high), xticks=[tick for tick in _WIDE_TICKS if low <= tick <= high])
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: minus_text(f"{value:g}")))
    ax.xaxis.set_minor_locator(NullLocator())


def categories(ax: Axes, names: Sequence[str], margin: float = 0.5) -> None:
    """One place for each name along the x axis."""
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-margin, len(names) - 1 + margin)
    ax.grid(axis="x", visible=False)


def comparable(frames: Iterable[pd.DataFrame]) -> bool:
    """Whether the overheads of all plots can be read on one axis."""
    reaches = [float(frame["overhead_pct"].abs().max()) for frame in frames]
    return max(reaches) <= _COMPARABLE * max(min(reaches), 0.1)


def at_least(ax: Axes, extent: float, top: float = math.inf) -> None:
    """Widen the y axis to at least ``extent``, as a closer view makes noise look like a result; end it at ``top``."""
    low, high = ax.get_ylim()
    missing = max(extent - (high - low), 0.0) / 2
    ax.set_ylim(low - missing, min(high + missing, top))
