"""From a drawing to the bytes on disk; labels that stay clear of what is drawn."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.transforms import Bbox

PNG_DPI = 160
_POINTS_PER_INCH = 72
_GAP = 3.0  # points between a mark and its label
_DISTANCES = (1.0, 2.4, 4.0)  # beside the mark, or farther off with a thin line that says whose label it is
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


@dataclass(frozen=True)
class Figure:
    """A finished figure. caption: what is seen and how to read it, in words."""

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


@dataclass(frozen=True)
class Mark:
    """A point that wants a label. x_ends, y_ends: its error bars, in data units."""

    x: float
    y: float
    text: str
    colour: str
    x_ends: tuple[float, float] | None = None
    y_ends: tuple[float, float] | None = None


def blank(width: float, height: float) -> Drawing:
    """An empty drawing (inches) with room made for legends; no window system, no global state."""
    drawing = Drawing(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(drawing)
    return drawing


def finish(drawing: Drawing, name: str, title: str, caption: str) -> Figure:
    """Render to SVG and PNG. The same drawing gives the same bytes: no date, no random ids."""
    svg, png = io.StringIO(), io.BytesIO()
    drawing.savefig(svg, format="svg", metadata={"Date": None, "Creator": "shiftbench"})
    drawing.set_layout_engine("none")  # the places found for the SVG hold for the PNG: twice as fast, and the same
    drawing.set_dpi(PNG_DPI)
    # savefig would draw once more, to lay out
    FigureCanvasAgg(drawing).print_png(png, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return Figure(name, title, caption, svg.getvalue(), png.getvalue())


def at_least(ax: Axes, points: float) -> None:
    """Widen the y axis to at least this range, round the same middle."""
    low, high = ax.get_ylim()
    if high - low < points:
        ax.set_ylim((low + high - points) / 2, (low + high + points) / 2)


def at_most(ax: Axes, top: float, *, axis: str = "y") -> None:
    """End the axis where no value can lie: an interval may reach beyond 100 % of the clips, its axis need not."""
    low, high = ax.get_ylim() if axis == "y" else ax.get_xlim()
    (ax.set_ylim if axis == "y" else ax.set_xlim)(low, min(high, top))


def label_marks(drawing: Drawing, ax: Axes, marks: Sequence[Mark], avoid: Sequence[tuple[float, float]] = ()) -> int:
    """Write each mark's text beside it where there is room, the first marks first. Returns how many found none.

    A label that would cover a mark, an interval or another label is left out: a plot that is read wrongly is worse
    than one with a label less. avoid: further points to keep clear, in data units.
    """
    drawing.draw_without_rendering()
    pixels = drawing.dpi / _POINTS_PER_INCH
    inside = ax.get_window_extent()
    taken = [box for mark in marks for box in _boxes(ax, mark, pixels)]
    taken += [_around(ax, x, y, pixels) for x, y in avoid]
    left_out = 0
    for mark in marks:
        text = ax.annotate(
            mark.text,
            (mark.x, mark.y),
            xytext=(0, 0),
            textcoords="offset points",
            color=mark.colour,
            fontsize=8,
            ha="left",
            va="bottom",
        )
        text.set_in_layout(False)
        size = text.get_window_extent()
        x, y = ax.transData.transform((mark.x, mark.y))
        for distance, (right, up) in product(_DISTANCES, _SIDES):
            gap = (_GAP + 2.5) * distance * pixels
            left = x + right * (gap + size.width / 2) - size.width / 2
            bottom = y + up * (gap + size.height / 2) - size.height / 2
            box = Bbox.from_bounds(left, bottom, size.width, size.height)
            if _contains(inside, box) and not box.count_overlaps(taken):
                text.set_position(((left - x) / pixels, (bottom - y) / pixels))
                taken.append(box)
                if distance > 1:
                    _lead(ax, mark, box)
                break
        else:
            text.remove()
            left_out += 1
    return left_out


def _lead(ax: Axes, mark: Mark, box: Bbox) -> None:
    """A thin line from a mark to the nearest point of its label."""
    x, y = ax.transData.transform((mark.x, mark.y))
    near = (min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1))
    end_x, end_y = ax.transData.inverted().transform(near)
    ax.plot([mark.x, end_x], [mark.y, end_y], color=mark.colour, linewidth=0.6, alpha=0.8, scalex=False, scaley=False)


def _boxes(ax: Axes, mark: Mark, pixels: float) -> list[Bbox]:
    """The ground that a mark and its error bars cover, in pixels."""
    boxes = [_around(ax, mark.x, mark.y, pixels)]
    for ends, horizontal in ((mark.x_ends, True), (mark.y_ends, False)):
        if ends is not None:
            corners = [(end, mark.y) if horizontal else (mark.x, end) for end in ends]
            boxes.append(Bbox(ax.transData.transform(corners)).padded(pixels))
    return boxes


def _around(ax: Axes, x: float, y: float, pixels: float) -> Bbox:
    centre = ax.transData.transform((x, y))
    return Bbox([centre, centre]).padded(_GAP * pixels)


def _contains(outer: Bbox, inner: Bbox) -> bool:
    return bool(outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1)
