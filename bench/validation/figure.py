"""The validation as a picture: do identical stacks look identical, and do built-in effects come out again?"""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bench.report.figures.canvas import Figure, at_least, blank, finish
from bench.report.numbers import fixed
from bench.report.style import BAND, BUILT_IN, INK, RC, REMAINING, legend_below
from bench.validation.findings import Effect, Validation
from bench.validation.words import RECOVERED_WITHIN

NAME = "validation"
_HELD, _MISSED = BUILT_IN["buffer_shift"], BUILT_IN["copy_shift"]  # blue and vermilion stay apart for everybody
_NOTHING = REMAINING[1]
_GROUPS_FROM, _GROUPS_TO, _ALL_AT = -0.36, 0.18, 0.34  # beside an effect's place, in units of the distance of two
_HEADROOM = 1.15  # of the widest interval


def draw(validation: Validation) -> Figure:
    """Left the A/A intervals, sorted; right what was recovered, less what was built in."""
    with matplotlib.rc_context(RC):
        drawing = blank(7.2, 4.2)
        left, right = drawing.subplots(1, 2, width_ratios=[1, 1.25])
        _caterpillar(left, validation)
        _recovered(right, validation)
        legend_below(drawing, _handles())
        return finish(drawing, NAME, "The harness against known effects", _caption(validation))


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], color=_HELD, label="95 % interval of an experiment"),
        Line2D([], [], color=_MISSED, label="one that misses the truth"),
        Line2D([], [], color=INK, marker="o", label="all processes together"),
        Line2D([], [], color=_NOTHING, linestyle=(0, (3, 1.5)), label="where no effect would lie"),
    ]


def _caterpillar(ax: Axes, validation: Validation) -> None:
    pairs = sorted(validation.pairs, key=lambda pair: pair.interval.mean)
    for place, pair in enumerate(pairs):
        colour = _HELD if pair.holds_zero else _MISSED
        ax.plot([pair.interval.low, pair.interval.high], [place, place], color=colour, linewidth=1.3, alpha=0.8)
        ax.plot([pair.interval.mean], [place], "o", color=colour, markersize=2.4)
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_ylim(-1, len(pairs))
    ax.set_xlabel("difference of two identical stacks [%]")
    held = validation.aa_held
    ax.set_title(f"A/A: {held.count} of {held.total} intervals hold zero")


def _recovered(ax: Axes, validation: Validation) -> None:
    """The differences to the truth: on the scale of 10 % nobody could see half a point."""
    ax.axhspan(-RECOVERED_WITHIN, RECOVERED_WITHIN, color=BAND, linewidth=0, zorder=0.5)
    ax.axhline(0, color=INK, linewidth=0.8)
    for place, effect in enumerate(validation.effects):
        _one_effect(ax, place, effect)
    widest = max((abs(end) for effect in validation.effects for end in _ends(effect)), default=1.0)
    ax.set_ylim(-_HEADROOM * widest, _HEADROOM * widest)
    at_least(ax, 4 * RECOVERED_WITHIN)
    names = [f"{effect.name}\n{fixed(effect.truth_pct, 2)} %" for effect in validation.effects]
    ax.set_xticks(range(len(names)), names)
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.grid(axis="x", visible=False)
    ax.set_ylabel("recovered less built in [points]")
    ax.set_title(f"Built-in effects (grey: ±{RECOVERED_WITHIN} points)")


def _one_effect(ax: Axes, place: int, effect: Effect) -> None:
    count = len(effect.groups)
    apart = place + np.linspace(_GROUPS_FROM, _GROUPS_TO, count)
    for x, group in zip(apart, effect.groups, strict=True):
        low, high = group.low - effect.truth_pct, group.high - effect.truth_pct
        ax.plot([x, x], [low, high], color=_HELD if low <= 0 <= high else _MISSED, linewidth=1.3, alpha=0.8)
    middle, bias = place + _ALL_AT, effect.bias
    ax.plot([middle, middle], [bias.low, bias.high], color=INK, linewidth=2.4)
    ax.plot([middle], [bias.mean], "o", color=INK, markersize=4.5)
    reach = [place - 0.42, place + 0.42]  # as wide as its groups
    ax.plot(reach, [-effect.truth_pct] * 2, color=_NOTHING, linestyle=(0, (3, 1.5)), scaley=False)


def _ends(effect: Effect) -> list[float]:
    groups = [end - effect.truth_pct for group in effect.groups for end in (group.low, group.high)]
    return [end for end in [*groups, effect.bias.low, effect.bias.high] if np.isfinite(end)]


def _caption(validation: Validation) -> str:
    return (
        f"Each line is one experiment of {validation.group_size} fresh processes. Left: pairs of identical stacks, "
        "whose difference is zero; one interval in twenty may miss it. Right: stacks that are deeper by known numbers "
        "of layers, and one that burns a known time; a group whose interval lies above its dashed line has found the "
        "effect as positive."
    )
