"""How frames lie in memory, for kernels that walk through it themselves."""

import torch
from torch import Tensor


def dense(frames: Tensor) -> Tensor:
    """``frames`` [N*T, C, H, W] without gaps, NCHW or channels_last; copied to NCHW only where it is neither."""
    return frames if is_channels_last(frames) else frames.contiguous()


def is_channels_last(frames: Tensor) -> bool:
    """Whether [N*T, C, H, W] lies channels last. False where it is NCHW as well (one channel or one pixel)."""
    return not frames.is_contiguous() and frames.is_contiguous(memory_format=torch.channels_last)


def laid_out_like(frames: Tensor, like: Tensor) -> Tensor:
    """``frames`` in the layout of ``like``, which is dense; copied only where theirs differs."""
    format_ = torch.channels_last if is_channels_last(like) else torch.contiguous_format
    return frames.contiguous(memory_format=format_)


def empty_like_with(frames: Tensor, channels: int) -> Tensor:
    """Uninitialised frames with another number of channels, in the layout of ``frames``, which is dense."""
    format_ = torch.channels_last if is_channels_last(frames) else torch.contiguous_format
    shape = (frames.shape[0], channels, *frames.shape[2:])
    return torch.empty(shape, dtype=frames.dtype, device=frames.device, memory_format=format_)


def require_whole_clips(frames: Tensor, num_segments: int) -> None:
    """Raises ValueError where T does not divide the frames."""
    if frames.shape[0] % num_segments:
        raise ValueError(f"{frames.shape[0]} frames are not a whole number of clips of {num_segments}")
