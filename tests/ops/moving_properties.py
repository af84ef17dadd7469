"""As ``kernel_properties``, of what moves in its own memory and is put back."""

import itertools

import pytest
import torch
from torchvision.models.resnet import Bottleneck

from bench import models
from bench.ops import triton_moves
from bench.ops.triton_operators import triton_shift
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.axes import DIRECTIONS, PLACEMENTS, Direction, Placement
from bench.strategy import Site
from tests.ops.kernel_properties import DEVICE, LAYOUTS, _hints_are_true, frames_of

__all__ = ["_hints_are_true"]  # used by all tests


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("t", "ahead", "behind", "dtype"),
    [
        (8, 4, 4, torch.float16),
        (3, 0, 5, torch.bfloat16),
        (1, 2, 2, torch.float32),
        (2, 9, 9, torch.float16),
        (16, 1, 0, torch.bfloat16),
        (5, 8, 8, torch.float32),
    ],
)
def test_moves_what_moves_in_its_own_memory_and_puts_it_back(
    t: int, ahead: int, behind: int, dtype: torch.dtype, layout: torch.memory_format, back: bool
) -> None:
    frames = frames_of(t, 19, layout, dtype, (11, 13))
    own = frames.clone()
    want = triton_shift(frames, t, ahead, behind, back)
    moved = frames[:, : ahead + behind]
    assert triton_moves._kernel_takes(moved, t) == (19, layout == torch.channels_last)
    assert not triton_moves.move_(moved, t, ahead, back).numel()
    assert torch.equal(frames, want)
    frames.copy_(own)
    fallen = triton_moves.move_(moved, t, ahead, back, keep=True)
    assert torch.equal(frames, want)
    early, late = own.unflatten(0, (2, t))[:, :: t - 1 or 1][:, [0, -1]].unbind(1)
    first, second = (late, early) if back else (early, late)
    assert torch.equal(fallen, torch.cat((first[:, :ahead], second[:, ahead : ahead + behind]), 1))
    assert fallen.is_contiguous(memory_format=layout)
    triton_moves.put_back_(moved, fallen, t, ahead, back)
    assert torch.equal(frames, own)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("channels", "fold", "size"), [(32, 8, (4, 4)), (48, 4, (2, 2)), (24, 3, (1, 8))])
def test_hints_for_what_moves_in_place_are_true(
    channels: int, fold: int, size: tuple[int, int], layout: torch.memory_format
) -> None:
    frames = frames_of(2, channels, layout, torch.float16, size)
    own, moved = frames.clone(), frames[:, : 2 * fold]
    fallen = triton_moves.move_(moved, 2, fold, keep=True)
    assert torch.equal(frames, triton_shift(own, 2, fold, fold))
    triton_moves.put_back_(moved, fallen, 2, fold)
    assert torch.equal(frames, own)


@pytest.mark.parametrize(("placement", "direction", "layout"), list(itertools.product(PLACEMENTS, DIRECTIONS, LAYOUTS)))
def test_what_moves_is_moved_for_its_reader_and_back(
    placement: Placement, direction: Direction, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit what ``copy_shift`` gives, with its gradients, in two launches."""
    from bench.ops import triton_launch

    kernel, made = triton_launch.move, []
    monkeypatch.setattr(triton_launch, "move", lambda *how: made.append(how[5]) or kernel(*how))
    blocks = []
    for name in ("triton_shift", "copy_shift"):
        strategy = load_class(name, strategy_files())(0.25, placement, direction)
        torch.manual_seed(0)
        block = Bottleneck(16, 4).to(DEVICE).eval()
        models.lay_out(block, layout)
        blocks.append(strategy.wrap(block, Site("conv1", "conv1"), 4))
    frames = frames_of(4, 16, layout, torch.float32, (3, 5))
    with torch.inference_mode():
        given = frames.clone()
        first, second = blocks[0](given), blocks[1](frames)
    assert torch.equal(first, second)
    back = direction == "unidirectional"  # in which all that moves is moved later
    assert made == ([back, not back] if placement == "residual" else [back])
    assert torch.equal(given, frames) is (placement == "residual")
    trained = [frames.clone().requires_grad_() for _ in blocks]
    for block, own in zip(blocks, trained, strict=True):
        block(own * 1.0).sin().sum().backward()
    assert torch.equal(trained[0], frames)
    torch.testing.assert_close(trained[0].grad, trained[1].grad)
