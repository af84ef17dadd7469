"""``python -m tests.scripts.sites_figure``: draws docs/sites.svg: where a network takes a shift, as it is found."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from bench import models
from bench.models.network import Network

BACKBONE = "timm:tf_efficientnet_lite0"
OUT = Path(__file__).resolve().parents[2] / "docs" / "sites.svg"
_TAKES, _NOT, _INK, _MUTED = "#0072B2", "#e4e6ea", "#1a1a1a", "#666666"


def blocks_of(network: Network) -> list[tuple[str, int]]:
    """(path of a block, channels that its shift reads; 0: it takes none), in order."""
    at = {}
    for parent, name, site in models.sites(network):
        block = parent.get_submodule(name)
        at[block] = site.layer(block).in_channels
    stages = network.trunk.get_submodule("blocks")
    return [
        (f"{s}.{b}", at.get(block, 0)) for s, stage in stages.named_children() for b, block in stage.named_children()
    ]


def draw(blocks: list[tuple[str, int]]) -> Figure:
    """A row of all blocks above one block with both placements."""
    figure = Figure(figsize=(7.2, 3.1), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, height_ratios=[1, 1.5])
    for place, (path, channels) in enumerate(blocks):
        box(above, place + 0.12, 0.1, 0.76, 0.8, _TAKES if channels else _NOT)
        ink = "white" if channels else _MUTED
        above.text(place + 0.5, 0.62, path, ha="center", va="center", color=ink, fontsize=7)
        above.text(place + 0.5, 0.33, channels or "", ha="center", va="center", color=ink, fontsize=7)
    above.set(xlim=(0, len(blocks)), ylim=(-0.1, 1.1))
    title = f"{BACKBONE}: blocks with a shortcut take the shift (number: channels that it reads)"
    above.set_title(title, loc="left", fontsize=8)
    one_block(below)
    for ax in (above, below):
        ax.axis("off")
    return figure


def box(ax: Axes, x: float, y: float, width: float, height: float, colour: str) -> None:
    """A rounded one."""
    ax.add_patch(FancyBboxPatch((x, y), width, height, "round,pad=0,rounding_size=0.1", fc=colour, ec="none", zorder=1))


def one_block(ax: Axes) -> None:
    """An inverted residual block, and where each placement shifts."""
    ax.annotate("", (12.3, 1), (0.2, 1), arrowprops={"arrowstyle": "->", "color": _INK}, zorder=0)
    for place, name in enumerate(("conv_pw", "conv_dw", "conv_pwl")):
        box(ax, 4.8 + 2.3 * place, 0.65, 1.7, 0.7, _NOT)
        ax.text(5.65 + 2.3 * place, 1, name, ha="center", va="center", fontsize=8, color=_INK)
    shortcut = {"connectionstyle": "arc3,rad=-0.28", "arrowstyle": "->", "color": _INK, "mutation_scale": 9}
    ax.add_patch(FancyArrowPatch((2.25, 1), (11.5, 1), **shortcut))
    ax.text(7.0, 2.75, "shortcut", ha="center", va="bottom", fontsize=8, color=_INK)
    ring = {"fc": "white", "ec": _INK, "boxstyle": "circle,pad=0.15"}
    ax.text(11.6, 1, "+", ha="center", va="center", fontsize=12, color=_INK, bbox=ring)
    for x, name, colour, text in (
        (3.45, "residual", _TAKES, "in the branch:\nshortcut not shifted"),
        (0.95, "inplace", "#6fb1d8", "before the block:\nshortcut shifted too"),
    ):
        box(ax, x - 0.5, 0.65, 1.0, 0.7, colour)
        ax.text(x, 1, name, ha="center", va="center", fontsize=7.5, color="white")
        ax.text(x, 0.5, text, ha="center", va="top", fontsize=7, color=_MUTED)
    ax.set(xlim=(0, 12.5), ylim=(-0.5, 3.2))


def main() -> None:
    """Build the network, find its sites, draw."""
    draw(blocks_of(models.build(BACKBONE, 8))).savefig(OUT, metadata={"Date": None, "Creator": "shiftbench"})


if __name__ == "__main__":
    main()
