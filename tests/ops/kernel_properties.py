"""What the Triton kernels must compute. ``test_triton_kernels`` runs this file in processes of their own: on the CPU
through Triton's interpreter, and where there is a CUDA device on that.
"""

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d

from bench import models
from bench.ops import placed_operators
from bench.ops.triton_operators import interpreted, shift_conv, takes, triton_shift
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.axes import DIRECTIONS, Direction
from bench.strategy import Strategy

DEVICE = "cpu" if interpreted() else "cuda"
COPY_SHIFT = load_class("copy_shift", strategy_files())
LENGTHS = (1, 2, 3, 8, 16)
FRACTIONS = (1 / 8, 1.0, 0.3)
LAYOUTS = (torch.contiguous_format, torch.channels_last)
ROUNDING = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 8e-3}  # the interpreter cuts bf16 off


def settings() -> Iterator[tuple[int, float, Direction, torch.memory_format, torch.dtype]]:
    """Every length with every fraction in both directions; layouts and dtypes take turns, so that all pairs occur."""
    for i, (t, fraction, direction) in enumerate(itertools.product(LENGTHS, FRACTIONS, DIRECTIONS)):
        yield t, fraction, direction, LAYOUTS[(i // 2 + i) % 2], list(ROUNDING)[i % 3]


def frames_of(
    t: int, c: int, layout: torch.memory_format, dtype: torch.dtype, size: tuple[int, int] = (1, 3)
) -> Tensor:
    """Two clips of random frames [2*T, C, H, W] that a kernel takes."""
    generator = torch.Generator().manual_seed(t * 100 + c)
    frames = torch.randn(2 * t, c, *size, generator=generator).to(DEVICE, dtype).contiguous(memory_format=layout)
    assert takes(frames)
    return frames


def weight_of(outer: int, inner: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(outer)
    return torch.randn(outer, inner, 1, 1, generator=generator).to(DEVICE, dtype)


def moves(strategy: Strategy, channels: int) -> tuple[int, int]:
    fold = strategy.channels_each_way(channels)
    return (fold if strategy.direction == "bidirectional" else 0), fold


def by_copying(strategy: Strategy, frames: Tensor, t: int) -> Tensor:
    return strategy.shift(frames.unflatten(0, (-1, t))).flatten(0, 1)


def close(got: Tensor, want: Tensor, dtype: torch.dtype) -> None:
    """want: computed in double precision from the same values."""
    assert got.shape == want.shape
    error = (got.double() - want).abs().max() / want.abs().max().clamp_min(1e-12)
    assert error <= ROUNDING[dtype], error


@pytest.fixture(autouse=True)
def _hints_are_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter ignores what the compiler is told of a tensor; here it is checked, element by element.

    After ``AxisInfo`` in Triton: values come in aligned groups that are equal (constancy) or count up (contiguity);
    what is divisible is every value, or the first of every group that counts up.
    """
    if not interpreted():
        return
    from triton.runtime import interpreter

    def check(handle: Any, hint: str, values: list[int]) -> None:
        (group,) = values
        groups = handle.data.reshape(-1, group).astype("int64")
        counts_up = bool((groups == groups[:, :1] + range(group)).all())
        match hint:
            case "tt.constancy":
                assert (groups == groups[:, :1]).all()
            case "tt.contiguity":
                assert counts_up
            case "tt.divisibility":
                assert ((groups[:, 0] if counts_up else groups) % group == 0).all()

    monkeypatch.setattr(interpreter.TensorHandle, "set_attr", check)


@pytest.mark.parametrize(("t", "fraction", "direction", "layout", "dtype"), list(settings()))
def test_shift_and_product_are_those_of_copy_shift(
    t: int, fraction: float, direction: Direction, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    strategy = COPY_SHIFT(fraction, "residual", direction)
    frames, weight = frames_of(t, 19, layout, dtype), weight_of(7, 19, dtype)
    before = frames.clone()
    shifted = triton_shift(frames, t, *moves(strategy, 19))
    assert torch.equal(shifted, by_copying(strategy, frames, t))
    assert shifted.stride() == frames.stride()
    got = shift_conv(frames, weight, None, t, *moves(strategy, 19))
    close(got, conv2d(by_copying(strategy, frames.double(), t), weight.double()), dtype)
    assert got.dtype == dtype
    assert got.is_contiguous(memory_format=layout)
    assert torch.equal(frames, before)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_frame_may_be_larger_than_a_block(layout: torch.memory_format) -> None:
    strategy = COPY_SHIFT(0.3)
    frames = frames_of(2, 40, layout, torch.float32, (6, 7))
    assert torch.equal(triton_shift(frames, 2, *moves(strategy, 40)), by_copying(strategy, frames, 2))


@pytest.mark.parametrize(("direction", "layout"), list(itertools.product(DIRECTIONS, LAYOUTS)))
@pytest.mark.parametrize("t", LENGTHS[:3])
def test_the_gradient_of_the_shift_is_that_of_copy_shift(
    t: int, direction: Direction, layout: torch.memory_format
) -> None:
    strategy = COPY_SHIFT(0.3, "residual", direction)
    mine, theirs = (frames_of(t, 19, layout, torch.float32).requires_grad_() for _ in range(2))
    arriving = frames_of(t, 19, layout, torch.float32).sin()
    triton_shift(mine, t, *moves(strategy, 19)).backward(arriving)
    by_copying(strategy, theirs, t).backward(arriving)
    assert torch.equal(mine.grad, theirs.grad)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("channels", "fold", "size"), [(32, 8, (4, 4)), (48, 4, (2, 2)), (24, 3, (1, 8))])
def test_hints_that_promise_wide_loads_are_true(
    channels: int, fold: int, size: tuple[int, int], layout: torch.memory_format
) -> None:
    """Sizes that powers of two divide, 16 to 1, so that the hints say something."""
    frames, weight = frames_of(2, channels, layout, torch.float32, size), weight_of(16, channels, torch.float32)
    exact = frames.double().requires_grad_()
    frames.requires_grad_()
    shifted = by_copying(COPY_SHIFT(2 * fold / channels), exact, 2)
    assert torch.equal(triton_shift(frames, 2, fold, fold), shifted.float())
    out, want = shift_conv(frames, weight, None, 2, fold, fold), conv2d(shifted, weight.double())
    close(out, want, torch.float32)
    out.sin().sum().backward()
    want.sin().sum().backward()
    close(frames.grad, exact.grad, torch.float32)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("ahead", "behind"), [(5, 9), (0, 23), (18, 18), (16, 16), (0, 0)])
def test_groups_may_end_anywhere_in_a_tile(ahead: int, behind: int, layout: torch.memory_format) -> None:
    """More than one tile of rows, of channels in and of channels out; 37 and 21 end within one."""
    frames, weight = frames_of(3, 37, layout, torch.float32, (4, 5)), weight_of(21, 37, torch.float32)
    bias = weight_of(21, 1, torch.float32).flatten()
    parts = [frames.double().unflatten(0, (-1, 3)) for _ in range(3)]
    groups = parts[0][:, :, :ahead], parts[1][:, :, ahead : ahead + behind], parts[2][:, :, ahead + behind :]
    nothing = [torch.zeros_like(group[:, :1]) for group in groups]
    moved = (torch.cat((groups[0][:, 1:], nothing[0]), 1), torch.cat((nothing[1], groups[1][:, :-1]), 1), groups[2])
    want = conv2d(torch.cat(moved, 2).flatten(0, 1), weight.double(), bias.double())
    close(shift_conv(frames, weight, bias, 3, ahead, behind), want, torch.float32)


@pytest.mark.parametrize(("direction", "layout"), list(itertools.product(DIRECTIONS, LAYOUTS)))
@pytest.mark.parametrize(
    ("t", "fraction", "dtype"),
    [(1, 0.3, torch.float32), (2, 1.0, torch.bfloat16), (8, 0.3, torch.float32), (3, 1 / 4, torch.float16)],
)
def test_the_gradients_of_the_product_are_those_of_copy_shift(
    t: int, fraction: float, dtype: torch.dtype, direction: Direction, layout: torch.memory_format
) -> None:
    strategy = COPY_SHIFT(fraction, "residual", direction)
    mine = [frames_of(t, 19, layout, dtype), weight_of(7, 19, dtype), weight_of(7, 1, dtype).flatten()]
    theirs = [tensor.double().requires_grad_() for tensor in mine]
    for tensor in mine:
        tensor.requires_grad_()
    out = shift_conv(*mine, t, *moves(strategy, 19))
    want = conv2d(by_copying(strategy, theirs[0], t), *theirs[1:])
    arriving = torch.randn(want.shape, generator=torch.Generator().manual_seed(0)).to(DEVICE, dtype)
    out.backward(arriving)
    want.backward(arriving.double())
    for got, expected in zip(mine, theirs, strict=True):
        close(got.grad, expected.grad, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_weight_gradient_adds_up_many_parts(layout: torch.memory_format) -> None:
    frames, weight = frames_of(4, 19, layout, torch.float32, (8, 9)), weight_of(7, 19, torch.float32).requires_grad_()
    exact = weight.detach().double().requires_grad_()
    shift_conv(frames, weight, None, 4, 3, 4).sin().sum().backward()
    conv2d(triton_shift(frames, 4, 3, 4).double(), exact).sin().sum().backward()
    close(weight.grad, exact.grad, torch.float32)


@pytest.mark.skipif(not interpreted(), reason="a device is tuned by its own times")
@pytest.mark.parametrize(("outer", "widest"), [(21, 64), (100, 128), (130, 256)])
def test_tuning_tries_every_configuration_of_use_and_computes_with_the_best(
    outer: int, widest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.ops import triton_launch

    tried: list[float] = []

    def invented_times(call: Callable[[], None], quantiles: tuple[float, ...]) -> list[float]:
        call()
        tried.append(1 / (1 + len(tried)))  # the last is the best
        return [tried[-1]] * len(quantiles)

    monkeypatch.setattr(triton_launch, "_TUNED_FROM", 0)
    monkeypatch.setattr(triton_launch, "interpreted", lambda: False)
    monkeypatch.setattr(triton_launch._tuned_product, "do_bench", invented_times)
    frames, weight = frames_of(3, 37, LAYOUTS[0], torch.float32), weight_of(outer, 37, torch.float32)
    want = conv2d(triton_shift(frames, 3, 5, 9).double(), weight.double())
    for _ in range(2):
        close(shift_conv(frames, weight, None, 3, 5, 9), want, torch.float32)
    of_use = [one for one in triton_launch._CONFIGURATIONS if one.kwargs["OUT"] <= widest]
    assert len(tried) == len(of_use)  # once, not at the second call
    assert triton_launch._tuned_product.best_config == triton_launch._CONFIGURATIONS[-1]
    shift_conv(frames, weight, None, 3, 0, 0)
    assert len(tried) == 2 * len(of_use)  # what is read elsewhere is another product


def test_frames_with_gaps_are_brought_together() -> None:
    frames = frames_of(2, 19, LAYOUTS[0], torch.float32, (2, 6))[..., ::2]
    weight = weight_of(7, 19, torch.float32)
    shifted = by_copying(COPY_SHIFT(0.5), frames, 2)
    assert torch.equal(triton_shift(frames, 2, 4, 4), shifted)
    close(shift_conv(frames, weight, None, 2, 4, 4), conv2d(shifted.double(), weight.double()), torch.float32)


def test_the_kernels_repeat_themselves() -> None:
    frames, weight = frames_of(3, 37, LAYOUTS[0], torch.float32, (4, 5)), weight_of(21, 37, torch.float32)
    outs = []
    for _ in range(2):
        mine = [frames.clone().requires_grad_(), weight.clone().requires_grad_()]
        out = shift_conv(*mine, None, 3, 5, 9)
        out.sin().sum().backward()
        outs.append((out, mine[0].grad, mine[1].grad))
    assert all(torch.equal(first, second) for first, second in zip(*outs, strict=True))


def ends() -> Iterator[tuple[int, tuple[int, int], tuple[int, int], torch.memory_format, torch.dtype, bool]]:
    """Lengths, what is read shifted and what is placed for the next layer, with layouts and dtypes in turns."""
    moved = [((0, 0), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (0, 0)), ((0, 3), (0, 5)), ((9, 9), (8, 8)), ((0, 0), (0, 0))]
    for i, (t, (read, write)) in enumerate(itertools.product(LENGTHS, moved)):
        yield t, read, write, LAYOUTS[(i // 2 + i) % 2], list(ROUNDING)[i % 3], i % 4 > 0


@pytest.mark.parametrize(("t", "read", "write", "layout", "dtype", "rectified"), list(ends()))
def test_block_ends_as_its_layers_do(
    t: int,
    read: tuple[int, int],
    write: tuple[int, int],
    layout: torch.memory_format,
    dtype: torch.dtype,
    rectified: bool,
) -> None:
    """Normalised, added, rectified and placed in one launch; a projected shortcut is normalised too."""
    size = (1, 3) if t > 2 else (11, 13)  # one block of elements, and several
    out, shortcut = frames_of(t, 19, layout, dtype, size), frames_of(t, 19, layout, dtype, size).flip(0)
    shortcut = shortcut.contiguous(memory_format=layout)
    scale, offset, scaled = (weight_of(n, 19, torch.float32)[n - 1, :, 0, 0] for n in (1, 2, 3))
    held = frames_of(2, sum(read) or 1, layout, dtype, size)[:2, : sum(read)].contiguous(memory_format=layout)
    given = scale, offset, shortcut, (scaled if not any(read) else None), held
    exact = [tensor if tensor is None else tensor.double() for tensor in (out, *given)]
    want = placed_operators._finish(*exact, t, read, write, rectified)
    before = shortcut.clone()
    fallen = placed_operators.finish_block_(out, *given, t, *read, *write, rectified)
    close(out, exact[0], dtype)
    assert fallen.shape == want.shape and torch.equal(shortcut, before)
    if fallen.numel():
        close(fallen, want, dtype)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("backbone", "placement", "direction", "launches"),
    [
        ("resnet18", "residual", "bidirectional", {"finish": 8, "move": 3, "shift": 1}),
        ("resnet18", "inplace", "bidirectional", {"finish": 8, "move": 0, "shift": 1}),
        ("mobilenet_v2", "residual", "unidirectional", {"finish": 10, "move": 0, "shift": 5}),
    ],
)
def test_a_network_of_placed_blocks_ends_each_in_one_launch(
    backbone: str,
    placement: Any,
    direction: Direction,
    launches: dict[str, int],
    layout: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Four launches fewer than it has shifts: only before shortcuts with a convolution is anything moved by itself."""
    from bench.ops import triton_launch

    made: list[str] = []
    for name in launches:
        kernel = getattr(triton_launch, name)
        monkeypatch.setattr(
            triton_launch,
            name,
            lambda *args, kernel=kernel, name=name, **how: made.append(name) or kernel(*args, **how),
        )
    base = models.build(backbone, 2).to(DEVICE)
    models.lay_out(base, layout)
    frames = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).to(DEVICE)
    frames = frames.contiguous(memory_format=layout)
    outs = []
    for name in ("placed_shift", "copy_shift"):
        strategy = load_class(name, strategy_files())(0.25, placement, direction)
        with torch.inference_mode():
            outs.append(models.insert(strategy, copy.deepcopy(base)).trunk(frames.clone()))
        if name == "placed_shift":
            assert {name: made.count(name) for name in launches} == launches
    assert (outs[0] - outs[1]).abs().max() <= 1e-4 * outs[1].abs().max()
