"""Detection: average precision by the speed of the objects, and frames in which one form finds what another misses."""

import base64
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from bench.analysis.run import Analysis
from bench.report.figures import canvas
from bench.report.figures.canvas import MUTED, UNJOINED, WIDTH, Drawn, Palette, label
from bench.report.numbers import channels_text, count_text, estimate, fraction_text
from bench.report.selection import Row, mechanism_of, whole_arms
from bench.store.samples import MEASURES, SPEEDS

PAPER_GAINS = (1.6, -0.2, 2.3, 4.6)  # pp, of all objects and by speed: R-FCN, ImageNet-VID, online (TSM, Table 7)
_APART = 0.8  # of the distance between two measures, shared by the forms
_MATCHED = 0.5  # IoU from which an object counts as found
_CONFIDENT = 0.4  # score from which a detection is drawn and counts; an average precision has no such score
_EACH_WAY = 3  # frames in which one form finds what the other misses, and as many the other way round
_ONE_PLACE = 0.6  # IoU from which two detections share a label
_TRUTH, _FOUND = "#E69F00", "#56B4E9"


def detection(run: Analysis, palette: Palette) -> Drawn:
    """Mean average precision of every form, of all objects and by speed, and the gains beside the paper's."""
    forms = whole_arms(run.detection)
    if not forms:
        return None
    drawing = canvas.blank(WIDTH, 3.4)
    left, right = drawing.subplots(1, 2, width_ratios=[3, 2])
    for index, row in enumerate(forms):
        name = f"{row['form']}: {label(row['strategy'])}, {fraction_text(row['fraction'])}"
        name = name if row["fraction"] else "frame by frame"
        style = palette.look(*mechanism_of(row)) | UNJOINED | {"label": name}
        offset = (index - (len(forms) - 1) / 2) * _APART / max(len(forms), 3)
        places = [place + offset for place in range(len(MEASURES))]
        canvas.intervals(left, places, [estimate(row, measure) for measure in MEASURES], **style)
        if row["fraction"]:
            canvas.intervals(right, places, [estimate(row, f"{measure}_delta") for measure in MEASURES], **style)
    paper = {"marker": "_", "markersize": 16, "linestyle": "none", "color": MUTED, "zorder": 0.8}
    right.plot(range(len(PAPER_GAINS)), PAPER_GAINS, label="paper, online", **paper)
    canvas.zero(right)
    for ax in (left, right):
        canvas.categories(ax, ["all", *SPEEDS], margin=0.6)
    left.set_ylabel("mean average precision at IoU 0.5 [%]")
    right.set_ylabel("difference to frame by frame [pp]")
    canvas.at_least(left, 0.0, top=100.0)
    return drawing, {}


@dataclass(frozen=True)
class _View:
    """One frame as one form sees it: grey [H, W], objects (box, class) and detections (box, class, score)."""

    grey: NDArray[np.uint8]
    objects: list[tuple[Bbox, int]]
    detections: list[tuple[Bbox, int, float]]

    @property
    def missed(self) -> set[int]:
        """Objects without a detection of their class that overlaps them."""
        return {
            index
            for index, (box, kind) in enumerate(self.objects)
            if not any(kind == other and _iou(box, found) >= _MATCHED for found, other, _ in self.detections)
        }


def detection_examples(run: Analysis, palette: Palette) -> Drawn:
    """Frames in which online finds what frame by frame misses, and the other way round."""
    forms = _two_forms(run.detection_examples)
    if forms is None:
        return None
    pairs = list(zip(*(_views(form["examples"]) for form in forms), strict=True))
    gained = [(pair, "online finds more") for pair in pairs if pair[0].missed > pair[1].missed]
    lost = [(pair, "online finds less") for pair in pairs if pair[0].missed < pair[1].missed]
    shown = [*gained[:_EACH_WAY], *lost[:_EACH_WAY]]
    if not shown:
        return None
    drawing = canvas.blank(WIDTH, 3.3)
    axes = drawing.subplots(2, len(shown), squeeze=False)
    for column, (pair, title) in zip(axes.T, shown, strict=True):
        for ax, view in zip(column, pair, strict=True):
            _draw(ax, view)
        column[0].set_title(title, fontsize=8)
    axes[0, 0].set_ylabel("frame by frame")
    axes[1, 0].set_ylabel("online")
    axes[0, 0].plot([], [], color=_TRUTH, linestyle="--", label="object (class)")
    axes[0, 0].plot([], [], color=_FOUND, label=f"detection (class, score from {_CONFIDENT:g})")
    online = f"{label(forms[1]['strategy'])}, {channels_text(forms[1]['fraction'])}"
    frames = count_text(len(pairs), "frame")
    return drawing, {"frames": frames, "online": online, "more": len(gained), "less": len(lost)}


def _two_forms(examples: Sequence[Row]) -> tuple[Row, Row] | None:
    """Frame by frame and online, of one seed: what they saw is the same."""
    online = {example["seed"]: example for example in reversed(examples) if example["form"] == "online"}
    both = [(one, online[one["seed"]]) for one in examples if one["form"] == "frame by frame" and one["seed"] in online]
    return both[0] if both else None


def _views(examples: Row) -> Iterator[_View]:
    grey = np.frombuffer(zlib.decompress(base64.b85decode(examples["grey"])), np.uint8).reshape(examples["shape"])
    for picture, truth, found in zip(grey, examples["truth"], examples["found"], strict=True):
        truth_boxes, found_boxes = ([Bbox.from_extents(*box) for box in one["boxes"]] for one in (truth, found))
        detections = zip(found_boxes, found["labels"], found["scores"], strict=True)
        confident = sorted((one for one in detections if one[2] >= _CONFIDENT), key=lambda one: -one[2])
        yield _View(picture, list(zip(truth_boxes, truth["labels"], strict=True)), confident)


def _draw(ax: Axes, view: _View) -> None:
    ax.imshow(view.grey, cmap="gray", vmin=0, vmax=255)
    for box, kind in view.objects:
        _draw_box(ax, box, _TRUTH, "--")
        ax.text(box.x1, box.y1 + 1, f"{kind}", color=_TRUTH, fontsize=6, ha="right", va="top")
    places: dict[int, list[str]] = {}  # {the surest detection in one place: what is written there}
    for index, (box, kind, score) in enumerate(view.detections):
        place = next((one for one in places if _iou(view.detections[one][0], box) >= _ONE_PLACE), index)
        places.setdefault(place, []).append(f"{kind} {score:.1f}")
    for place, texts in places.items():
        box = view.detections[place][0]
        _draw_box(ax, box, _FOUND, "-")
        # inside the picture: below the top edge where that is near (6 px), and to the left near the right edge
        y, va = (box.y0, "top") if box.y0 < 6 else (box.y0 - 1, "bottom")
        x, ha = (box.x1, "right") if box.x0 + box.x1 > view.grey.shape[1] else (box.x0, "left")
        ax.text(x, y, ", ".join(texts), color=_FOUND, fontsize=6, ha=ha, va=va, in_layout=False)
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)


def _draw_box(ax: Axes, box: Bbox, colour: str, dashes: str) -> None:
    corner = (box.x0 - 0.5, box.y0 - 0.5)  # a pixel's middle is at a whole number
    ax.add_patch(
        Rectangle(corner, box.width, box.height, fill=False, edgecolor=colour, linestyle=dashes, linewidth=1.2)
    )


def _iou(first: Bbox, second: Bbox) -> float:
    """Intersection over union."""
    both = Bbox.intersection(first, second)
    shared = both.width * both.height if both else 0.0
    union = first.width * first.height + second.width * second.height - shared
    return shared / union if union > 0 else 0.0
