"""GST: a part of a layer's filters see three frames, the others one.

Of the filters of a spatial convolution the last ones become 3×3×3, all others stay as they are. The pre-trained
weights are the middle of these; what they take from the neighbouring frames begins at zero, so a pre-trained
network is kept at first. Filters of both kinds read all channels (the paper's GST-Large; in its smaller form each
kind reads one half of them, which no pre-trained layer does).

fraction: the share of filters that see three frames (the paper's 1 / alpha: 1/4).

What it adds, per layer of k×k filters from C to D channels at F = fraction * D: 2 k² C F parameters and 4 k² C
F FLOPs per output position, 1/2 of the layer's own at 1/4. Traffic: N to read the features again (N = their bytes),
and about eleven times the bytes of F channels to write what neighbours take and to add it.

Differences from the authors' code: theirs owns the network; this one takes conv2 of a bottleneck, as theirs, and
in other blocks the layer at the site (in an inverted residual the 1×1 one, whose filters become 3×1×1). Its
filters over time begin at random there, and its middle ones too.
"""

from typing import Any

from torch import Tensor, nn

from bench.ops.frames import like
from bench.strategy import Site, Strategy, as_clip


class GST(Strategy):
    """A share of a layer's filters see three frames, the others one (GST-Large)."""

    name = "gst"
    source = "Grouped Spatial-Temporal Aggregation, arXiv 1909.13130; github.com/chenxuluo/GST-video, GST.py"
    fractions = (0.125, 0.25, 0.5)  # the paper's 1 / alpha: 1/8, 1/4, 1/2
    placements = ("residual",)
    directions = ("bidirectional",)

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """The block, with filters over time in conv2 of a bottleneck or in the site's layer."""
        place = site.narrow(block) or site
        layer = place.layer(block)
        assert isinstance(layer, nn.Conv2d), "a site's layer is a convolution"
        filters = int(layer.out_channels * self.fraction)
        return place.replace(block, _SeesNeighbours(layer, filters, num_segments)) if filters else block


class _SeesNeighbours(nn.Module):
    """``net``, whose last ``filters`` channels take from the neighbouring frames too."""

    def __init__(self, net: nn.Conv2d, filters: int, num_segments: int) -> None:
        super().__init__()
        self.net, self.filters, self.num_segments = net, filters, num_segments
        how: dict[str, Any] = {
            name: getattr(net, name) for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode")
        }
        self.neighbours = nn.Conv2d(net.in_channels, 2 * filters, bias=False, **how)
        nn.init.zeros_(self.neighbours.weight)
        like(self.neighbours, net)
        self.train(net.training)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, D, H', W']; beyond a clip's ends there are zeros."""
        taken = as_clip(self.neighbours(frames), self.num_segments)
        to_next, to_previous = taken.split(self.filters, dim=2)
        out: Tensor = self.net(frames)
        last = as_clip(out, self.num_segments)[:, :, -self.filters :]
        last[:, 1:] += to_next[:, :-1]
        last[:, :-1] += to_previous[:, 1:]
        return out
