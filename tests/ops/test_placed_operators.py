"""The end of a block on a GPU, on a processor without Triton: exact in plain torch, known to who looks at operators."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.library import opcheck
from torchvision.models.resnet import Bottleneck

from bench import models
from bench.measure.latency.traffic import count
from bench.ops import placed_block
from bench.ops.placed_block import Handed, PlacedBlock
from bench.ops.placed_operators import finish_block_, restored
from bench.ops.triton_moves import move_
from bench.plugins.discovery import load_class, strategy_files
from bench.strategy import Site
from tests.ops.test_placed_block import SHAPES, shifted

LAYOUTS = [torch.contiguous_format, torch.channels_last]


def frames(*shape: int, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    made = torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.double)
    return made.contiguous(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("clips", "t", "channels", "fold", "both"), SHAPES)
def test_a_block_ends_placed_and_the_next_one_finds_its_shortcut(
    clips: int, t: int, channels: int, fold: int, both: bool, layout: torch.memory_format
) -> None:
    x, first, second = (frames(clips * t, channels, 5, n, layout=layout) for n in (6, 6, 6))
    scale, offset = torch.rand(channels, dtype=torch.double), torch.randn(channels, dtype=torch.double)
    moves, none = ((fold if both else 0), fold), (0, 0)

    def ended(out: Tensor, shortcut: Tensor) -> Tensor:
        return torch.relu(out * scale[:, None, None] + offset[:, None, None] + shortcut)

    placed = first.clone(memory_format=torch.preserve_format)
    fallen = finish_block_(placed, scale, offset, x, None, None, t, *none, *moves, True)
    features = ended(first, x)
    torch.testing.assert_close(placed, shifted(features.unflatten(0, (clips, t)), fold, both).flatten(0, 1))
    torch.testing.assert_close(restored(placed, fallen, t, *moves), features)
    out = second.clone(memory_format=torch.preserve_format)
    assert not finish_block_(out, scale, offset, placed, None, fallen, t, *moves, *none, True).numel()
    torch.testing.assert_close(out, ended(second, features))
    moved = features.clone(memory_format=torch.preserve_format)
    move_(moved[:, : sum(moves)], t, moves[0])
    torch.testing.assert_close(moved, placed)


def test_what_is_no_number_stays_none_and_a_projected_shortcut_is_normalised() -> None:
    out, shortcut = frames(2, 3, 1, 1), frames(2, 3, 1, 1)
    out[0, 0] = torch.nan
    ones = torch.ones(3, dtype=torch.double)
    want = torch.relu(out + 2 * ones[:, None, None] + 3 * shortcut)
    finish_block_(out, ones, 2 * ones, shortcut, 3 * ones, None, 2, 0, 0, 0, 0, True)
    torch.testing.assert_close(out, want, equal_nan=True)


def test_the_operators_are_declared_rightly() -> None:
    given: Any = frames(4, 6, 3, 3).float(), torch.rand(6), torch.rand(6), frames(4, 6, 3, 3).float(), None, None
    outcomes = opcheck(finish_block_, (*given, 2, 0, 0, 1, 1, True))
    assert outcomes and set(outcomes.values()) == {"SUCCESS"}


def test_wrong_shapes_are_refused() -> None:
    x, ones = frames(4, 6, 3, 3), torch.ones(6, dtype=torch.double)
    for out, shortcut, t, told in ((x, x[:, :3], 2, "of their shape"), (x[..., ::2], x[..., ::2], 2, "without gaps")):
        with pytest.raises(ValueError, match=told):
            finish_block_(out, ones, ones, shortcut, None, None, t, 0, 0, 0, 0, True)
    with pytest.raises(ValueError, match="whole number of clips"):
        finish_block_(x, ones, ones, x, None, None, 3, 0, 0, 0, 0, True)


def test_traffic_is_three_passes_whatever_moves() -> None:
    x, size = frames(8, 16, 4, 4).float(), 8 * 16 * 4 * 4 * 4
    given = torch.rand(16), torch.rand(16), x.clone(), None, None
    for fold in (0, 2, 8):
        with torch.inference_mode():
            moved = count(lambda fold=fold: finish_block_(x, *given, 4, 0, 0, fold, fold, True)).bytes_moved
        aside = size * 2 * fold // 16 // 4  # of the moved channels, a frame of four
        assert moved == 3 * size + aside + 2 * 16 * 4


@pytest.fixture
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks take the way of a GPU; their operators then compute in plain torch."""
    monkeypatch.setattr(placed_block, "takes", lambda *tensors: True)


@pytest.mark.usefixtures("_as_on_a_gpu")
@pytest.mark.parametrize("placement", ["residual", "inplace"])
def test_blocks_hand_on_what_the_next_one_reads(placement: Any) -> None:
    network = models.insert(load_class("placed_shift", strategy_files())(0.25, placement), models.build("resnet18", 2))
    given: list[str] = []

    def see(block: PlacedBlock, _: object, out: Tensor | Handed) -> None:
        given.append("whole" if isinstance(out, Tensor) else "own" if out.fallen is None else "placed")

    for module in network.modules():
        if isinstance(module, PlacedBlock):
            module.register_forward_hook(see)
    x = torch.randn(4, 3, 32, 32)
    with torch.inference_mode():
        network(x)
    before_a_stage = "own" if placement == "residual" else "placed"
    assert given == ["placed", before_a_stage, "placed", before_a_stage, "placed", before_a_stage, "placed", "whole"]
    given.clear()
    network(x).sum().backward()
    assert given == ["whole"] * 8


@pytest.mark.usefixtures("_as_on_a_gpu")
def test_weights_that_change_are_seen() -> None:
    """Scale and offset are kept from forward to forward."""
    names = ("placed_shift", "copy_shift")
    networks = [models.insert(load_class(name, strategy_files())(0.25), models.build("resnet18", 2)) for name in names]
    block, other = (network.trunk.layer4[1] for network in networks)  # the last: it hands on one tensor
    x = torch.rand(4, 512, 3, 3)
    for _ in range(2):
        with torch.inference_mode():
            torch.testing.assert_close(block(x.clone()), other(x.clone()), rtol=1e-4, atol=1e-5)
        for norm in (block._layers.last.norm, other.bn2):
            with torch.no_grad():
                norm.weight.mul_(2.0)
                norm.running_mean.add_(0.5)


def test_compile_traces_through_the_way_of_a_gpu_without_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also through the question whether a kernel takes the features, of which the answer here is made up."""
    asked = placed_block.takes
    monkeypatch.setattr(placed_block, "takes", lambda *tensors: asked(*tensors) or True)
    strategy = load_class("placed_shift", strategy_files())(0.5)
    block = strategy.wrap(Bottleneck(16, 4).eval(), Site("conv1", "conv1"), 4)
    x = torch.randn(8, 16, 3, 3)
    with torch.no_grad():
        compiled = torch.compile(block, backend="aot_eager", fullgraph=True)  # fullgraph: a break raises
        torch.testing.assert_close(compiled(x), block(x))
