"""The shift fused into the 1×1 convolution that reads it: no shifted tensor ever exists.

On a CUDA device the convolution is one Triton kernel, a matrix product that loads each channel from the frame where it
already lies; the backward pass is two such products, one that stores each channel's gradient into the frame where it
belongs, one over shifted loads for the weight. Elsewhere the operators shift, then convolve, in plain torch.

Autograd, torch.compile, dispatch modes and the FLOP counter know the operators. Traffic: that of the convolution alone,
so none on top of the baseline. Nothing of this has been timed yet: it is not known whether the product keeps up
with cuDNN's.
"""

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torch.utils.flop_counter import register_flop_formula

from bench.ops import triton_gate
from bench.ops.layout import dense, empty_like_with, laid_out_like, require_whole_clips
from bench.ops.triton_shift import shift_by_slices


def shift_conv(
    frames: Tensor, weight: Tensor, bias: Tensor | None, num_segments: int, ahead: int, behind: int
) -> Tensor:
    """``conv2d(triton_shift(frames, …), weight, bias)``: [N*T, C, H, W] -> [N*T, O, H, W], differentiable.

    weight: [O, C, 1, 1]; bias: [O] or None; the rest as in ``triton_shift``. Takes part in autocasting as a convolution
    does.
    """
    device = frames.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        frames, weight = frames.to(dtype), weight.to(dtype)
        bias = None if bias is None else bias.to(dtype)
    return triton_conv(frames, weight, bias, num_segments, ahead, behind)  # type: ignore[no-any-return]


@torch.library.custom_op("shiftbench::triton_conv", mutates_args=())
def triton_conv(
    frames: Tensor, weight: Tensor, bias: Tensor | None, num_segments: int, ahead: int, behind: int
) -> Tensor:
    """The operator of ``shift_conv``; all tensors have one dtype."""
    return _convolve(frames, weight, None, bias, num_segments, ahead, behind, relu=False)


@torch.library.custom_op("shiftbench::triton_conv_folded", mutates_args=())
def triton_conv_folded(
    frames: Tensor,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor,
    num_segments: int,
    ahead: int,
    behind: int,
    relu: bool,
) -> Tensor:
    """For inference: ``shift_conv`` without bias, then × ``scale`` [O], + ``bias`` [O], and ReLU if asked for.

    That is what follows a convolution in most networks: BatchNorm with fixed statistics. It has no gradient. ``scale``
    and ``bias`` may be of another dtype.
    """
    return _convolve(frames, weight, scale, bias, num_segments, ahead, behind, relu=relu)


def _convolve(
    frames: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    bias: Tensor | None,
    num_segments: int,
    ahead: int,
    behind: int,
    *,
    relu: bool,
) -> Tensor:
    require_whole_clips(frames, num_segments)
    frames = dense(frames)
    if not triton_gate.takes(frames, weight, written=_elements(frames, weight.shape[0])):
        out = conv2d(shift_by_slices(frames, num_segments, ahead, behind), weight)
        out = out if scale is None else out * scale[:, None, None]
        out = out if bias is None else out + bias[:, None, None]
        return laid_out_like(out.relu() if relu else out, frames).to(frames.dtype)
    from bench.ops import triton_launch

    read = triton_launch.Moves(ahead, behind)
    return triton_launch.product(frames, weight.flatten(1), num_segments, read=read, scale=scale, bias=bias, relu=relu)


@torch.library.custom_op("shiftbench::triton_conv_input_gradient", mutates_args=())
def triton_conv_input_gradient(gradient: Tensor, weight: Tensor, num_segments: int, ahead: int, behind: int) -> Tensor:
    """The gradient [N*T, C, H, W] of the frames that ``triton_conv`` read, from that of its output [N*T, O, H, W]."""
    gradient, transposed = dense(gradient), weight.transpose(0, 1)
    if not triton_gate.takes(gradient, weight, written=_elements(gradient, weight.shape[1])):
        of_shifted = laid_out_like(conv2d(gradient, transposed), gradient)
        return shift_by_slices(of_shifted, num_segments, ahead, behind, back=True)
    from bench.ops import triton_launch

    write = triton_launch.Moves(ahead, behind)
    return triton_launch.product(gradient, transposed.flatten(1), num_segments, write=write)


@torch.library.custom_op("shiftbench::triton_conv_weight_gradient", mutates_args=())
def triton_conv_weight_gradient(frames: Tensor, gradient: Tensor, num_segments: int, ahead: int, behind: int) -> Tensor:
    """The gradient [O, C, 1, 1] of the weight, from the frames and the gradient of the output."""
    frames = dense(frames)
    gradient = laid_out_like(gradient, frames)
    if not triton_gate.takes(frames, gradient):
        shifted = shift_by_slices(frames, num_segments, ahead, behind)
        return torch.einsum("fohw,fchw->oc", gradient, shifted).contiguous()[:, :, None, None]
    from bench.ops import triton_launch

    moves = triton_launch.Moves(ahead, behind)
    return triton_launch.weight_gradient(frames, gradient, num_segments, moves).to(frames.dtype)[:, :, None, None]


def _elements(frames: Tensor, channels: int) -> int:
    """How many elements ``frames`` would have with another number of channels."""
    return frames.numel() // frames.shape[1] * channels


@triton_conv.register_fake
def _(frames: Tensor, weight: Tensor, bias: Tensor | None, num_segments: int, ahead: int, behind: int) -> Tensor:
    require_whole_clips(frames, num_segments)
    return empty_like_with(dense(frames), weight.shape[0])


@triton_conv_folded.register_fake
def _(
    frames: Tensor,
    weight: Tensor,
    scale: Tensor,
    bias: Tensor,
    num_segments: int,
    ahead: int,
    behind: int,
    relu: bool,
) -> Tensor:
    require_whole_clips(frames, num_segments)
    return empty_like_with(dense(frames), weight.shape[0])


@triton_conv_input_gradient.register_fake
def _(gradient: Tensor, weight: Tensor, num_segments: int, ahead: int, behind: int) -> Tensor:
    return empty_like_with(dense(gradient), weight.shape[1])


@triton_conv_weight_gradient.register_fake
def _(frames: Tensor, gradient: Tensor, num_segments: int, ahead: int, behind: int) -> Tensor:
    return frames.new_empty(gradient.shape[1], frames.shape[1], 1, 1)


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    frames, weight, _, *ctx.moves = inputs
    ctx.save_for_backward(frames, weight)


def _backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    frames, weight = ctx.saved_tensors
    of_frames, of_weight, of_bias, *_ = ctx.needs_input_grad
    return (
        triton_conv_input_gradient(gradient, weight, *ctx.moves) if of_frames else None,
        triton_conv_weight_gradient(frames, gradient, *ctx.moves) if of_weight else None,
        gradient.sum((0, 2, 3)) if of_bias else None,
        *(None,) * len(ctx.moves),
    )


triton_conv.register_autograd(_backward, setup_context=_remember)


Shape = Sequence[int]


@register_flop_formula([torch.ops.shiftbench.triton_conv, torch.ops.shiftbench.triton_conv_folded])
def _(frames: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    """Multiply-adds count twice, bias and the rest not at all: as the counter does for convolutions."""
    return 2 * prod(frames) * weight[0]


@register_flop_formula(torch.ops.shiftbench.triton_conv_input_gradient)
def _(gradient: Shape, weight: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(gradient) * weight[1]


@register_flop_formula(torch.ops.shiftbench.triton_conv_weight_gradient)
def _(frames: Shape, gradient: Shape, *_: Any, **__: Any) -> int:
    return 2 * prod(frames) * gradient[1]
