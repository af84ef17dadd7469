"""Frame by frame: how long frames take, slow ones too, and what each mechanism costs with more and more streams."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bench.report.figures.canvas import Figure, blank, finish
from bench.report.figures.latency import line_handles
from bench.report.numbers import Estimate, channels_text, count_text, fixed, fraction_text, number
from bench.report.selection import Line, Tables, lines, online_groups, online_settings, rows
from bench.report.style import BAND, INK, MUTED, Palette, legend_below
from bench.spec.axes import BASELINE

MOST_SETTINGS = 4  # more small plots cannot be read; the table has the others
PAPER_ONLINE = 2.1  # per cent: 4.8 ms against 4.7 ms, ResNet-50, 1/8 (TSM, Table 6)
_RAREST = 0.1  # per cent of the frames; beyond it there are too few
_APART = 0.09  # of the distance between two numbers of streams
_ROOMY = 0.4  # the same where there is only one number


def online_frame_times(tables: Tables, palette: Palette) -> Figure | None:
    """For each setting: the share of frames that take longer than so many milliseconds."""
    settings = online_settings(tables.frames)
    if not settings:
        return None
    shown = settings[:MOST_SETTINGS]
    drawing, axes = _grid(len(shown))
    for ax, (words, frame) in zip(axes, shown, strict=True):
        _draw_times(ax, frame, palette)
        ax.set_title(words)
        ax.set_xlabel("frame time [ms]")
    axes[0].set_ylabel("frames that take longer [%]")
    drawn = lines(pd.concat([frame for _, frame in shown]))
    handles = line_handles([line for line in drawn if line.strategy != BASELINE], palette)
    handles.append(Line2D([], [], color=INK, label="no shift (and its twin, dashed)"))
    legend_below(drawing, handles)
    caption = (
        "How long single frames take, over all processes: a curve farther right is slower, and its lower end shows the "
        "slow frames that a stream must be able to wait for. No frame is left out. Two identical networks, line and "
        f"dashes, show what chance does to such curves.{_more(len(settings))}"
    )
    return finish(drawing, "online_frame_times", "How long a frame takes", caption)


def _draw_times(ax: Axes, frame: pd.DataFrame, palette: Palette) -> None:
    keys = ["strategy", "placement", "direction", "fraction", "aa"]
    for (strategy, placement, direction, _, twin), own in frame.groupby(keys, sort=False):
        look = palette.look(str(strategy), str(placement), str(direction))
        own = own[own["quantile_pct"] <= 100 - _RAREST]
        style = {"color": INK, "linestyle": (0, (2, 2)) if twin else "-"}
        own_style = style if strategy == BASELINE else {"color": look.colour, "linestyle": look.linestyle}
        ax.plot(own["frame_ms"], 100 - own["quantile_pct"], linewidth=1.3, **own_style)
    ax.set_yscale("log")
    ax.set_ylim(_RAREST, 100)
    ax.set_yticks([100, 10, 1, 0.1], ["100", "10", "1", "0.1"])


def online_overhead(tables: Tables, palette: Palette) -> Figure | None:
    """Overhead per frame against the number of streams, one plot for each network and device."""
    groups = online_groups(tables.online)
    if not groups:
        return None
    shown = groups[:MOST_SETTINGS]
    measured = pd.concat([frame for _, frame in shown])
    usual = _usual_share(measured)
    drawing, axes = _grid(len(shown))
    for ax, (words, frame) in zip(axes, shown, strict=True):
        _draw_overhead(ax, frame, usual, palette)
        ax.set_title(words)
    axes[0].set_ylabel("overhead per frame [%]")
    drawn = [line for line in lines(measured) if line.strategy != BASELINE]
    handles: list[Line2D | Patch] = line_handles(drawn, palette)
    handles.append(Patch(color=BAND, label="A/A: two identical networks"))
    if any(frame["backbone"].iloc[0] == "resnet50" for _, frame in shown):
        text = f"paper: {PAPER_ONLINE:g} % (4.8 against 4.7 ms)"
        handles.append(Line2D([], [], color=MUTED, linewidth=1.4, label=text))
    legend_below(drawing, handles)
    caption = (
        "Extra time per frame against the network without a shift, frame by frame too, with 95 % intervals, moving "
        f"{channels_text(usual)} where nothing else is written. Streams are fed together, one frame of each; "
        "the time below each number is what the network without a shift takes for all of them. Points are set slightly "
        f"apart.{_more(len(groups))}"
    )
    return finish(drawing, "online_overhead", "What the shift costs frame by frame", caption)


def _draw_overhead(ax: Axes, frame: pd.DataFrame, usual: float, palette: Palette) -> None:
    counts = sorted({int(count) for count in frame["streams"]})
    margin, apart = (0.5, _APART) if len(counts) > 1 else (1.5, _ROOMY)
    base = frame[frame["strategy"] == BASELINE]
    for row in rows(base[base["aa"].astype(bool)]):
        control, place = Estimate.of(row, "overhead"), counts.index(int(row["streams"]))
        if control.has_interval:
            band = [place - 0.8 * margin, place + 0.8 * margin]
            ax.fill_between(band, control.low, control.high, color=BAND, linewidth=0, zorder=0.5)
    ax.axhline(0, color=INK, linewidth=0.8)
    if frame["backbone"].iloc[0] == "resnet50":
        ax.axhline(PAPER_ONLINE, color=MUTED, linewidth=1.4, zorder=0.8)
    drawn = [(line, share) for line in lines(frame) if line.strategy != BASELINE for share in _shares(line)]
    for index, (line, share) in enumerate(drawn):
        x, top = _draw_line(ax, line, share, counts, (index - (len(drawn) - 1) / 2) * apart, palette)
        if share != usual:
            text, above = fraction_text(share), (0, 2.5)
            ax.annotate(text, (x, top), above, textcoords="offset points", fontsize=7.5, ha="center", va="bottom")
    taken = {int(row["streams"]): number(row["frame_ms"]) for row in rows(base[~base["aa"].astype(bool)])}
    ax.set_xticks(range(len(counts)), [f"{count}\n{fixed(taken.get(count, math.nan))} ms" for count in counts])
    ax.set_xlim(-margin, len(counts) - 1 + margin)
    ax.grid(axis="x", visible=False)
    ax.set_xlabel("streams")


def _shares(line: Line) -> list[float]:
    return sorted({number(row["fraction"]) for row in line.rows})


def _usual_share(frame: pd.DataFrame) -> float:
    """The one that most rows move."""
    moved = frame.loc[frame["strategy"] != BASELINE, "fraction"].mode()
    return float(moved.iloc[0]) if len(moved) else math.nan


def _draw_line(
    ax: Axes, line: Line, share: float, counts: Sequence[int], offset: float, palette: Palette
) -> tuple[float, float]:
    """Gives the upper end of the last interval, for what is written above it."""
    own = sorted((row for row in line.rows if number(row["fraction"]) == share), key=lambda row: int(row["streams"]))
    known = [Estimate.of(row, "overhead") for row in own]
    reach = [[e.value - e.low, e.high - e.value] if e.has_interval else [0.0, 0.0] for e in known]
    x = [counts.index(int(row["streams"])) + offset for row in own]
    look = palette.look(line.strategy, line.placement, line.direction).line()
    ax.errorbar(x, [e.value for e in known], yerr=np.array(reach).T, capsize=2.5, elinewidth=1.1, **look)
    return x[-1], known[-1].value + reach[-1][1]


def _grid(count: int) -> tuple[Drawing, list[Axes]]:
    columns = min(count, 2)
    lines_of = math.ceil(count / columns)
    drawing = blank(7.2, 2.7 * lines_of + 0.9)
    axes = drawing.subplots(lines_of, columns, squeeze=False)
    for ax in axes.flat[count:]:
        ax.remove()
    return drawing, list(axes.flat[:count])


def _more(total: int) -> str:
    left = total - MOST_SETTINGS
    return f" {count_text(left, 'further setting')} in the table." if left > 0 else ""
