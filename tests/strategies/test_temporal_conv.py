"""The learnable convolution over time: at first the identity, dearer than a shift, and causal where it must be."""

import copy
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.resnet import BasicBlock

from bench import models
from bench.spec.axes import DIRECTIONS, PLACEMENTS, Direction, Placement
from bench.strategy import Site
from strategies.temporal_conv import DepthwiseTemporalConv, TemporalConv

SITE = Site("conv1", "conv1")


def random_frames(count: int, channels: int = 1, size: int = 32) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def flops(network: nn.Module, frames: Tensor) -> int:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(frames)
    return int(counter.get_total_flops())


def convolutions(network: nn.Module) -> list[nn.Conv2d]:
    return [module for module in network.modules() if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 1)]


@pytest.mark.parametrize("name", ["digits_resnet", "mobilenet_v2"])
def test_a_whole_network_is_kept_at_first(name: str) -> None:
    base = models.build(name, 4)
    frames = random_frames(8, 1 if name == "digits_resnet" else 3)
    for placement, direction in product(PLACEMENTS, DIRECTIONS):
        network = models.insert(TemporalConv(1.0, placement, direction), copy.deepcopy(base))
        with torch.inference_mode():
            want, got = base(frames), network(frames)
        assert (got - want).abs().max() <= 1e-5 * want.abs().max()
        assert len(convolutions(network)) == len(list(models.sites(base)))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_what_it_adds(placement: Placement) -> None:
    base = models.build("digits_bottleneck", 8)
    frames = random_frames(8)
    channels = [site.layer(parent.get_submodule(at)).in_channels for parent, at, site in models.sites(base)]
    sides = [16] * 4 + [8] * 4 + [4] * 6 + [2] * 2  # a stage's first block reads what the stage before it gives
    weights, operations = sum(parameter.numel() for parameter in base.parameters()), flops(base, frames)
    for direction in DIRECTIONS:
        network = models.insert(TemporalConv(1.0, placement, direction), copy.deepcopy(base))
        added = sum(parameter.numel() for parameter in network.parameters()) - weights
        assert added == sum(3 * c * c for c in channels) > 0
        more = flops(network, frames) - operations
        assert more == sum(2 * 3 * c * c * 8 * side * side for c, side in zip(channels, sides, strict=True))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_it_is_the_convolution_that_it_says(
    direction: Direction, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    block = nn.Sequential()
    block.conv1 = nn.Conv2d(6, 6, 1, bias=False)
    nn.init.dirac_(block.conv1.weight)
    wrapped = TemporalConv(1.0, "residual", direction).wrap(block.to(dtype).to(memory_format=layout), SITE, 4)
    (convolution,) = convolutions(wrapped)
    assert convolution.weight.stride() == torch.empty(6, 6, 3, 1).to(memory_format=layout).stride()
    nn.init.normal_(convolution.weight)
    frames = random_frames(8, 6, 5).to(dtype).contiguous(memory_format=layout)
    with torch.inference_mode():
        got = wrapped(frames)
    assert got.dtype == dtype and convolution.weight.dtype == dtype
    if layout is torch.channels_last:
        assert got.is_contiguous(memory_format=layout)
    clips = frames.float().unflatten(0, (2, 4)).transpose(1, 2)
    before, after = (2, 0) if direction == "unidirectional" else (1, 1)
    clips = nn.functional.pad(clips, (0, 0, 0, 0, before, after))
    kernel = convolution.weight.detach().float().unsqueeze(-1)  # [C, C, 3, 1] -> [C, C, 3, 1, 1]
    want = conv3d(clips, kernel).transpose(1, 2).flatten(0, 1)
    assert (got.float() - want).abs().max() <= (1e-5 if dtype == torch.float32 else 2e-2) * want.abs().max()


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_which_frames_meet_once_it_has_learned(direction: Direction) -> None:
    block = BasicBlock(4, 4).eval()
    wrapped = TemporalConv(1.0, "inplace", direction).wrap(block, SITE, 6)
    (convolution,) = convolutions(wrapped)
    nn.init.normal_(convolution.weight)
    frames = random_frames(12, 4, 4).requires_grad_()
    reached = []
    for frame in range(12):
        (gradient,) = torch.autograd.grad(wrapped(frames)[frame].square().sum(), frames)
        reached.append({int(index) for index in gradient.flatten(1).any(dim=1).nonzero()})
    assert reached[3] == ({1, 2, 3} if direction == "unidirectional" else {2, 3, 4})
    assert reached[5] == ({3, 4, 5} if direction == "unidirectional" else {4, 5})
    assert reached[6] == ({6} if direction == "unidirectional" else {6, 7})  # the second clip's first frame


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_gradients_reach_every_tap(placement: Placement) -> None:
    network = models.build_trainable("digits_resnet", 4)
    models.insert(TemporalConv(1.0, placement), network).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(random_frames(8))
    logits.float().square().sum().backward()
    for convolution in convolutions(network):
        gradient = convolution.weight.grad
        assert gradient is not None and gradient.isfinite().all()
        assert all(gradient[:, :, tap].any() for tap in range(3))


def test_shortcut_is_convolved_in_place_only() -> None:
    for placement in PLACEMENTS:
        block = BasicBlock(4, 4).eval()
        nn.init.zeros_(block.bn2.weight)  # the output is the shortcut
        wrapped = TemporalConv(1.0, placement).wrap(block, SITE, 4)
        nn.init.normal_(convolutions(wrapped)[0].weight)
        frames = random_frames(8, 4, 4).abs()
        with torch.inference_mode():
            assert torch.equal(wrapped(frames), frames) is (placement == "residual")


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_channel_by_channel_it_has_three_weights_each(direction: Direction) -> None:
    base, frames = models.build("digits_bottleneck", 4), random_frames(8)
    channels = [site.layer(parent.get_submodule(at)).in_channels for parent, at, site in models.sites(base)]
    weights = sum(parameter.numel() for parameter in base.parameters())
    with torch.inference_mode():
        want = base(frames)
        network = models.insert(DepthwiseTemporalConv(1.0, "residual", direction), copy.deepcopy(base))
        assert (network(frames) - want).abs().max() <= 1e-5 * want.abs().max()
    assert sum(parameter.numel() for parameter in network.parameters()) - weights == 3 * sum(channels)

    block = nn.Sequential()
    block.conv1 = nn.Conv2d(6, 6, 1, bias=False)
    nn.init.dirac_(block.conv1.weight)
    wrapped = DepthwiseTemporalConv(1.0, "residual", direction).wrap(block, SITE, 4)
    (convolution,) = convolutions(wrapped)
    nn.init.normal_(convolution.weight)
    frames = random_frames(8, 6, 5)
    clips = frames.unflatten(0, (2, 4))
    past = 2 if direction == "unidirectional" else 1
    around = nn.functional.pad(clips, (0, 0, 0, 0, 0, 0, past, 2 - past))
    taps = convolution.weight[:, 0, :, 0]
    with torch.inference_mode():
        expected = sum(around[:, tap : tap + 4] * taps[:, tap, None, None] for tap in range(3))
        torch.testing.assert_close(wrapped(frames).unflatten(0, (2, 4)), expected)


def test_other_fractions() -> None:
    block = BasicBlock(4, 4)
    assert TemporalConv(0.0).wrap(block, SITE, 4) is block and not convolutions(block)
    with pytest.raises(ValueError, match=r"its fraction is 1, not 0.25"):
        TemporalConv(0.25).wrap(block, SITE, 4)
