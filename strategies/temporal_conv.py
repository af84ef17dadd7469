"""A learnable convolution over time where the shift would be: of all channels, or of each by itself.

Each shift gives way to a 3×1×1 convolution over three frames. It starts as the identity, so the pre-trained
2-D network is kept, and learns from there what to take from the neighbours. ``temporal_conv`` mixes all
channels: TSM's comparison "I3D_replace" (Table 5), which its authors found slower and less accurate than the
shift. ``depthwise_temporal_conv`` has three weights for each channel, of which a shift is a special case.

What it adds, per site with C channels and frames of H×W: 3 C² parameters and 2 * 3 C² * T*H*W FLOPs per clip
(in a bottleneck block twelve times what the 1×1 convolution after it has, which maps C to C / 4); channel-wise 3
C parameters and 2 * 3 C * T*H*W FLOPs. Traffic: 2 N for reading and writing the whole tensor (N = its bytes), and
the weights. In NCHW a clip's frames lie before its channels, so the tensor is reordered inside the convolution,
where no counter of operators sees it, and with more than one clip again after it: 2 N each; channels_last needs
neither. Where causal, 2 N more put zeros before the first frame.

Here the convolution stands before the layer or block, so that it is the same in every network and placement. In
bottleneck blocks it could be merged with the 1×1 convolution after it (conv1 as 3×1×1), which would be cheaper.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from bench.ops.frames import like
from bench.strategy import Recurrent, Site, Strategy, as_clip

_TAPS = 3  # frames: t-1, t, t+1, or where causal t-2, t-1, t: the same cost and parameters either way


class TemporalConv(Strategy):
    """A learnable 3×1×1 convolution over all channels in place of the shift (the paper's I3D_replace)."""

    name = "temporal_conv"
    source = "TSM, arXiv 1811.08383, Table 5, I3D_replace"
    fractions = (1.0,)  # the convolution reads every channel
    channelwise: ClassVar[bool] = False

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """Convolve over time before the site's layer (residual) or before the whole block (in-place).

        At fraction 0 there is no convolution. Raises ValueError for a fraction between 0 and 1.
        """
        if self.fraction == 0:
            return block
        if self.fraction != 1:
            raise ValueError(f"{self.name} convolves all channels: its fraction is 1, not {self.fraction:g}")
        layer = site.layer(block)
        net = block if self.placement == "inplace" else layer
        time = self._convolution(layer)
        wrapped = _ConvolveBefore(net, time, num_segments, causal=self.direction == "unidirectional")
        return wrapped if self.placement == "inplace" else site.replace(block, wrapped)

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """The same convolution over the present frame and the two before it."""
        layer = site.layer(block)
        if self.placement == "inplace":
            return _ConvolvePast(block, self._convolution(layer))
        return site.replace(block, _ConvolvePast(layer, self._convolution(layer)))

    def _convolution(self, reader: nn.Module) -> nn.Conv2d:
        return _identity_over_time(reader, causal=self.direction == "unidirectional", channelwise=self.channelwise)


class DepthwiseTemporalConv(TemporalConv):
    """A learnable 3×1×1 convolution of each channel by itself in place of the shift."""

    name = "depthwise_temporal_conv"
    source = "the channel-wise form that TEA, ACTION-Net and TDN begin as a shift"
    channelwise = True


class _ConvolveBefore(nn.Module):
    """Convolve over time, by ``time``, then run ``net``.

    The 3×1×1 convolution runs as a 3×1 one of [N, C, T, H*W], which is a view: a 3-D kernel that is 1×1 in space would
    take PyTorch's slow path on a CPU.
    """

    def __init__(self, net: nn.Module, time: nn.Conv2d, num_segments: int, *, causal: bool) -> None:
        super().__init__()
        self.net, self.num_segments, self.causal = net, num_segments, causal
        self.time = time

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> what ``net`` makes of the convolved frames; beyond a clip's ends there are zeros."""
        clip = as_clip(frames, self.num_segments).transpose(1, 2).flatten(3)  # [N, C, T, H*W]
        if self.causal:
            clip = pad(clip, (0, 0, _TAPS - 1, 0))
        mixed = self.time(clip).unflatten(3, frames.shape[2:])
        return self.net(mixed.transpose(1, 2).flatten(0, 1))  # type: ignore[no-any-return]


class _ConvolvePast(Recurrent):
    """``_ConvolveBefore`` where causal, frame by frame, with the same keys. It remembers two whole frames."""

    def __init__(self, net: nn.Module, time: nn.Conv2d) -> None:
        super().__init__()
        self.net, self.time = net, time

    def remembers(self, channels: int) -> int:
        """All channels of the frames that the kernel reaches back to."""
        return (_TAPS - 1) * channels

    def step(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """[S, C, H, W] and the frames before, oldest first, side by side."""
        frames = torch.cat((past, frame), dim=1)
        clip = frames.unflatten(1, (_TAPS, -1)).transpose(1, 2).flatten(3)  # [S, C, taps, H*W]
        mixed = self.time(clip).unflatten(3, frame.shape[2:])
        return self.net(mixed[:, :, 0]), frames[:, frame.shape[1] :].clone()


def _identity_over_time(reader: nn.Module, *, causal: bool, channelwise: bool) -> nn.Conv2d:
    """The convolution over time of what ``reader`` reads: its channels, device, dtype and layout of weights."""
    channels = reader.in_channels
    assert isinstance(channels, int), "a site's layer is a convolution"
    padding = (0 if causal else _TAPS // 2, 0)
    time = nn.Conv2d(channels, channels, (_TAPS, 1), padding=padding, groups=channels if channelwise else 1, bias=False)
    with torch.no_grad():
        own = time.weight.zero_()[:, :, _TAPS - 1 if causal else _TAPS // 2, 0]
        own.fill_(1) if channelwise else own.fill_diagonal_(1)
    return like(time, reader)
