"""The figure: every estimate of every tool, and the truth."""

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from bench.report.figures.canvas import INK, MUTED, RC, Figure, blank, finish
from bench.report.numbers import fixed
from tests.harnesses.cases import EFFECTS, SAME, THREE
from tests.harnesses.readings import Reading
from tests.harnesses.summary import Trials
from tests.harnesses.tools import OURS, PYPERF, TORCH, TURNS

_COLOURS = {TORCH: "#E69F00", TURNS: "#009E73", PYPERF: "#D55E00", OURS: "#0072B2"}
_TITLES = {SAME: "A/A: two identical stacks", THREE: "206 layers against 200"}
_HALF_ROW = 0.33  # of the distance between two tools: where a tool's trials are spread, the first round on top
_LINEAR = (
    10.0  # points: where an error is larger, the axis is logarithmic beyond one point, or the small ones would merge
)


def estimates(trials: Trials, truths: dict[str, float]) -> Figure:
    """A panel per effect, a row per tool, a dot per trial: how far its estimate lies from the truth."""
    used = list(trials[0])
    off = [abs(trial[tool][effect].value - truths[effect]) for trial in trials for tool in used for effect in EFFECTS]
    reach = 1.1 * max(*off, 0.5)
    with matplotlib.rc_context(RC):
        drawing = blank(7.2, 3.3)
        axes = drawing.subplots(1, len(EFFECTS), sharey=True, squeeze=False)[0]
        spread = np.linspace(-_HALF_ROW, _HALF_ROW, len(trials)) if len(trials) > 1 else np.zeros(1)
        for ax, effect in zip(axes, EFFECTS, strict=True):
            ax.axvline(0, color=INK, linewidth=1.0)
            for place, tool in enumerate(used):
                for shift, trial in zip(spread, trials, strict=True):
                    _dot(ax, trial[tool][effect], truths[effect], place + shift, _COLOURS[tool])
            if reach > _LINEAR:
                ax.set_xscale("symlog", linthresh=1.0)
                ticks = [sign * 10**power for power in range(int(np.log10(reach)) + 1) for sign in (-1, 1)]
                ax.set_xticks([0, *ticks], [f"{tick:g}" for tick in (0, *ticks)])
                ax.xaxis.set_minor_locator(NullLocator())
            ax.set_xlim(-reach, reach)
            ax.set_title(f"{_TITLES[effect]} (truth: {fixed(truths[effect], 2)} %)")
            ax.set_xlabel("estimate minus truth [points]")
            ax.grid(axis="y", visible=False)
        axes[0].set_yticks(range(len(used)), used)
        axes[0].set_ylim(len(used) - 0.4, -0.6)
        return finish(
            drawing, "estimates", f"{len(used)} tools, two known effects", _caption(logarithmic=reach > _LINEAR)
        )


def _dot(ax: Axes, reading: Reading, truth: float, y: float, colour: str) -> None:
    if reading.has_interval:
        ax.plot([reading.low - truth, reading.high - truth], [y, y], color=MUTED, linewidth=0.8, alpha=0.7)
    ax.plot([reading.value - truth], [y], "o", color=colour, markersize=4, markeredgewidth=0)


def _caption(*, logarithmic: bool) -> str:
    return (
        "Every dot is one trial, from the first round (top of a row) to the last; the vertical line is the truth; a "
        "grey line is the trial's own 95 % interval, where the tool gives one or one could be derived, cut off at the "
        "edge." + (" The axis is logarithmic beyond one point on either side." if logarithmic else "")
    )
