"""The shift at the narrow part of the bottleneck: conv2 reads shifted features, and nothing else changes."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from bench import models
from bench.ops.frames import moved_groups
from bench.ops.in_place import FrameByFrame
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.axes import DIRECTIONS, Direction
from bench.strategy import Site

FILES = strategy_files()
SITE = Site("conv1", "conv1")


def wrapped(block: nn.Module, t: int, fraction: float = 0.25, direction: Direction = "bidirectional") -> nn.Module:
    return load_class("inner_shift", FILES)(fraction, "residual", direction).wrap(block, SITE, t).eval()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("training", [True, False])
def test_conv2_reads_shifted_features_and_conv1_does_not(direction: Direction, training: bool) -> None:
    t, frames, read = 3, torch.randn(6, 32, 5, 5), {}
    plain = Bottleneck(32, 8).eval()
    weights = plain.state_dict()
    for name in ("conv1", "conv2"):
        getattr(plain, name).register_forward_pre_hook(lambda _, args, name=name: read.update({name: args[0].clone()}))
    with torch.no_grad():
        plain(frames)
    inner = read["conv2"].clone()
    FrameByFrame().shift(inner.unflatten(0, (-1, t)), moved_groups(1 if direction == "bidirectional" else 2, direction))

    block = Bottleneck(32, 8).eval()
    block.load_state_dict(weights)
    seen: dict[str, Tensor] = {}
    block.conv1.register_forward_pre_hook(lambda _, args: seen.update(conv1=args[0].clone()))
    block.conv2.register_forward_pre_hook(lambda _, args: seen.update(conv2=args[0].clone()))
    with torch.set_grad_enabled(training):
        wrapped(block, t, direction=direction)(frames.clone())
    assert torch.equal(seen["conv1"], frames)
    assert torch.equal(seen["conv2"], inner)
    assert not torch.equal(inner, read["conv2"])


def test_resnet50_is_shifted_at_every_conv2_and_the_cache_is_the_papers() -> None:
    """1/8 of every conv2 input at 224² in fp32: the paper's 0.9 MB; of every conv1 input: 2.81 MB."""
    read: dict[str, int] = {}
    network = models.build("resnet50", 1)
    places = {name: module for name, module in network.named_modules() if name.endswith((".conv1", ".conv2"))}
    for name, module in places.items():
        module.register_forward_pre_hook(lambda _, args, name=name: read.update({name: args[0].numel() * 4}))
    with torch.inference_mode():
        network(torch.randn(1, 3, 224, 224))
    at = {where: sum(size for name, size in read.items() if name.endswith(where)) / 8 for where in ("conv1", "conv2")}
    shifted = models.insert(load_class("inner_shift", FILES)(1 / 8), models.build("resnet50", 8))
    assert sum(name.endswith("conv2.net") for name, _ in shifted.named_modules()) == 16
    assert round(at["conv2"] / 1e6, 2) == 0.95
    assert round((at["conv1"] - read["trunk.conv1"] / 8) / 1e6, 2) == 2.81


def test_a_basic_block_has_no_narrow_place() -> None:
    block = wrapped(BasicBlock(8, 8), 2)
    assert "conv1.net.weight" in block.state_dict()
    strategy = load_class("inner_shift", FILES)()
    assert "no bottleneck" in (strategy.skip("resnet18", 8) or "")
    assert strategy.skip("resnet50", 8) is None
