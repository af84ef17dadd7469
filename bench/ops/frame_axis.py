"""Neighbours along the frame axis of [N*T, C, H, W], without a 5-D view.

Compilers for inference keep features in blocked layouts (nChw8c, nChw16c), which exist for four axes only; a 5-D view
makes them reorder a tensor to a plain layout and back. A slice of frames of a blocked tensor is a plain copy.
With one clip there is nothing but slices and one concatenation. With several, what came over a clip's end is replaced
by zeros, which reads and writes the tensor once more.
"""

import torch
from torch import Tensor

from bench.ops.layout import is_channels_last


def from_next_frame(frames: Tensor, num_segments: int) -> Tensor:
    """[N*T, C, H, W] -> the same shape: each frame as the one after it in its clip, zeros in a clip's last frame."""
    moved = torch.cat((frames[1:], _blank(frames)))
    return moved if frames.shape[0] == num_segments else _blanked(moved, num_segments, num_segments - 1)


def from_previous_frame(frames: Tensor, num_segments: int) -> Tensor:
    """[N*T, C, H, W] -> the same shape: each frame as the one before it in its clip, zeros in a clip's first frame."""
    moved = torch.cat((_blank(frames), frames[:-1]))
    return moved if frames.shape[0] == num_segments else _blanked(moved, num_segments, 0)


def _blank(frames: Tensor) -> Tensor:
    """One frame of zeros in the memory format of ``frames``, which the concatenation would otherwise lose."""
    zeros = frames.new_zeros(1, *frames.shape[1:])
    return zeros.contiguous(memory_format=torch.channels_last) if is_channels_last(frames) else zeros


def _blanked(frames: Tensor, num_segments: int, position: int) -> Tensor:
    """Zeros in the frame at ``position`` of every clip."""
    places = torch.arange(frames.shape[0], device=frames.device) % num_segments
    return torch.where((places == position)[:, None, None, None], 0.0, frames)
