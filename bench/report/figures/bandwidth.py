"""The speed of a plain copy against its size: the price of a byte that predictions rest on."""

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator

from bench.report.figures.canvas import Figure, blank, finish
from bench.report.numbers import count_text
from bench.report.selection import Row, Tables, panel_text, panels, rows
from bench.report.style import INK, REMAINING, Look, Palette, legend_below, line_handle
from bench.spec.cases import Panel

MOST_CURVES = 5  # as many as there are colours
_LOG_FROM = 8.0  # curves that differ by more than this factor (CPU and GPU) need a logarithmic scale


def copy_bandwidth(tables: Tables, palette: Palette) -> Figure | None:
    """One curve for each device and number of threads, with the quartiles over superblocks."""
    curves = _curves(tables)
    if not curves:
        return None
    drawing = blank(7.2, 3.4)
    ax = drawing.subplots()
    keys = [panel for panel, _ in curves]
    looks = [Look(colour, "-", "o", colour) for colour in (INK, *REMAINING)]
    for (_, points), look in zip(curves, looks, strict=False):
        _draw(ax, points, look)
    _scales(ax, [float(row["gb_per_s"]) for _, points in curves for row in points])
    sizes = sorted({float(row["mebibytes"]) for _, points in curves for row in points})
    ax.set_xticks(sizes, [f"{size:g}" for size in sizes])
    ax.minorticks_off()
    ax.set_xlabel("size of the tensor that is copied [MiB]")
    ax.set_ylabel("read and written [GB/s]")
    if len(curves) > 1:
        legend_below(drawing, [line_handle(look, _name(panel, keys)) for panel, look in zip(keys, looks, strict=False)])
    return finish(drawing, "copy_bandwidth", "How fast bytes move here", _caption(keys))


def _curves(tables: Tables) -> list[tuple[Panel, list[Row]]]:
    """The first panel of each device and number of threads: nothing else changes how fast a copy runs."""
    found: dict[tuple[str, int], tuple[Panel, list[Row]]] = {}
    for panel, group in panels(tables.bandwidth):
        points = [row for row in rows(group.sort_values("mebibytes")) if row["gb_per_s"] > 0]
        if len(points) > 1:  # old runs copied one size: no curve
            found.setdefault((panel.device, panel.threads), (panel, points))
    return list(found.values())[:MOST_CURVES]


def _draw(ax: Axes, points: list[Row], look: Look) -> None:
    x = [float(row["mebibytes"]) for row in points]
    ax.fill_between(
        x,
        [float(row["gb_per_s_low"]) for row in points],
        [float(row["gb_per_s_high"]) for row in points],
        color=look.colour,
        alpha=0.18,
        linewidth=0,
    )
    ax.plot(x, [float(row["gb_per_s"]) for row in points], **look.line())


def _scales(ax: Axes, speeds: list[float]) -> None:
    ax.set_xscale("log", base=2)
    if max(speeds) > _LOG_FROM * min(speeds):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))  # a curve seldom spans two powers of ten
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))  # powers need the maths that is off
    else:
        ax.set_ylim(0, max(speeds) * 1.12)


def _name(panel: Panel, keys: list[Panel]) -> str:
    return panel.device if panel.device != "cpu" else panel_text(panel, keys)


def _caption(keys: list[Panel]) -> str:
    of = panel_text(keys[0]) if len(keys) == 1 else count_text(len(keys), "setting")
    return (
        f"What a plain copy of one contiguous tensor reaches, measured in the same superblocks as the cases ({of}); "
        "bytes read and bytes written both count, the band holds the middle half of the superblocks. Where the curve "
        "bends down, the tensor no longer fits into a cache; a prediction takes the speed at the size that is moved."
    )
