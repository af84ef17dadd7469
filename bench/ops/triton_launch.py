"""Grids and tile sizes of the Triton kernels. Imported only where ``triton_operators.takes`` says yes.

The product is tuned: at the first call with a shape, a few configurations are timed and the best is kept, on disk too,
so that every process of a sweep on this machine computes in the same way. That first call synchronises and so must come
before a CUDA graph is captured; the warm-up passes before every capture see to it.
"""

from math import gcd
from typing import Any

import torch
import triton
from torch import Tensor

from bench.ops import triton_code
from bench.ops.frames import empty_like_with, is_channels_last
from bench.ops.triton_operators import Moves, interpreted

_SHIFT_BLOCK = 1024  # elements a program
_WIDEST = 16  # elements in a row that the compiler is given as a hint: 16 bytes, the widest load, of any dtype
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


def _run(ahead: int, behind: int, times: int, whole: int) -> int:
    """How many neighbours surely share a source: boundaries lie ``times`` elements a channel apart, up to ``whole``."""
    return gcd(ahead * times, (ahead + behind) * times, whole, _WIDEST)


def _how(frames: Tensor) -> dict[str, Any]:
    """The constants of both products. In float32 they are as exact as the convolution that they replace."""
    tf32 = frames.dtype == torch.float32 and torch.backends.cudnn.conv.fp32_precision == "tf32"  # type: ignore[attr-defined]
    return {
        "PRECISION": "tf32" if tf32 else "ieee",
        "WIDEN": interpreted(),
        "CHANNELS_LAST": is_channels_last(frames),
        "ROW_RUN": gcd(frames.shape[2] * frames.shape[3], _WIDEST),
    }


def _sizes(frames: Tensor) -> tuple[int, int, int]:
    """(rows, channels, pixels): rows are the pixels of all frames."""
    pixels = frames.shape[2] * frames.shape[3]
    return frames.shape[0] * pixels, frames.shape[1], pixels


def shift(frames: Tensor, num_segments: int, ahead: int, behind: int, back: bool) -> Tensor:
    """As ``triton_shift``; ``frames`` are dense."""
    _, channels, pixels = _sizes(frames)
    channels_last, size = is_channels_last(frames), channels * pixels
    run = _run(ahead, behind, 1, channels) if channels_last else _run(ahead, behind, pixels, size)
    target = torch.empty_like(frames)
    triton_code.shift[(frames.shape[0] * triton.cdiv(size, _SHIFT_BLOCK),)](
        *(frames, target, channels, pixels, num_segments, ahead, behind),
        **{"BACK": back, "CHANNELS_LAST": channels_last, "RUN": run, "BLOCK": _SHIFT_BLOCK},
    )
    return target


def product(source: Tensor, weight: Tensor, bias: Tensor | None, moves: Moves, back: bool) -> Tensor:
    """source [N*T, I, H, W] × weight [O, I] + bias [O] -> [N*T, O, H, W]; ``source`` is dense.

    The source is read shifted, or, where ``back``, the target is written shifted the other way.
    """
    rows, channels_in, pixels = _sizes(source)
    channels_out = weight.shape[0]
    target = empty_like_with(source, channels_out)
    read, write = ((0, 0), moves[1:]) if back else (moves[1:], (0, 0))
    arguments = (
        *(source, weight, bias, target),
        *(rows, channels_in, channels_out, pixels, moves[0], *read, *write),
        *(weight.stride(1), weight.stride(0)),
    )
    runs = {"RUN_IN": _run(*read, 1, channels_in), "RUN_OUT": _run(*write, 1, channels_out)}
    if interpreted() or rows * channels_in * channels_out < _TUNED_FROM:
        triton_code.product[_grid](*arguments, **runs, **_how(source), **_SMALL)
    else:
        _tuned_product[_grid](*arguments, **runs, **_how(source))
    return target


def _grid(meta: dict[str, Any]) -> tuple[int]:
    return (triton.cdiv(meta["rows"], meta["ROWS"]) * triton.cdiv(meta["channels_out"], meta["OUT"]),)


def weight_gradient(source: Tensor, gradient: Tensor, moves: Moves) -> Tensor:
    """The gradient [O, I], in fp32, of a weight that met the shifted ``source``; both are dense, in one layout."""
    rows, channels_in, pixels = _sizes(source)
    channels_out = gradient.shape[1]
    tiles = triton.cdiv(channels_in, _SMALL["IN"]) * triton.cdiv(channels_out, _SMALL["OUT"])
    blocks = triton.cdiv(rows, _SMALL["ROWS"])
    blocks_each = triton.cdiv(blocks, max(1, min(_PROGRAMS // tiles, blocks // _BLOCKS_EACH)))
    parts = triton.cdiv(blocks, blocks_each)
    partial = torch.empty((parts, channels_out, channels_in), dtype=torch.float32, device=source.device)
    runs = {"RUN_IN": _run(moves[1], moves[2], 1, channels_in), "RUN_OUT": _run(0, 0, 1, channels_out)}
    triton_code.weight_gradient[(tiles, parts)](
        *(source, gradient, partial, rows, blocks_each, channels_in, channels_out, pixels, *moves),
        **{**runs, **_how(source), **_SMALL},
    )
    return partial.sum(0)
