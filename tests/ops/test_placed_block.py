"""The pass that ends a block and places channels, element by element, and the chain of blocks that it makes."""

import pytest
import torch
from torch import Tensor

from bench import models
from bench.ops import native
from bench.ops.placed_block import Handed, PlacedBlock
from bench.ops.placed_operators import finish, finish_block_, finishes_natively, restored
from bench.plugins.discovery import load_class, strategy_files
from tests.ops import needs_compiler

pytestmark = needs_compiler
SHAPES = [  # clips, frames, channels, of which move each way, both ways?
    (2, 8, 64, 8, True),
    (1, 3, 7, 1, True),
    (2, 1, 16, 4, True),
    (3, 2, 12, 5, False),
    (1, 8, 16, 0, True),
    (2, 4, 16, 8, True),
    (2, 4, 16, 16, False),
]


def shifted(clip: Tensor, fold: int, both: bool) -> Tensor:
    """[N, T, C, H, W], by slices."""
    out, behind = clip.clone(), slice(fold, 2 * fold) if both else slice(0, fold)
    if fold and both:
        out[:, :-1, :fold] = clip[:, 1:, :fold]
        out[:, -1, :fold] = 0
    if fold:
        out[:, 1:, behind] = clip[:, :-1, behind]
        out[:, 0, behind] = 0
    return out


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("clips", "frames", "channels", "fold", "both"), SHAPES)
def test_a_block_ends_in_one_pass_as_in_three(
    clips: int, frames: int, channels: int, fold: int, both: bool, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    """Native code against plain torch: it places what the next block reads, and finds a shortcut that was placed."""

    def random() -> Tensor:
        return torch.randn(clips * frames, channels, 5, 6).to(dtype).contiguous(memory_format=layout)

    scale, offset, of_shortcut = torch.rand(channels), torch.randn(channels), torch.rand(channels)
    moves, none = (fold if both else 0, fold), (0, 0)
    for rectified, first in ((True, of_shortcut), (False, None)):
        given = [random(), random()]
        placed, fallen = compared(given, scale, offset, first, None, frames, *none, *moves, rectified)
        features = restored(placed, fallen, frames, *moves).unflatten(0, (clips, frames))
        assert torch.equal(placed, shifted(features, fold, both).flatten(0, 1))
        held = fallen if fold else None
        compared([random(), placed], scale, offset, None, held, frames, *moves, *none, rectified)  # the next block
        wider = (0, channels) if channels % 2 else (channels // 2, channels // 2)
        compared([random(), placed], scale, offset, None, held, frames, *moves, *wider, rectified)


def compared(given: list[Tensor], *rest: object) -> tuple[Tensor, Tensor]:
    """What native code and plain torch, in fp64, give alike: the output, and what has fallen off."""
    exact = [own.double() if isinstance(own, Tensor) else own for own in (*given, *rest)]
    out, shortcut = given
    scale, offset, *others = rest
    assert finishes_natively(out)
    fallen = finish(out, scale, offset, shortcut, *others)
    other, same, scale, offset, *others = exact
    fallen_exactly = finish_block_(other, scale, offset, same, *others)
    torch.testing.assert_close(fallen, fallen_exactly.to(out.dtype))
    torch.testing.assert_close(out, other.to(out.dtype))
    return out, fallen


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_no_number_stays_none(dtype: torch.dtype) -> None:
    values = torch.tensor([torch.nan, -torch.nan, -torch.inf, torch.inf, -1e-45, -0.0]).to(dtype)
    got = values.clone()[None, None, None]
    finish(got, torch.ones(1), torch.zeros(1), torch.zeros_like(got), None, None, 1, 0, 0, 0, 0, True)
    torch.testing.assert_close(got.flatten(), torch.relu(values), rtol=0, atol=0, equal_nan=True)


def test_wrong_shapes_are_refused() -> None:
    x, ones = torch.randn(4, 8, 3, 3), torch.ones(8)
    aside, none = torch.empty(2, 4, 3, 3), torch.empty(2, 0, 3, 3)
    for wrong, told in (
        ((x, aside, ones, ones, x[:, :4], None, None, 2, 0, 0, 2, 2, True), "one shape"),
        ((x, aside, ones, ones, x.bfloat16(), None, None, 2, 0, 0, 2, 2, True), "one shape"),
        ((x, aside[:1], ones, ones, x, None, None, 2, 0, 0, 2, 2, True), "another shape"),
        ((x, none, ones, ones, x, None, None, 2, 2, 2, 0, 0, True), "another shape"),
        ((x, none, ones[:4], ones, x, None, None, 2, 0, 0, 0, 0, True), "one of each channel"),
        ((x, none, ones, ones, x, None, None, 3, 0, 0, 0, 0, True), "whole number of clips"),
        ((x, torch.empty(2, 12, 3, 3), ones, ones, x, None, None, 2, 0, 0, 6, 6, True), "more channels move"),
    ):
        with pytest.raises(RuntimeError, match=told):
            native.operators().finish_(*wrong)


@pytest.mark.parametrize("placement", ["residual", "inplace"])
def test_blocks_hand_on_what_the_next_one_reads(placement: str) -> None:
    network = models.insert(load_class("placed_shift", strategy_files())(0.25, placement), models.build("resnet18", 2))  # type: ignore[arg-type]
    given: list[str] = []

    def see(block: PlacedBlock, _: object, out: Tensor | Handed) -> None:
        given.append("whole" if isinstance(out, Tensor) else "own" if out.fallen is None else "placed")

    for module in network.modules():
        if isinstance(module, PlacedBlock):
            module.register_forward_hook(see)
    frames = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        network(frames)
    before_a_stage = "own" if placement == "residual" else "placed"  # whose shortcut has a convolution
    assert given == ["placed", before_a_stage, "placed", before_a_stage, "placed", before_a_stage, "placed", "whole"]
    given.clear()
    network(frames).sum().backward()
    assert given == ["whole"] * 8


def test_lone_blocks_leave_their_input_as_it_was() -> None:
    network = models.insert(load_class("placed_shift", strategy_files())(0.25), models.build("resnet18", 2))
    for block, channels in ((network.trunk.layer1[0], 64), (network.trunk.layer2[0], 64)):
        frames = torch.randn(4, channels, 6, 6)
        before = frames.clone()
        with torch.inference_mode():
            block(frames)
        assert torch.equal(frames, before)


def test_frame_by_frame_it_says_nothing_of_blocks_that_are_not_the_networks() -> None:
    """The proof that it can stream runs on blocks in which it falls back; ResNet's own it takes in its own way."""
    strategy = load_class("placed_shift", strategy_files(None))(0.125, "residual", "unidirectional")
    models.go_online(strategy, models.build("resnet18", 1))
    assert not strategy.fallbacks
