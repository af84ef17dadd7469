"""What the learnable modules share: where they stand, and how frames meet in them.

Where the place is another than the authors', or a part of theirs is left out, the strategy's file says so.
"""

from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from bench.ops.frames import like, memory_format
from bench.strategy import Site, Strategy, as_clip

REDUCTION = 16  # of the channels in which TEA, ACTION-Net and TDN look for motion
_TAPS = 3  # frames that a convolution over time reads: t-1, t, t+1


class ModuleBefore(Strategy):
    """A strategy that puts one module of its own before one layer of the residual branch; it reads the next frame too.

    inside: the layer is a bottleneck's conv2, at its narrow part, where there is one that is not refused; in all other
    blocks it is the site's.
    """

    placements = ("residual",)
    directions = ("bidirectional",)
    inside: ClassVar[bool] = False

    @abstractmethod
    def module(self, channels: int, num_segments: int) -> nn.Module:
        """What stands before a layer that reads ``channels``: frames [N*T, C, H, W] -> the same shape."""

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """The block with the module in it; at fraction 0, and where too few channels are read, the block as it is."""
        place = self._place(block, site)
        layer, channels = place.layer(block), place.channels(block)
        if self.fraction == 0 or self.refuses(channels):
            return block
        return place.replace(block, Before(like(self.module(channels, num_segments), layer), layer))

    def _place(self, block: nn.Module, site: Site) -> Site:
        inner = site.narrow(block) if self.inside else None
        return inner if inner and not self.refuses(inner.channels(block)) else site


class Before(nn.Module):
    """``exchange``, then ``net``, the layer or block that reads what it gives, in the memory format that came in."""

    def __init__(self, exchange: nn.Module, net: nn.Module) -> None:
        super().__init__()
        self.exchange, self.net = exchange, net
        self.train(net.training)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> what ``net`` makes of the frames once they met."""
        met: Tensor = self.exchange(frames)
        return self.net(met.contiguous(memory_format=memory_format(frames)))  # type: ignore[no-any-return]


class ChannelwiseConv(nn.Module):
    """A 3×1×1 convolution of each channel by itself, which begins as a shift and learns from there.

    each_way: so many channels, from ``first`` on, begin as the next frame's, as many after them as the previous one's;
    all others begin as they are. 3 C parameters, 6 FLOPs per feature.
    """

    def __init__(self, channels: int, num_segments: int, each_way: int, first: int = 0) -> None:
        super().__init__()
        self.num_segments = num_segments
        self.time = nn.Conv2d(channels, channels, (_TAPS, 1), padding=(1, 0), groups=channels, bias=False)
        taps = torch.zeros(channels, _TAPS)
        taps[:, 1] = 1
        taps[first : first + 2 * each_way, 1] = 0
        taps[first : first + each_way, 2] = 1
        taps[first + each_way : first + 2 * each_way, 0] = 1
        self.time.weight.data.copy_(taps[:, None, :, None])

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> the same shape; beyond a clip's ends there are zeros."""
        clip = as_clip(frames, self.num_segments).transpose(1, 2).flatten(3)  # [N, C, T, H*W]
        mixed: Tensor = self.time(clip).unflatten(3, frames.shape[2:])
        return mixed.transpose(1, 2).flatten(0, 1)


class ClipConv(nn.Module):
    """A 3×3×3 convolution of clips, written as a 3×3 one of frames.

    For each of its channels that one gives three: what the next frame, the frame itself and the previous one take of
    it. They are added, so no frame is copied and no axis moved. Begins as PyTorch begins a 3-D convolution.
    """

    def __init__(self, channels: int, out: int, num_segments: int, groups: int = 1, *, bias: bool = True) -> None:
        super().__init__()
        self.num_segments = num_segments
        self.taps = nn.Conv2d(channels, _TAPS * out, 3, padding=1, groups=groups, bias=False)
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None
        bound = (channels // groups * 27) ** -0.5
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, out, H, W]; beyond a clip's ends, in time and space, there are zeros."""
        clip = as_clip(self.taps(frames), self.num_segments)
        to_next, own, to_previous = clip.unflatten(2, (-1, _TAPS)).unbind(3)
        summed: Tensor = own + from_frame(to_next, -1) + from_frame(to_previous, 1)
        if self.bias is not None:
            summed = summed + self.bias[:, None, None]
        return summed.flatten(0, 1)


class MotionSqueeze(nn.Module):
    """Features of a sixteenth of the channels, and the same after a channel-wise 3×3 convolution, which are to be held
    against those of neighbouring frames."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        few = channels // REDUCTION
        self.squeeze = nn.Conv2d(channels, few, 1, bias=False)
        self.norm = nn.BatchNorm2d(few)
        self.smooth = nn.Conv2d(few, few, 3, padding=1, groups=few, bias=False)

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """[N*T, C, H, W] -> twice [N*T, C / 16, H, W]."""
        few = self.norm(self.squeeze(frames))
        return few, self.smooth(few)


def too_few(channels: int, least: int = REDUCTION) -> str | None:
    """Why a site of so many channels is not taken; None: it is."""
    return None if channels >= least else f"{channels} channels are less than the {least} that it needs"


def difference(there: Tensor, here: Tensor, offset: int, num_segments: int) -> Tensor:
    """[N*T, C, H, W]: ``there`` of the frame ``offset`` (1 or -1) later less ``here``; zeros where there is none."""
    ahead, clip = as_clip(there, num_segments), as_clip(here, num_segments)
    out = torch.zeros_like(clip)
    if offset > 0:
        out[:, :-1] = ahead[:, 1:] - clip[:, :-1]
    else:
        out[:, 1:] = ahead[:, :-1] - clip[:, 1:]
    return out.flatten(0, 1)


def from_frame(clip: Tensor, offset: int) -> Tensor:
    """[N, T, C, H, W] -> the same shape: each frame as the one ``offset`` later in its clip, or zeros."""
    out = torch.zeros_like(clip)
    if offset > 0:
        out[:, :-offset] = clip[:, offset:]
    else:
        out[:, -offset:] = clip[:, :offset]
    return out


def mix_frames(clip: Tensor, weights: Tensor) -> Tensor:
    """Each frame as a weighted sum of all frames of its clip.

    clip: [N, T, C, H, W]. weights: [N or 1, G, T, T], for each of G groups of neighbouring channels; row t holds what
    frame t takes of each frame. Returns the shape of ``clip``.
    """
    groups: Tensor = clip.unflatten(2, (weights.shape[1], -1))
    rows = groups.flatten(3).transpose(1, 2)  # [N, G, T, C/G*H*W]
    return (weights.to(clip.dtype) @ rows).transpose(1, 2).reshape(clip.shape)


def interpolation(offsets: Tensor, num_segments: int) -> Tensor:
    """[…] offsets in frames -> […, T, T]: frame t as the one at t + offset, linear between two, zeros beyond."""
    frame = torch.arange(num_segments, device=offsets.device, dtype=offsets.dtype)
    away = frame[:, None] + offsets[..., None, None] - frame
    return torch.relu(1 - away.abs())
