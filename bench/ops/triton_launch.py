"""Grids and tile sizes of the Triton kernels. Imported only where ``triton_gate.takes`` says yes.

The product is tuned: at the first call with a shape, a few configurations are timed and the best is kept, on disk too,
so that every process of a sweep on this machine computes in the same way. That first call synchronises and so must come
before a CUDA graph is captured; the warm-up passes before every capture see to it.
"""

from math import gcd
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor

from bench.ops import triton_code
from bench.ops.layout import empty_like_with, is_channels_last
from bench.ops.triton_gate import interpreted

_SHIFT_BLOCK = 1024  # elements a program
_WIDEST = 16  # elements in a row that the compiler may be told of: 16 bytes, the widest load, of any dtype
_TUNED_FROM = 1 << 24  # multiply-adds: below, tuning takes longer than it can ever save
_PROGRAMS = 512  # that the weight gradient is split into: a few for each multiprocessor of a large device
_BLOCKS_EACH = 4  # blocks of rows that a program adds up at the least, or its result costs more than the sum

_SMALL = {"ROWS": 64, "IN": 16, "OUT": 16} if interpreted() else {"ROWS": 64, "IN": 32, "OUT": 64}
_CONFIGURATIONS = [
    triton.Config({"ROWS": rows, "OUT": out, "IN": inner}, num_warps=warps, num_stages=stages)
    for rows, out, inner, warps, stages in (
        (128, 128, 32, 8, 3),
        (128, 64, 32, 4, 4),
        (64, 128, 32, 4, 4),
        (64, 64, 64, 4, 4),
        (32, 64, 64, 4, 4),
        (32, 32, 128, 4, 3),
    )
]
_KEY = ["rows", "channels_in", "channels_out", "pixels", "CHANNELS_LAST", "PRECISION"]
_tuned_product = triton.autotune(_CONFIGURATIONS, _KEY, cache_results=True)(triton_code.product)


class Moves(NamedTuple):
    """How many of a clip's channels hold the next frame, and how many after them the previous."""

    ahead: int
    behind: int


_NONE = Moves(0, 0)


def _run(moves: Moves, times: int, whole: int) -> int:
    """How many neighbours surely share a source: boundaries lie ``times`` elements a channel apart, up to ``whole``."""
    return gcd(moves.ahead * times, (moves.ahead + moves.behind) * times, whole, _WIDEST)


def _precision(dtype: torch.dtype) -> str:
    """How exact a product of float32 is: as exact as the convolution that it replaces would be."""
    tf32 = dtype == torch.float32 and torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]
    return "tf32" if tf32 else "ieee"


def _sizes(frames: Tensor) -> tuple[int, int, int]:
    """(rows, channels, pixels): rows are the pixels of all frames."""
    pixels = frames.shape[2] * frames.shape[3]
    return frames.shape[0] * pixels, frames.shape[1], pixels


def shift(frames: Tensor, num_segments: int, ahead: int, behind: int, back: bool) -> Tensor:
    """As ``triton_shift``; ``frames`` are dense."""
    _, channels, pixels = _sizes(frames)
    channels_last = is_channels_last(frames)
    size = channels * pixels
    run = _run(Moves(ahead, behind), 1 if channels_last else pixels, channels if channels_last else size)
    target = torch.empty_like(frames)
    triton_code.shift[(frames.shape[0] * triton.cdiv(size, _SHIFT_BLOCK),)](
        frames,
        target,
        channels,
        pixels,
        num_segments,
        ahead,
        behind,
        BACK=back,
        CHANNELS_LAST=channels_last,
        RUN=run,
        BLOCK=_SHIFT_BLOCK,
    )
    return target


def product(
    source: Tensor,
    weight: Tensor,
    num_segments: int,
    *,
    read: Moves = _NONE,
    write: Moves = _NONE,
    scale: Tensor | None = None,
    bias: Tensor | None = None,
    relu: bool = False,
) -> Tensor:
    """source [N*T, I, H, W] × weight [O, I] -> [N*T, O, H, W], read shifted or written shifted; ``source`` is dense.

    scale, bias: [O], applied in this order, then ReLU. ``weight`` may be a transposed view.
    """
    rows, channels_in, pixels = _sizes(source)
    channels_out = weight.shape[0]
    target = empty_like_with(source, channels_out)
    arguments = (
        *(source, weight, scale, bias, target),
        *(rows, channels_in, channels_out, pixels, num_segments, *read, *write),
        *(weight.stride(1), weight.stride(0)),
    )
    constants = {
        "SCALED": scale is not None,
        "BIASED": bias is not None,
        "RELU": relu,
        "PRECISION": _precision(source.dtype),
        "WIDEN": interpreted(),
        "CHANNELS_LAST": is_channels_last(source),
        "RUN_IN": _run(read, 1, channels_in),
        "RUN_OUT": _run(write, 1, channels_out),
        "ROW_RUN": gcd(pixels, _WIDEST),
    }
    if interpreted() or rows * channels_in * channels_out < _TUNED_FROM:
        triton_code.product[_grid](*arguments, **constants, **_SMALL)
    else:
        _tuned_product[_grid](*arguments, **constants)
    return target


def _grid(meta: dict[str, Any]) -> tuple[int]:
    return (triton.cdiv(meta["rows"], meta["ROWS"]) * triton.cdiv(meta["channels_out"], meta["OUT"]),)


def weight_gradient(source: Tensor, gradient: Tensor, num_segments: int, moves: Moves) -> Tensor:
    """The gradient [O, I], in fp32, of a weight that met the shifted ``source``; both are dense, in one layout."""
    rows, channels_in, pixels = _sizes(source)
    channels_out = gradient.shape[1]
    tiles = triton.cdiv(channels_in, _SMALL["IN"]) * triton.cdiv(channels_out, _SMALL["OUT"])
    blocks = triton.cdiv(rows, _SMALL["ROWS"])
    blocks_each = triton.cdiv(blocks, max(1, min(_PROGRAMS // tiles, blocks // _BLOCKS_EACH)))
    parts = triton.cdiv(blocks, blocks_each)
    partial = torch.empty((parts, channels_out, channels_in), dtype=torch.float32, device=source.device)
    triton_code.weight_gradient[(tiles, parts)](
        *(source, gradient, partial, rows, blocks_each),
        *(channels_in, channels_out, pixels, num_segments, *moves),
        PRECISION=_precision(source.dtype),
        WIDEN=interpreted(),
        CHANNELS_LAST=is_channels_last(source),
        RUN_IN=_run(moves, 1, channels_in),
        RUN_OUT=_run(_NONE, 1, channels_out),
        ROW_RUN=gcd(pixels, _WIDEST),
        **_SMALL,
    )
    return partial.sum(0)
