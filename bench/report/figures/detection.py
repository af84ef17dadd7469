"""Detection: what each form of the detector finds, by speed; and frames in which one finds what another misses."""

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bench.data.motion_iou import iou
from bench.report.figures.canvas import Figure, at_most, blank, finish
from bench.report.numbers import Estimate, channels_text, count_text, fraction_text, number
from bench.report.selection import Row, Tables, whole_forms
from bench.report.style import INK, MUTED, Palette, label, legend_below
from bench.spec.axes import BASELINE
from bench.store.samples import SPEEDS

_GROUPS = ("map", *(f"map_{speed}" for speed in SPEEDS))
_APART = 0.8  # of the distance between two groups, shared by the forms
_PAPER = {"map": (74.7, 76.3), "map_slow": (83.6, 83.4), "map_medium": (72.5, 74.8), "map_fast": (51.4, 56.0)}
_MATCHED = 0.5  # IoU from which an object counts as found
_SURE = 0.4  # score from which a detection is drawn and counts; an average precision has no such score
_EACH_WAY = 3  # frames in which the one finds what the other misses, and as many the other way round


def detection(tables: Tables, palette: Palette) -> Figure | None:
    """Mean average precision of every form, of all objects and by speed, beside the paper's gain."""
    if tables.detection.empty:
        return None
    forms = whole_forms(tables.detection)
    if not forms:
        return None
    drawing = blank(7.2, 3.4)
    left, right = drawing.subplots(1, 2, width_ratios=[3, 2])
    handles = []
    for index, row in enumerate(forms):
        look = palette.look(str(row["strategy"]), str(row["placement"]), str(row["direction"]))
        colour, marker = (INK, "o") if row["strategy"] == BASELINE else (look.colour, look.marker)
        style = {"color": colour, "marker": marker, "linestyle": "none", "capsize": 2.5, "elinewidth": 1.1}
        offset = (index - (len(forms) - 1) / 2) * _APART / max(len(forms), 3)
        _points(left, row, "", offset, style)
        if row["strategy"] != BASELINE:
            _points(right, row, "_delta", offset, style)
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="none", label=_name(row)))
    gains = [after - before for before, after in _PAPER.values()]
    right.plot(range(len(_GROUPS)), gains, marker="_", markersize=18, linestyle="none", color=MUTED, zorder=0.8)
    handles.append(Line2D([], [], marker="_", markersize=12, linestyle="none", color=MUTED, label="paper, online"))
    right.axhline(0, color=INK, linewidth=0.8)
    names = ["all", *SPEEDS]
    for ax in (left, right):
        ax.set_xticks(range(len(names)), names)
        ax.set_xlim(-0.6, len(names) - 0.4)
        ax.grid(axis="x", visible=False)
    left.set_ylabel("mean average precision at IoU 0.5 [%]")
    right.set_ylabel("against frame by frame [points]")
    at_most(left, 100.0)
    legend_below(drawing, handles)
    caption = (
        "What each form of the detector finds, of all objects and by their speed, and the differences to frame by "
        "frame, paired by seed, with 95 % intervals, which hold one at a time. The paper's gains are those of R-FCN "
        "with ResNet-101 on ImageNet-VID: other objects, other clips."
    )
    return finish(drawing, "detection", "What a running detector finds", caption)


def _points(ax: Axes, row: Row, ending: str, offset: float, style: dict[str, Any]) -> None:
    known = [Estimate.of(row, f"{group}{ending}", f"{group}{ending}_pct") for group in _GROUPS]
    reach = [[e.value - e.low, e.high - e.value] if e.has_interval else [0.0, 0.0] for e in known]
    x = [place + offset for place in range(len(_GROUPS))]
    ax.errorbar(x, [e.value for e in known], yerr=np.array(reach).T, **style)


def _name(row: Row) -> str:
    if row["strategy"] == BASELINE:
        return "frame by frame"
    return f"{row['form']}: {label(str(row['strategy']))}, {fraction_text(number(row['fraction']))}"


@dataclass(frozen=True)
class _Seen:
    """One frame: grey [H, W], objects (box, class) and what one form found (box, class, score)."""

    grey: NDArray[np.uint8]
    truth: list[tuple[list[float], int]]
    found: list[tuple[list[float], int, float]]

    @property
    def missed(self) -> frozenset[int]:
        """Objects of which no sure detection has the class and half the area in common."""
        return frozenset(
            number
            for number, (box, kind) in enumerate(self.truth)
            if not any(own == kind and _overlap(box, other) >= _MATCHED for other, own, _ in self.found)
        )


def detection_examples(tables: Tables, palette: Palette) -> Figure | None:
    """Frames in which online finds what frame by frame misses, and the other way round."""
    pair_of_forms = _two_forms(tables.detection_examples)
    if pair_of_forms is None:
        return None
    plain, online = pair_of_forms
    pairs = list(zip(_frames(plain["examples"]), _frames(online["examples"]), strict=True))
    gained = [pair for pair in pairs if pair[0].missed > pair[1].missed]  # all that one finds, and more
    lost = [pair for pair in pairs if pair[0].missed < pair[1].missed]
    shown, more = [*gained[:_EACH_WAY], *lost[:_EACH_WAY]], min(len(gained), _EACH_WAY)
    if not shown:
        return None
    drawing = blank(7.2, 3.3)
    axes = drawing.subplots(2, len(shown), squeeze=False)
    for column, pair in enumerate(shown):
        for ax, seen, name in zip(axes[:, column], pair, ("frame by frame", "online"), strict=True):
            _show(ax, seen)
            if not column:
                ax.set_ylabel(name)
        axes[0, column].set_title("online finds more" if column < more else "online finds less", fontsize=8)
    handles = [
        Line2D([], [], color=_THERE, linestyle="--", label="what is there (class)"),
        Line2D([], [], color=_FOUND, label=f"found (class, score from {_SURE:g})"),
    ]
    legend_below(drawing, handles)
    caption = (
        "The last frames of test clips, as the camera shows them, with what is to be found (dashed) and what each form "
        f"found. Of {count_text(len(pairs), 'frame')}, online ({label(str(online['strategy']))}, "
        f"{channels_text(number(online['fraction']))}) finds all that frame by frame finds and more in {len(gained)}, "
        f"less in {len(lost)}; here are the first of both, in the order of the clips. An "
        "illustration: with another score to count from these are other frames; the averages are in the figure before."
    )
    return finish(drawing, "detection_examples", "What one form finds and the other misses", caption)


def _two_forms(examples: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Frame by frame and online, of one seed: what they saw is the same."""
    for plain in (example for example in examples if example["form"] == "frame by frame"):
        for other in examples:
            if other["form"] == "online" and other["seed"] == plain["seed"]:
                return plain, other
    return None


_SAME = 0.6  # IoU from which two classes stand in one place
_LABEL = 6  # px that a label is high
_THERE, _FOUND = "#E69F00", "#56B4E9"


def _show(ax: Axes, seen: _Seen) -> None:
    ax.imshow(seen.grey, cmap="gray", vmin=0, vmax=255)
    for box, kind in seen.truth:
        ax.add_patch(_frame(box, _THERE, "--"))
        ax.text(box[2], box[3] + 1, f"{kind}", color=_THERE, fontsize=6, ha="right", va="top")
    for box, said in _by_place(seen.found):
        ax.add_patch(_frame(box, _FOUND, "-"))
        inside = box[1] < _LABEL
        right = box[0] + box[2] > seen.grey.shape[1]
        ax.text(
            box[2] if right else box[0],
            box[1] + (0 if inside else -1),
            said,
            color=_FOUND,
            fontsize=6,
            ha="right" if right else "left",
            va="top" if inside else "bottom",
        ).set_in_layout(False)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)


def _by_place(found: list[tuple[list[float], int, float]]) -> list[tuple[list[float], str]]:
    """(box, what is said of it): classes that were found in one place are said of the surest one's box."""
    places: list[tuple[list[float], list[str]]] = []
    for box, kind, score in sorted(found, key=lambda one: -one[2]):
        said = f"{kind} {score:.1f}"
        same = next((known for other, known in places if _overlap(box, other) >= _SAME), None)
        if same is None:
            places.append((box, [said]))
        else:
            same.append(said)
    return [(box, ", ".join(said)) for box, said in places]


def _frame(box: list[float], colour: str, dashes: str) -> Rectangle:
    left, top, right, bottom = box
    return Rectangle(
        (left - 0.5, top - 0.5),
        right - left,
        bottom - top,
        fill=False,
        edgecolor=colour,
        linestyle=dashes,
        linewidth=1.2,
    )


def _frames(examples: dict[str, Any]) -> list[_Seen]:
    grey = np.frombuffer(zlib.decompress(base64.b85decode(examples["grey"])), np.uint8).reshape(examples["shape"])
    return [
        _Seen(
            picture,
            list(zip(truth["boxes"], truth["labels"], strict=True)),
            [
                (box, kind, score)
                for box, kind, score in zip(found["boxes"], found["labels"], found["scores"], strict=True)
                if score >= _SURE
            ],
        )
        for picture, truth, found in zip(grey, examples["truth"], examples["found"], strict=True)
    ]


def _overlap(first: list[float], second: list[float]) -> float:
    return float(iou(np.array(first, np.float32), np.array(second, np.float32)))
