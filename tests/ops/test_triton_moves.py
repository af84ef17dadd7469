"""What moves shifted in its own memory on a GPU, where there is no Triton: exact in plain torch, counted rightly."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.library import opcheck
from torchvision.models.resnet import Bottleneck

from bench.measure.latency.traffic import count
from bench.ops.frames import moved_groups
from bench.ops.in_place import FrameByFrame
from bench.ops.triton_moves import InOneLaunch, move_, put_back_
from bench.spec.axes import DIRECTIONS, Direction
from bench.strategy import Site
from strategies.triton_shift import TritonShift

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def clip_of(layout: torch.memory_format = torch.contiguous_format, gap: int = 1) -> Tensor:
    """[2, 4, 16, 3, 5]; gap: so many elements from one pixel to the next."""
    frames = torch.randn(8, 16, 3, 5 * gap, generator=torch.Generator().manual_seed(0))
    return frames.contiguous(memory_format=layout)[..., ::gap].unflatten(0, (2, 4))


@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("gap", [1, 2])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_moves_as_copies_do_and_puts_back(
    layout: torch.memory_format, direction: Direction, gap: int, opposite: bool
) -> None:
    groups = [group.opposite if opposite else group for group in moved_groups(3, direction)]
    clip, want = clip_of(layout, gap), clip_of(layout, gap)
    copy = InOneLaunch().shifted(clip, groups)
    fallen, apart = InOneLaunch().shift(clip, groups), FrameByFrame().shift(want, groups)
    assert torch.equal(clip, want) and torch.equal(copy, want)
    assert torch.equal(fallen[0], torch.cat(apart, 1))
    InOneLaunch().restore(clip, groups, fallen)
    assert torch.equal(clip, clip_of(layout, gap))


def test_where_nothing_moves_nothing_is_done() -> None:
    clip = clip_of()
    InOneLaunch().restore(clip, (), InOneLaunch().shift(clip, ()))
    copy = InOneLaunch().shifted(clip, ())
    assert torch.equal(clip, clip_of()) and torch.equal(copy, clip) and copy.data_ptr() != clip.data_ptr()


def test_frames_at_several_distances_are_refused_before_anything_is_lost() -> None:
    """Seen as one row of frames they would be a copy, in which the shift would be lost."""
    clip = clip_of()[:, :3]
    with pytest.raises(RuntimeError, match="view"):
        InOneLaunch().shift(clip, moved_groups(3, "bidirectional"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_operators_are_declared_rightly(layout: torch.memory_format) -> None:
    moved = clip_of(layout).flatten(0, 1)[:, :6]
    fallen = move_(moved.clone(), 4, 3, keep=True)
    calls: list[tuple[Any, tuple[Any, ...]]] = [(move_, (moved, 4, 3)), (move_, (moved, 4, 3, True, True))]
    for operator, arguments in (*calls, (put_back_, (moved, fallen, 4, 3))):
        outcomes = opcheck(operator, arguments)
        assert outcomes and set(outcomes.values()) == {"SUCCESS"}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_traffic_is_that_of_what_moves(layout: torch.memory_format) -> None:
    """There and back, and the ends once aside and once from there; what stays is not counted."""
    clip = clip_of(layout)
    size = clip[:, :, :4].numel() * clip.element_size()
    strategy, block = TritonShift(0.25), Bottleneck(16, 4).to(memory_format=layout).eval()
    with torch.inference_mode():
        before = count(lambda: block(clip.flatten(0, 1))).bytes_moved
        wrapped = strategy.wrap(block, Site("conv1", "conv1"), 4)
        moved = count(lambda: wrapped(clip.flatten(0, 1))).bytes_moved - before
    assert moved == 4 * size + 2 * size // 4


def test_compile_traces_through_without_a_break() -> None:
    frames = clip_of().flatten(0, 1)
    block = TritonShift(0.25).wrap(Bottleneck(16, 4).eval(), Site("conv1", "conv1"), 4)
    with torch.no_grad():
        want = block(frames)
        torch.testing.assert_close(torch.compile(block, backend="aot_eager", fullgraph=True)(frames), want)
    assert torch.equal(frames, clip_of().flatten(0, 1))
