"""The shift as one operator: on a CUDA device one launch of a Triton kernel, elsewhere plain torch.

``shiftbench::triton_shift`` is known to autograd (its gradient is the opposite shift), to torch.compile and to every
dispatch mode. Traffic: 2 N (N = the bytes of the tensor: read once, written once), where the released code moves 3 N.
How fast it is has not been measured yet.
"""

from typing import Any

import torch
from torch import Tensor

from bench.ops import triton_gate
from bench.ops.layout import dense, require_whole_clips


@torch.library.custom_op("shiftbench::triton_shift", mutates_args=())
def triton_shift(frames: Tensor, num_segments: int, ahead: int, behind: int, back: bool = False) -> Tensor:
    """Frames [N*T, C, H, W] whose first ``ahead`` channels hold the next frame, the ``behind`` after them the previous.

    Beyond a clip's ends there are zeros. back: the opposite shift, the other way in time; it is the gradient.
    The result is dense, in the layout of ``frames``. Raises ValueError where T = num_segments does not divide the
    frames.
    """
    require_whole_clips(frames, num_segments)
    frames = dense(frames)
    if not triton_gate.takes(frames):
        return shift_by_slices(frames, num_segments, ahead, behind, back)
    from bench.ops import triton_launch

    return triton_launch.shift(frames, num_segments, ahead, behind, back)


def shift_by_slices(frames: Tensor, num_segments: int, ahead: int, behind: int, back: bool = False) -> Tensor:
    """The same in plain torch, out of place: for any device and dtype."""
    clip = frames.unflatten(0, (-1, num_segments))
    out = torch.zeros_like(clip)
    first, second, rest = slice(ahead), slice(ahead, ahead + behind), slice(ahead + behind, None)
    from_next, from_previous = (second, first) if back else (first, second)
    out[:, :-1, from_next] = clip[:, 1:, from_next]
    out[:, 1:, from_previous] = clip[:, :-1, from_previous]
    out[:, :, rest] = clip[:, :, rest]
    return out.flatten(0, 1)


@triton_shift.register_fake
def _(frames: Tensor, num_segments: int, ahead: int, behind: int, back: bool = False) -> Tensor:
    require_whole_clips(frames, num_segments)
    return torch.empty_like(dense(frames))


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *ctx.moves, ctx.back = inputs


def _backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    return triton_shift(gradient, *ctx.moves, not ctx.back), None, None, None, None


triton_shift.register_autograd(_backward, setup_context=_remember)
