"""Grids and tile sizes of the Triton kernels. Imported only where ``triton_operators.takes`` says yes.

The product is tuned: at the first call with a shape, a few configurations are timed and the best is kept, in
every process anew: so that what the tuner's noise decides differs between processes, as it does between users, and is
part of every interval. That first call synchronises and so must come before a CUDA graph is captured; the warm-up
passes before every capture see to it.
"""

from collections.abc import Callable
from math import gcd
from typing import Any

import torch
import triton
from torch import Tensor

from bench.ops import triton_code
from bench.ops.frames import empty_like_with, is_channels_last
from bench.ops.triton_operators import Activation, Moves, interpreted

_SHIFT_BLOCK = 1024  # elements a program
_OF_A_CLIP, _LEAST_BLOCK = 4096, 256  # elements of all frames that a program owns, and of each frame at the least
_OF_A_WARP = 2048  # of them: eight loads of 16 bytes a thread are under way at once
_WIDEST = 16  # elements in a row that the compiler is given as a hint: 16 bytes, the widest load, of any dtype
_TUNED_FROM = 1 << 24  # multiply-adds: below, tuning takes longer than it can ever save
_PROGRAMS = 512  # that the weight gradient is split into: a few for each multiprocessor of a large device
_BLOCKS_EACH = 4  # blocks of rows that a program adds up at the least, or its result costs more than the sum
_TUNING = 5, 20  # milliseconds, to warm a configuration up and to time it

_SMALL = {"ROWS": 64, "IN": 16, "OUT": 16} if interpreted() else {"ROWS": 64, "IN": 32, "OUT": 64}
_CONFIGURATIONS = [  # eight warps are two groups of a Hopper's matrix units, which take 64 rows each
    triton.Config({"ROWS": rows, "OUT": out, "IN": inner}, num_warps=warps, num_stages=stages)
    for rows, out, inner, warps, stages in (
        (128, 256, 64, 8, 3),
        (256, 64, 64, 8, 3),
        (128, 128, 64, 8, 3),
        (128, 64, 64, 8, 4),
        (128, 64, 64, 4, 4),
        (64, 64, 64, 4, 4),
    )
]
_NARROWEST = min(configuration.kwargs["OUT"] for configuration in _CONFIGURATIONS)
_MOVES = [f"{which}_{way}" for which in ("read", "write") for way in ("ahead", "behind")]
_KEY = ["rows", "channels_in", "channels_out", "pixels", "CHANNELS_LAST", "PRECISION", *_MOVES]


def _bench(call: Callable[[], None], quantiles: tuple[float, ...]) -> list[float]:
    """Milliseconds: shorter than Triton's own, as every process tunes some forty shapes."""
    times: list[float] = triton.testing.do_bench(call, warmup=_TUNING[0], rep=_TUNING[1], quantiles=quantiles)
    return times


def _of_use(configurations: list[triton.Config], arguments: dict[str, Any], **_: Any) -> list[triton.Config]:
    """Those whose tiles are not wider than the result: the rest of a tile would be multiplied for nothing."""
    widest = max(_NARROWEST, triton.next_power_of_2(arguments["channels_out"]))
    return [configuration for configuration in configurations if configuration.kwargs["OUT"] <= widest]


_tuned_product = triton.autotune(
    _CONFIGURATIONS, _KEY, prune_configs_by={"early_config_prune": _of_use}, do_bench=_bench
)(triton_code.product)


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


def product(
    source: Tensor,
    weight: Tensor,
    scale: Tensor | None,
    bias: Tensor | None,
    moves: Moves,
    back: bool,
    activation: Activation,
) -> Tensor:
    """activation(source [N*T, I, H, W] × weight [O, I] × scale [O] + bias [O]) -> [N*T, O, H, W]; ``source`` is dense.

    The source is read shifted, or, where ``back``, the target is written shifted the other way.
    """
    rows, channels_in, pixels = _sizes(source)
    channels_out = weight.shape[0]
    target = empty_like_with(source, channels_out)
    read, write = ((0, 0), moves[1:]) if back else (moves[1:], (0, 0))
    arguments = (
        *(source, weight, scale, bias, target),
        *(rows, channels_in, channels_out, pixels, moves[0], *read, *write),
        *(weight.stride(1), weight.stride(0)),
    )
    runs: dict[str, Any] = {"RUN_IN": _run(*read, 1, channels_in), "RUN_OUT": _run(*write, 1, channels_out)}
    runs |= {"READS": any(read), "WRITES": any(write), "ACTIVATION": activation}
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


def finish(
    out: Tensor,
    scale: Tensor,
    offset: Tensor,
    shortcut: Tensor,
    shortcut_scale: Tensor | None,
    held: Tensor | None,
    fallen: Tensor | None,
    num_segments: int,
    read: tuple[int, int],
    write: tuple[int, int],
    rectified: bool,
) -> None:
    """As ``placed_operators.finish_block_``; ``out`` and ``shortcut`` are dense, in one layout."""
    _, channels, pixels = _sizes(out)
    channels_last, size = is_channels_last(out), channels * pixels
    runs = [_run(*moves, 1, channels) if channels_last else _run(*moves, pixels, size) for moves in (read, write)]
    tile, warps = _tile_of_clip(num_segments)
    triton_code.finish[(out.shape[0] // num_segments * triton.cdiv(size, tile["BLOCK"]),)](
        *(out, scale, offset, shortcut, shortcut_scale, held, fallen, channels, pixels, num_segments, *read, *write),
        **{"RECTIFIED": rectified, "CHANNELS_LAST": channels_last, "RUN_READ": runs[0], "RUN_WRITE": runs[1], **tile},
        num_warps=warps,
    )


def move(
    moved: Tensor,
    channels: int,
    channels_last: bool,
    num_segments: int,
    ahead: int,
    back: bool,
    held: Tensor | None,
    fallen: Tensor | None,
) -> None:
    """As ``triton_moves.move_`` and ``put_back_``; ``moved`` are the first of the ``channels`` of dense frames."""
    _, own, pixels = _sizes(moved)
    run = (
        _run(ahead, own - ahead, 1, channels) if channels_last else _run(ahead, own - ahead, pixels, channels * pixels)
    )
    tile, warps = _tile_of_clip(num_segments)
    triton_code.move[(moved.shape[0] // num_segments * triton.cdiv(own * pixels, tile["BLOCK"]),)](
        *(moved, held, fallen, channels, pixels, num_segments, ahead, own),
        **{"BACK": back, "CHANNELS_LAST": channels_last, "RUN": run, **tile},
        num_warps=warps,
    )


def _tile_of_clip(num_segments: int) -> tuple[dict[str, int], int]:
    """(the frames and elements that a program owns, its warps): 64 elements a thread, 16 bytes or more of a frame."""
    frames = triton.next_power_of_2(num_segments)
    block = max(_LEAST_BLOCK, _OF_A_CLIP // frames)
    return {"FRAMES": frames, "BLOCK": block}, max(1, min(8, frames * block // _OF_A_WARP))
