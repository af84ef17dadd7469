"""Convolutions over time in place of a 2-D network's, and what they start from: weights of single frames.

The layers read frames as 2-D networks hold them, [N*T, C, H, W] in, [N*T, C', H', W'] out, and everything else of the
network stays 2-D. That is no approximation: a BatchNorm over [N*T, C, H, W] takes the same statistics as one over
[N, C, T, H, W], a 1×1 convolution of frames is a 1×1×1 convolution of clips. Nothing is strided in time, and beyond a
clip's ends there are zeros.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bench.models.network import Network
from bench.strategy import as_clip

_TEMPORAL_HEAD = "trunk.temporal."
_NAMED = 3  # that many keys show what is wrong; a hundred would hide it


class VolumeConv(nn.Conv3d):
    """A k×h×w convolution in place of the h×w one ``flat``, k odd; its weight, [O, I, k, h, w], keeps its name."""

    def __init__(self, flat: nn.Conv2d, num_segments: int, taps: int = 3) -> None:
        kernel, stride, padding = (taps, *flat.kernel_size), (1, *flat.stride), (taps // 2, *flat.padding)
        super().__init__(flat.in_channels, flat.out_channels, kernel, stride, padding, bias=False)  # type: ignore[arg-type]
        self.num_segments = num_segments
        self.inflate(flat.weight)

    def inflate(self, flat: Tensor) -> None:
        """Compute what the 2-D ``flat`` [O, I, h, w] computes: it goes to the present frame, zeros to the others."""
        with torch.no_grad():
            self.weight.zero_()
            self.weight[:, :, self.kernel_size[0] // 2] = flat

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C', H', W']."""
        clip = as_clip(frames, self.num_segments).transpose(1, 2)
        return super().forward(clip).transpose(1, 2).flatten(0, 1)


class OverTime(nn.Conv2d):
    """A 3×1×1 convolution over all channels, at first the identity where it keeps their number.

    It runs as a 3×1 convolution of [N, C, T, H*W], which is a view: a 3-D one would take PyTorch's slow path on a CPU
    (``slow_conv3d``: fp32, one thread or batch 1), up to three times as long.
    """

    def __init__(self, in_channels: int, out_channels: int, num_segments: int) -> None:
        super().__init__(in_channels, out_channels, (3, 1), padding=(1, 0), bias=False)
        self.num_segments = num_segments
        self.become_identity()

    def become_identity(self) -> None:
        """Every channel's present frame, and nothing else."""
        nn.init.dirac_(self.weight)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C', H, W]."""
        clip = as_clip(frames, self.num_segments).transpose(1, 2)
        mixed = super().forward(clip.flatten(3))
        return mixed.unflatten(3, frames.shape[2:]).transpose(1, 2).flatten(0, 1)  # type: ignore[no-any-return]


class SpaceThenTime(nn.Conv2d):
    """The 3×3 convolution ``flat`` followed by a 3×1×1 one of the same width.

    Unlike R(2+1)D (Tran et al., arXiv 1711.11248) it has no BatchNorm and ReLU between the two, so that it can start as
    the 2-D network, and no width chosen to match the parameters of 3×3×3. The first weight keeps the 2-D one's name.
    """

    def __init__(self, flat: nn.Conv2d, num_segments: int) -> None:
        super().__init__(flat.in_channels, flat.out_channels, 3, flat.stride, padding=1, bias=False)  # type: ignore[arg-type]
        self.time = OverTime(flat.out_channels, flat.out_channels, num_segments)
        with torch.no_grad():
            self.weight.copy_(flat.weight)

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W] -> [N*T, C', H', W']."""
        return self.time(super().forward(frames))  # type: ignore[no-any-return]


def load_pretrained(network: Network, state: Mapping[str, Tensor]) -> None:
    """Start ``network`` (of ``build_trainable``, before a strategy is inserted) from ``state``.

    state: the state dict of ``pretrained_form``'s network with the same spatial classes, trained with num_segments = 1.
    A single frame has no temporal class, so the network keeps its own temporal head.

    In a 3×3×3 convolution the 2-D weight goes to the present frame, the neighbours start at zero; a 3×1×1 convolution
    starts as the identity. So the 3-D network computes exactly what the 2-D one does. I3D (Carreira & Zisserman, arXiv
    1705.07750) repeats the weight over time instead: where something moves, that smears edges over three places.

    Raises ValueError where keys or shapes do not fit; the network is unchanged then.
    """
    own = network.state_dict()
    over_time = {f"{name}.weight": module for name, module in network.named_modules() if isinstance(module, OverTime)}
    volumes = {f"{name}.weight": module for name, module in network.named_modules() if isinstance(module, VolumeConv)}
    wanted = {key for key in own if key not in over_time and not key.startswith(_TEMPORAL_HEAD)}
    given = {key: value for key, value in state.items() if not key.startswith(_TEMPORAL_HEAD)}
    expected = {key: own[key][:, :, 0].shape if key in volumes else own[key].shape for key in wanted}
    complaints = {
        "missing": wanted - given.keys(),
        "unknown": given.keys() - wanted,
        "of another shape": {key for key in wanted & given.keys() if given[key].shape != expected[key]},
    }
    if wrong := [f"{what}: {_first(keys)}" for what, keys in complaints.items() if keys]:
        raise ValueError(f"these weights do not fit the network: {'; '.join(wrong)}")
    with torch.no_grad():
        for key in wanted:
            if key in volumes:
                volumes[key].inflate(given[key])
            else:
                own[key].copy_(given[key])  # own holds the network's tensors themselves
        for module in over_time.values():
            module.become_identity()


def _first(keys: set[str]) -> str:
    """``a, b, c and 7 more``."""
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(sorted(keys)[:_NAMED]) + more
