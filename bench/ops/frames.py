"""Frames [N*T, C, H, W]: which channels move, neighbours in time, and layout in memory.

``from_neighbour`` needs no 5-D view: compilers for inference keep features in blocked layouts (nChw8c, nChw16c), which
exist for four axes only, and would reorder a 5-D tensor to a plain layout and back.
"""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from bench.spec.axes import Direction

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Group:
    """Neighbouring channels that move together: those of frame t receive frame t + ``offset`` (1 or -1), or zeros."""

    first: int
    last: int
    offset: int

    @property
    def channels(self) -> slice:
        """The channels of the group."""
        return slice(self.first, self.last)

    @property
    def opposite(self) -> "Group":
        """The same channels, moved the other way: what the gradient does."""
        return Group(self.first, self.last, -self.offset)

    def of(self, clip: Tensor) -> Tensor:
        """The group's channels of ``clip`` [N, T, C, H, W], as a view."""
        return clip[:, :, self.channels]

    def pairs(self, first: int, last: int, num_segments: int) -> list[tuple[slice, slice]]:
        """(frames that receive, frames that they receive from), of ``first`` to ``last`` (exclusive) in one clip.

        Frames are counted through the whole batch. Empty where no frame has a source in the clip.
        """
        begin = first - first % num_segments
        low, high = max(first, begin - self.offset), min(last, begin + num_segments - self.offset)
        return [(slice(low, high), slice(low + self.offset, high + self.offset))] if low < high else []


def moved_groups(fold: int, direction: Direction) -> tuple[Group, ...]:
    """The groups that move, ``fold`` channels each, in the released order; none where ``fold`` is zero.

    Bidirectional: the first group receives the next frame, the second the previous one. Unidirectional: the first
    receives the previous one. The channels after them stay.
    """
    return groups_of(fold, fold) if direction == "bidirectional" else groups_of(0, fold)


def groups_of(ahead: int, behind: int) -> tuple[Group, ...]:
    """The first ``ahead`` channels, which receive the next frame, and the ``behind`` after them, which receive the
    previous one; none that is empty."""
    groups = Group(0, ahead, 1), Group(ahead, ahead + behind, -1)
    return tuple(group for group in groups if group.first < group.last)


def from_neighbour(frames: Tensor, offset: int, num_segments: int, padded: bool = False) -> Tensor:
    """[N*T, C, H, W] -> the same shape: each frame as the one ``offset`` (1 or -1) later in its clip, or zeros.

    padded: the zeros come from padding, not from a concatenation with a tensor of zeros.
    """
    if padded:  # by -1: the frame that falls off is cut off
        moved = pad(frames, (0, 0) * 3 + ((-1, 1) if offset > 0 else (1, -1)))
    else:
        blank = frames.new_zeros(1, *frames.shape[1:])
        if is_channels_last(frames):  # which the concatenation would otherwise lose
            blank = blank.contiguous(memory_format=torch.channels_last)
        moved = torch.cat((frames[1:], blank) if offset > 0 else (blank, frames[:-1]))
    if frames.shape[0] == num_segments:
        return moved
    at_the_end = num_segments - 1 if offset > 0 else 0  # what stands there came from another clip
    places = torch.arange(frames.shape[0], device=frames.device) % num_segments
    return torch.where((places == at_the_end)[:, None, None, None], 0.0, moved)


def is_channels_last(frames: Tensor) -> bool:
    """Whether [N*T, C, H, W] lies channels last. False where it is NCHW as well (one channel or one pixel)."""
    return not frames.is_contiguous() and frames.is_contiguous(memory_format=torch.channels_last)


def memory_format(frames: Tensor) -> torch.memory_format:
    """Channels last where ``frames`` lie so, else contiguous."""
    return torch.channels_last if is_channels_last(frames) else torch.contiguous_format


def dense(frames: Tensor) -> Tensor:
    """``frames`` [N*T, C, H, W] without gaps, NCHW or channels_last; copied to NCHW only where it is neither."""
    return frames if is_channels_last(frames) else frames.contiguous()


def empty_like_with(frames: Tensor, channels: int) -> Tensor:
    """Uninitialised frames with another number of channels, in the memory format of ``frames``."""
    shape = (frames.shape[0], channels, *frames.shape[2:])
    return torch.empty(shape, dtype=frames.dtype, device=frames.device, memory_format=memory_format(frames))


def set_aside(frames: Tensor, num_segments: int, channels: int) -> Tensor:
    """Uninitialised [N, channels, H, W], for what falls off the ends of clips. A pixel's channels lie as in ``frames``
    [N*T, C, H, W], which may be a view of the first channels of dense ones."""
    rows = frames.stride(1) == 1 and frames.shape[2:].numel() > 1
    shape = (frames.shape[0] // num_segments, channels, *frames.shape[2:])
    layout = torch.channels_last if rows else torch.contiguous_format
    return torch.empty(shape, dtype=frames.dtype, device=frames.device, memory_format=layout)


def is_nchw(weight: Tensor) -> bool:
    """Whether the weights [O, I, k, k] of a convolution lie in NCHW; a single input channel lies in both layouts."""
    return weight.stride(-1) == 1


def like(module: Module, layer: nn.Module) -> Module:
    """``module`` in the device, dtype and layout of weights of ``layer``, a convolution."""
    weight = layer.weight
    assert isinstance(weight, Tensor), "a site's layer is a convolution"
    layout = torch.contiguous_format if is_nchw(weight) else torch.channels_last
    return module.to(weight.device, weight.dtype).to(memory_format=layout)


def autocast(*tensors: Tensor | None) -> list[Tensor | None]:
    """``tensors`` in the dtype of autocasting where it is on: for operations that it does not know."""
    device = next(tensor.device.type for tensor in tensors if tensor is not None)
    if not torch.is_autocast_enabled(device):
        return list(tensors)
    return [None if tensor is None else tensor.to(torch.get_autocast_dtype(device)) for tensor in tensors]
