"""The shift, and the shift fused into the 1×1 convolution that reads it, as operators: Triton kernels or plain torch.

``triton_shift`` is one launch. Traffic: 2 N (N = the bytes of the tensor, read once and written once), where the
released code moves 3 N. ``triton_conv`` is a matrix product that loads each channel from the frame where it lies, so no
shifted tensor exists; backward it is two such products, one that stores each channel's gradient into the frame where it
belongs, one over shifted loads for the weight. No traffic on top of the baseline. None of it has been timed yet.

Autograd, torch.compile, dispatch modes and the FLOP counter know the operators. ``ahead`` of the channels hold the next
frame, the ``behind`` after them the previous; beyond a clip's ends there are zeros. Results are dense, in the memory
format of ``frames``. ValueError where T = num_segments does not divide the frames.
"""

import functools
import importlib.util
import os
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torch.utils.flop_counter import register_flop_formula

from bench.ops.frames import Group, autocast, dense, empty_like_with, memory_format
from bench.ops.in_place import FrameByFrame
from bench.strategy import as_clip

Moves = tuple[int, int, int]
"""num_segments, ahead, behind."""

Activation = Literal["none", "relu", "relu6"]

_DTYPES = (torch.float32, torch.float16, torch.bfloat16)
_LEAST_CAPABILITY = (8, 0)  # what Triton supports on NVIDIA devices
_MOST_ELEMENTS = 2**31 - 1  # the kernels count elements in 32 bits


@functools.cache
def why_not() -> str | None:
    """A sentence that says why no Triton kernel can run on this machine's CUDA device; None where one can.

    Where there is no CUDA device, only Triton is asked for.
    """
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed; PyTorch for Linux brings it"
    if torch.cuda.is_available() and (capability := torch.cuda.get_device_capability()) < _LEAST_CAPABILITY:
        needed, found = (".".join(map(str, version)) for version in (_LEAST_CAPABILITY, capability))
        return f"Triton needs a CUDA device of compute capability {needed}, and this one has {found}"
    return None


@functools.cache
def interpreted() -> bool:
    """Triton's interpreter is on (``TRITON_INTERPRET=1``): kernels run on CPU tensors, slowly, in numpy."""
    if why_not():
        return False
    from triton import knobs

    return bool(knobs.runtime.interpret)


def takes(*tensors: Tensor, written: int = 0) -> bool:
    """All ``tensors`` can go into a kernel: on a CUDA device (or interpreted), fp32, fp16 or bf16, 1 to 2^31 elements.

    written: the elements that the kernel will write. Where it is False, operators compute the same in plain torch.
    """
    traced = torch.compiler.is_compiling()  # what is cached cannot be; the operators ask again when they run
    if written > _MOST_ELEMENTS or not (traced or why_not() is None):
        return False
    if not (all(tensor.is_cuda for tensor in tensors) or (not traced and interpreted())):
        return False
    return all(tensor.dtype in _DTYPES and 0 < tensor.numel() <= _MOST_ELEMENTS for tensor in tensors)


def on_compilation(tell: Callable[[], None]) -> None:
    """Call ``tell`` whenever Triton has compiled a kernel in this process, whoever wrote it: some take a minute in all,
    in which nothing else can be heard of a process."""
    if importlib.util.find_spec("triton") is None:
        return
    from triton import knobs

    own = os.getpid()
    knobs.compilation.listener = lambda **_: tell() if os.getpid() == own else None


@torch.library.custom_op("shiftbench::triton_shift", mutates_args=())
def triton_shift(frames: Tensor, num_segments: int, ahead: int, behind: int, back: bool = False) -> Tensor:
    """[N*T, C, H, W] -> the same shape, shifted; ``back``: the opposite way, as the gradient is."""
    as_clip(frames, num_segments)
    frames = dense(frames)
    if not takes(frames):
        return _shift_a_copy(frames, num_segments, ahead, behind, back)
    from bench.ops import triton_launch

    return triton_launch.shift(frames, num_segments, ahead, behind, back)


def _shift_a_copy(frames: Tensor, num_segments: int, ahead: int, behind: int, back: bool = False) -> Tensor:
    """The same in plain torch, out of place: for any device and dtype."""
    out, hop = frames.clone(), -1 if back else 1
    FrameByFrame().shift(as_clip(out, num_segments), (Group(0, ahead, hop), Group(ahead, ahead + behind, -hop)))
    return out


@triton_shift.register_fake
def _(frames: Tensor, num_segments: int, ahead: int, behind: int, back: bool = False) -> Tensor:
    as_clip(frames, num_segments)
    return torch.empty_like(dense(frames))


def _remember_shift(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    _, *ctx.moves, ctx.back = inputs


def _shift_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    return triton_shift(gradient, *ctx.moves, not ctx.back), None, None, None, None


triton_shift.register_autograd(_shift_backward, setup_context=_remember_shift)


def shift_conv(
    frames: Tensor, weight: Tensor, bias: Tensor | None, num_segments: int, ahead: int, behind: int
) -> Tensor:
    """``conv2d(triton_shift(frames, …), weight, bias)``: [N*T, C, H, W] -> [N*T, O, H, W], differentiable.

    weight: [O, C, 1, 1]; bias: [O] or None. Takes part in autocasting as a convolution does.
    """
    return triton_conv(*autocast(frames, weight, bias), num_segments, ahead, behind)  # type: ignore[no-any-return]


@torch.library.custom_op("shiftbench::triton_conv", mutates_args=())
def triton_conv(
    frames: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    num_segments: int,
    ahead: int,
    behind: int,
    back: bool = False,
    scale: Tensor | None = None,
    activation: str = "none",
) -> Tensor:
    """The operator of ``shift_conv``; frames, weight and bias have one dtype.

    ``back``: the result is shifted the opposite way instead of the frames, as the frames' gradient is.
    scale: [O], in fp32, as the bias beside it is: activation(convolution × scale + bias), for inference. activation:
    an ``Activation``.
    """
    as_clip(frames, num_segments)
    frames, moves = dense(frames), (num_segments, ahead, behind)
    if not takes(frames, weight, written=frames.numel() // frames.shape[1] * weight.shape[0]):
        out = conv2d(frames if back else _shift_a_copy(frames, *moves), weight)
        out = _ended(out, scale, bias, activation).contiguous(memory_format=memory_format(frames))
        return _shift_a_copy(out, *moves, back) if back else out
    from bench.ops import triton_launch

    return triton_launch.product(frames, weight.flatten(1), scale, bias, moves, back, activation)  # type: ignore[arg-type]


def _ended(out: Tensor, scale: Tensor | None, bias: Tensor | None, activation: str) -> Tensor:
    """The end of the product in plain torch; with a scale in fp32 or finer, as in the kernel."""
    value = out if scale is None else out.to(torch.promote_types(out.dtype, torch.float32)) * scale[:, None, None]
    value = value if bias is None else value + bias[:, None, None]
    if activation != "none":
        value = value.clamp(min=0.0, max=6.0 if activation == "relu6" else None)
    return value.to(out.dtype)


@torch.library.custom_op("shiftbench::triton_conv_weight_gradient", mutates_args=())
def triton_conv_weight_gradient(frames: Tensor, gradient: Tensor, num_segments: int, ahead: int, behind: int) -> Tensor:
    """The gradient [O, C, 1, 1] of the weight, from the frames and the gradient of the output."""
    frames = dense(frames)
    gradient = gradient.contiguous(memory_format=memory_format(frames))
    if not takes(frames, gradient):
        shifted = _shift_a_copy(frames, num_segments, ahead, behind)
        return torch.einsum("fohw,fchw->oc", gradient, shifted).contiguous()[:, :, None, None]
    from bench.ops import triton_launch

    total = triton_launch.weight_gradient(frames, gradient, (num_segments, ahead, behind))
    return total.to(frames.dtype)[:, :, None, None]


@triton_conv.register_fake
def _(frames: Tensor, weight: Tensor, bias: Tensor | None, num_segments: int, *_: Any) -> Tensor:
    as_clip(frames, num_segments)
    return empty_like_with(dense(frames), weight.shape[0])


@triton_conv_weight_gradient.register_fake
def _(frames: Tensor, gradient: Tensor, *_: int) -> Tensor:
    return frames.new_empty(gradient.shape[1], frames.shape[1], 1, 1)


def _remember_conv(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    frames, weight, _, *ctx.moves, ctx.back, scale, activation = inputs
    ctx.differentiable = not ctx.back and scale is None and activation == "none"
    ctx.save_for_backward(frames, weight)


def _conv_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    frames, weight = ctx.saved_tensors
    if not ctx.differentiable:
        raise NotImplementedError("triton_conv has no gradient of its gradient, nor with a scale or an activation")
    of_frames, of_weight, of_bias, *_ = ctx.needs_input_grad
    return (
        triton_conv(gradient, weight.transpose(0, 1), None, *ctx.moves, True) if of_frames else None,
        triton_conv_weight_gradient(frames, gradient, *ctx.moves) if of_weight else None,
        gradient.sum((0, 2, 3)) if of_bias else None,
        *(None,) * 6,
    )


triton_conv.register_autograd(_conv_backward, setup_context=_remember_conv)


@register_flop_formula(torch.ops.shiftbench.triton_conv)
def _(frames: Sequence[int], weight: Sequence[int], *_: Any, **__: Any) -> int:
    """Multiply-adds count twice, bias and the rest not at all: as the counter does for convolutions."""
    return 2 * prod(frames) * weight[0]


@register_flop_formula(torch.ops.shiftbench.triton_conv_weight_gradient)
def _(frames: Sequence[int], gradient: Sequence[int], *_: Any, **__: Any) -> int:
    return 2 * prod(frames) * gradient[1]
