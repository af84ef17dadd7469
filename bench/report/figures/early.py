"""Early recognition: accuracy against the share of the clip that has been seen."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bench.report.figures.accuracy import HIGHEST, seeds_text
from bench.report.figures.canvas import Figure, at_least, at_most, blank, finish
from bench.report.figures.curves import LEAST_RANGE, PARTS
from bench.report.numbers import channels_text, number
from bench.report.selection import Row, Tables, arms_that_stream, line_text, main_condition, rows
from bench.report.style import INK, Palette, label, legend_below
from bench.spec.axes import BASELINE

_DASHES: Sequence[object] = ("-", (0, (4, 1.8)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))


def early_recognition(tables: Tables, palette: Palette) -> Figure | None:
    """Joint, spatial and temporal accuracy of the causal arms of the main condition, frame by frame."""
    arms = [rows(arm) for arm in arms_that_stream(tables.early)]
    if not arms:
        return None
    early = main_condition(tables.early)
    base = rows(early[early["strategy"] == BASELINE].sort_values("frame"))
    drawing = blank(7.2, 3.2)
    axes = drawing.subplots(1, len(PARTS), squeeze=False, sharex=True)[0]
    handles = []
    styles: dict[str, int] = {}
    for arm in arms:
        first = arm[0]
        colour = palette.look(first["strategy"], first["placement"], first["direction"]).colour
        dashes = _DASHES[styles.setdefault(first["strategy"], 0) % len(_DASHES)]
        styles[first["strategy"]] += 1
        for ax, part in zip(axes, PARTS, strict=True):
            _course(ax, arm, part, colour, dashes)
        name = f"{line_text(label(first['strategy']), first['placement'], 'bidirectional')}, "
        handles.append(
            Line2D([], [], color=colour, linestyle=dashes, label=name + channels_text(number(first["fraction"])))  # type: ignore[arg-type]
        )
    if base:
        for ax, part in zip(axes, PARTS, strict=True):
            _course(ax, base, part, INK, "-")
        handles.append(Line2D([], [], color=INK, label="no shift"))
    for ax, part in zip(axes, PARTS, strict=True):
        ax.set_title(PARTS[part])
        ax.set_xlabel("share of the clip seen [%]")
        at_least(ax, LEAST_RANGE)
        at_most(ax, HIGHEST)
    axes[0].set_ylabel("accuracy [%]")
    legend_below(drawing, handles)
    caption = (
        "What a running stream would predict after each frame of a test clip: the class of the average of the logits "
        f"so far ({seeds_text(tables.early)}, 95 % intervals as bands). Only networks that look at the past alone are "
        "shown. At its end the network without a shift has seen the same frames in every order; before that, which of "
        "them came first may tell it something."
    )
    return finish(drawing, "early_recognition", "How early it knows", caption)


def _course(ax: Axes, frames: Sequence[Row], part: str, colour: str, dashes: object) -> None:
    seen = [number(row["seen_pct"]) for row in frames]
    mean, low, high = ([number(row[f"{part}_{end}_pct"]) for row in frames] for end in ("mean", "ci_low", "ci_high"))
    ax.fill_between(seen, low, high, color=colour, alpha=0.16, linewidth=0, zorder=1.5)
    ax.plot(seen, mean, color=colour, marker="o", markersize=3, linewidth=1.4, linestyle=dashes)
