"""One look for all figures: a colour says which mechanism, a line style and marker which placement and direction.

Colours are those of Okabe and Ito (2008), which stay apart for colour-blind readers; their yellow is left out, as it
cannot be read on white. Text is drawn as paths, so that labels keep their width whatever fonts a reader has.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib import rc_params_from_file
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from matplotlib.ft2font import FT2Font

from bench.report.numbers import fraction_text
from bench.report.selection import line_text
from bench.spec.axes import BASELINE

INK = "#1a1a1a"
MUTED = "#666666"
BAND = "#d9d9d9"
ALARM = "#b3261e"  # what a rule calls disturbed; no strategy has this colour

BUILT_IN = {BASELINE: INK, "copy_shift": "#D55E00", "concat_shift": "#E69F00", "buffer_shift": "#0072B2"}
REMAINING = ("#009E73", "#CC79A7", "#56B4E9", "#7a5c00", "#7F7F7F")
_LINES: dict[tuple[str, str], tuple[Any, str]] = {
    ("residual", "bidirectional"): ("-", "o"),
    ("inplace", "bidirectional"): ((0, (4, 1.8)), "s"),
    ("residual", "unidirectional"): ((0, (5, 1.5, 1, 1.5)), "^"),
    ("inplace", "unidirectional"): ((0, (1, 1.5)), "D"),
}
LONGEST_NAME = 26  # characters of a plug-in's name that fit into half a legend
_WIDE_LABEL = 24  # three columns of longer labels would be wider than the figure

RC: Any = rc_params_from_file(Path(__file__).with_name("templates") / "figures.mplstyle", use_default_template=False)
UNJOINED: Any = {"linestyle": "none"}
"""Makes points of a line's look."""


@dataclass(frozen=True)
class Palette:
    """A colour for every strategy of a run, the same in all its figures. hollow: strategies told apart by that."""

    colours: dict[str, str]
    hollow: frozenset[str]

    @classmethod
    def of(cls, names: Iterable[str]) -> "Palette":
        """Built-in strategies keep their colour; plug-ins take what remains, then the same again as hollow marks."""
        plugins = sorted(set(names) - BUILT_IN.keys())
        colours = {name: REMAINING[i % len(REMAINING)] for i, name in enumerate(plugins)}
        return cls({**BUILT_IN, **colours}, frozenset(plugins[len(REMAINING) :]))

    def look(self, strategy: str, placement: str, direction: str) -> dict[str, Any]:
        """A mechanism's keywords for ``Axes.plot`` and ``errorbar``, with its name in the legend as ``label``."""
        colour = self.colours.get(strategy, MUTED)
        linestyle, marker = _LINES.get((placement, direction), ("-", "o"))
        return {
            "color": colour,
            "linestyle": linestyle,
            "marker": marker,
            "markerfacecolor": "white" if strategy in self.hollow else colour,
            "markeredgecolor": colour,
            "label": line_text(label(strategy), placement, direction),
        }


@cache
def _drawable() -> frozenset[int]:
    return frozenset(FT2Font(findfont("DejaVu Sans")).get_charmap())


def drawable(text: str) -> str:
    """As the font can draw it."""
    return "".join(c if ord(c) in _drawable() and c.isprintable() else "?" for c in text)


def label(text: str) -> str:
    """A name as the font can draw it: one line, of bounded length, and not hidden by a leading underscore."""
    shown = drawable(text)
    shown = f" {shown}" if shown.startswith("_") else shown
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"


def fraction_axis(ax: Axes, fractions: Iterable[float]) -> None:
    """0 to all, linear, with a tick where something was measured."""
    ticks: list[float] = []
    for value in sorted({0.0, 1.0, *fractions}, key=lambda f: (f not in (0.0, 1.0), f)):
        if all(abs(value - other) >= 0.055 for other in ticks):  # closer labels would run into each other
            ticks.append(value)
    ax.set_xticks(ticks, [fraction_text(tick) for tick in ticks])
    ax.set_xlim(-0.04, 1.05)


def legend_below(fig: Figure, handles: Sequence[Any] = ()) -> None:
    """One legend under all axes, where it covers no data: what was drawn with a label, mechanisms first."""
    drawn = [(str(one.get_label()), one) for one in handles]
    for ax in fig.axes:
        drawn += [(text, one) for one, text in zip(*ax.get_legend_handles_labels(), strict=True)]
    mechanisms = {text: one[0] for text, one in drawn if isinstance(one, ErrorbarContainer)}
    entries: dict[str, Any] = dict(sorted(mechanisms.items()))
    for text, one in drawn:
        entries.setdefault(text, one)
    if entries:
        columns = 2 if max(map(len, entries)) > _WIDE_LABEL else 3
        fig.legend(list(entries.values()), list(entries), loc="outside lower left", ncols=columns)
