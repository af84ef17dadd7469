"""Channels moved in their own memory: there, back, and through autograd."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.ops.frames import Group, moved_groups
from bench.ops.in_place import FrameByFrame, ShiftedInPlace, shifted
from bench.ops.native import Native
from bench.spec.axes import DIRECTIONS, Direction
from tests.ops import needs_compiler

MOVERS = [FrameByFrame, pytest.param(Native, marks=needs_compiler)]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def test_groups_are_in_the_released_order() -> None:
    assert moved_groups(2, "bidirectional") == (Group(0, 2, 1), Group(2, 4, -1))
    assert moved_groups(2, "unidirectional") == (Group(0, 2, -1),)
    assert moved_groups(0, "bidirectional") == ()


@given(st.integers(1, 5), st.integers(0, 2), st.integers(0, 5), st.integers(0, 5), st.sampled_from([1, -1]))
def test_pairs_are_the_frames_with_a_source_in_their_clip(t: int, clip: int, a: int, b: int, offset: int) -> None:
    first, last = sorted((min(a, t), min(b, t)))
    pairs = Group(0, 1, offset).pairs(clip * t + first, clip * t + last, t)
    found = [pair for targets, sources in pairs for pair in zip(range(99)[targets], range(99)[sources], strict=True)]
    wanted = [(clip * t + frame, clip * t + frame + offset) for frame in range(first, last)]
    assert found == [pair for pair in wanted if clip * t <= pair[1] < (clip + 1) * t]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("mover", MOVERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_there_and_back_is_exact(
    mover: Callable[[], FrameByFrame], direction: Direction, layout: torch.memory_format
) -> None:
    for n, t, c, size, dtype in ((2, 8, 16, 9, torch.float32), (3, 1, 5, 2, torch.bfloat16), (1, 3, 4, 70, torch.half)):
        frames = torch.randn(n * t, c, size, size).to(dtype).contiguous(memory_format=layout)
        clip, before, moves = frames.unflatten(0, (n, t)), frames.unflatten(0, (n, t)).clone(), mover()
        for fold in (1, c // 2):
            groups = moved_groups(fold, direction)
            fallen = moves.shift(clip, groups)
            for group in groups:
                for frame in range(t):
                    source = frame + group.offset
                    wanted = before[:, source, group.channels] if 0 <= source < t else 0 * before[:, 0, group.channels]
                    assert torch.equal(clip[:, frame, group.channels], wanted)
            moves.restore(clip, groups, fallen)
            assert torch.equal(clip, before)


@pytest.mark.parametrize("mover", MOVERS)
def test_a_copy_is_differentiable(mover: Callable[[], FrameByFrame]) -> None:
    clip = torch.randn(2, 3, 5, 2, 2, dtype=torch.double, requires_grad=True)
    groups, moves = moved_groups(2, "bidirectional"), mover()
    assert torch.autograd.gradcheck(lambda x: shifted(x, groups, moves), (clip,))


@pytest.mark.parametrize("mover", MOVERS)
@pytest.mark.parametrize("bias", [True, False])
def test_shift_and_convolution_are_one_differentiable_operation(mover: Callable[[], FrameByFrame], bias: bool) -> None:
    layer = nn.Conv2d(6, 4, 3, stride=2, padding=1, groups=2, bias=bias).double()
    module = ShiftedInPlace(layer, moved_groups(2, "bidirectional"), 3, mover(), restore=True)
    frames = torch.randn(6, 6, 4, 4, dtype=torch.double, requires_grad=True)
    leaves = [frames, *layer.parameters()]
    assert torch.autograd.gradcheck(lambda x, *_: module(x * 1.0), leaves)


def test_what_others_saved_of_the_clip_is_not_spoilt() -> None:
    """ReLU keeps its output for the backward pass, and that output is what is shifted and put back."""
    module = ShiftedInPlace(nn.Conv2d(4, 4, 1), moved_groups(1, "bidirectional"), 2, FrameByFrame(), restore=True)
    frames = torch.randn(4, 4, 3, 3, requires_grad=True)
    kept = torch.relu(frames)
    (module(kept).sum() + kept.square().sum()).backward()  # raises where a saved tensor's version changed
    assert frames.grad is not None and torch.isfinite(frames.grad).all()


def test_autocast_computes_in_its_own_format() -> None:
    layer = nn.Conv2d(4, 4, 3, padding=1)
    module = ShiftedInPlace(layer, moved_groups(1, "bidirectional"), 2, FrameByFrame(), restore=True)
    frames = torch.randn(4, 4, 5, 5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = module(frames)
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16
    assert frames.grad is not None and frames.grad.dtype == torch.float32
    assert layer.weight.grad is not None and layer.weight.grad.dtype == torch.float32
