"""The end of a residual block in one pass: Triton kernel on a GPU, native code on a CPU, the same in plain torch.

``finish``: the last normalisation, the addition, the ReLU and the placing of moved channels, instead of three passes
and a shift. Traffic: the block's output read and written once and the shortcut read once, whatever moves; PyTorch's
three passes take 7 N to 8 N (N = the bytes of the tensor). On a GPU it has not been timed yet.

As in ``triton_operators``: ``ahead`` of the channels hold the next frame, the ``behind`` after them the previous; zeros
beyond a clip's ends. What falls off the ends lies aside, [N, ahead + behind, H, W], in the layout of the frames.
"""

from typing import Any

import torch
from torch import Tensor

from bench.ops import native
from bench.ops.frames import dense, groups_of, is_channels_last, memory_format, set_aside
from bench.ops.in_place import FrameByFrame
from bench.ops.triton_operators import takes
from bench.strategy import as_clip


def finishes_natively(frames: Tensor) -> bool:
    """Whether ``finish`` has native code for such frames."""
    built = torch.compiler.is_compiling() or native.why_not() is None  # traced, the operator asks again when it runs
    return frames.is_cpu and frames.dtype in (torch.float32, torch.bfloat16) and built


def finish(out: Tensor, *rest: Any) -> Tensor:
    """``finish_block_``; native code is called without the detour of an operator in Python, which takes tens of
    microseconds: with sixteen blocks, percents of a network that goes frame by frame."""
    traced_or_on_gpu = torch.compiler.is_compiling() or takes(out)
    if traced_or_on_gpu or not (finishes_natively(out) and _alike(out, rest[2])):
        return finish_block_(out, *rest)  # type: ignore[no-any-return]
    return _finish_natively(out, *rest)


def _finish_natively(out: Tensor, *rest: Any) -> Tensor:
    num_segments, _, _, write_ahead, write_behind, _ = rest[5:]
    fallen = set_aside(out, num_segments, write_ahead + write_behind)
    native.operators().finish_(out, fallen, *rest)
    return fallen


def _alike(out: Tensor, shortcut: Tensor) -> bool:
    """In memory."""
    return is_channels_last(out) == is_channels_last(shortcut) and dense(shortcut) is shortcut


@torch.library.custom_op("shiftbench::finish_block_", mutates_args=("out",))
def finish_block_(
    out: Tensor,
    scale: Tensor,
    offset: Tensor,
    shortcut: Tensor,
    shortcut_scale: Tensor | None,
    held: Tensor | None,
    num_segments: int,
    read_ahead: int,
    read_behind: int,
    write_ahead: int,
    write_behind: int,
    rectified: bool,
) -> Tensor:
    """``out`` [N*T, C, H, W] becomes relu(out × scale + offset + shortcut × shortcut_scale), placed; returns what fell.

    scale, offset, shortcut_scale: [C], in fp32. shortcut: of the shape of ``out``; ``read_``: its channels lie shifted,
    and what fell off is ``held``. ``write_``: channels are placed for a layer that reads so many shifted. rectified:
    whether there is a ReLU. Raises ValueError where T does not divide the frames or ``out`` has gaps.
    """
    as_clip(out, num_segments)
    if dense(out) is not out or shortcut.shape != out.shape:
        raise ValueError("a block's end needs frames without gaps, and a shortcut of their shape")
    read, write = (read_ahead, read_behind), (write_ahead, write_behind)
    if finishes_natively(out) and _alike(out, shortcut) and not takes(out):
        constants = scale, offset, shortcut, shortcut_scale, held
        return _finish_natively(out, *constants, num_segments, *read, *write, rectified)
    fallen = set_aside(out, num_segments, sum(write))
    given = [tensor for tensor in (out, shortcut, held) if tensor is not None and tensor.numel()]
    if not takes(*given) or not _alike(out, shortcut):
        fallen.copy_(_finish(out, scale, offset, shortcut, shortcut_scale, held, num_segments, read, write, rectified))
        return fallen
    from bench.ops import triton_launch

    aside = (held if sum(read) else None), (fallen if sum(write) else None)
    triton_launch.finish(
        *(out, scale, offset, shortcut, shortcut_scale, *aside, num_segments, read, write), rectified=rectified
    )
    return fallen


@finish_block_.register_fake
def _(out: Tensor, *rest: object) -> Tensor:
    num_segments, _, _, write_ahead, write_behind, _ = rest[5:]
    return set_aside(out, num_segments, write_ahead + write_behind)  # type: ignore[arg-type, operator]


def _finish(
    out: Tensor,
    scale: Tensor,
    offset: Tensor,
    shortcut: Tensor,
    shortcut_scale: Tensor | None,
    held: Tensor | None,
    num_segments: int,
    read: tuple[int, int],
    write: tuple[int, int],
    rectified: bool,
) -> Tensor:
    """The same in plain torch."""
    wide = torch.promote_types(out.dtype, torch.float32)
    other = restored(shortcut, held, num_segments, *read).to(wide) if held is not None else shortcut.to(wide)
    if shortcut_scale is not None:
        other = other * shortcut_scale[:, None, None]
    value = out.to(wide) * scale[:, None, None] + offset[:, None, None] + other
    out.copy_(torch.relu(value) if rectified else value)
    parts = FrameByFrame().shift(as_clip(out, num_segments), groups_of(*write))
    return torch.cat(parts, dim=1) if parts else set_aside(out, num_segments, 0)


def restored(frames: Tensor, fallen: Tensor, num_segments: int, ahead: int, behind: int) -> Tensor:
    """A copy of frames that lie shifted, in their own frames; fallen: what fell off when they were placed."""
    out = frames.clone(memory_format=memory_format(frames))
    groups = groups_of(ahead, behind)
    FrameByFrame().restore(as_clip(out, num_segments), groups, [fallen[:, group.channels] for group in groups])
    return out
