"""What a product that normalises and rectifies must compute; run as ``kernel_properties`` is."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import Bottleneck

from bench.ops import triton_launch
from bench.ops.fused_block import FusedBlock
from bench.ops.triton_operators import triton_conv, triton_shift
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.axes import DIRECTIONS, Direction
from bench.strategy import Site
from tests.ops.kernel_properties import DEVICE, LAYOUTS, ROUNDING, close, frames_of, weight_of

PROJECTION = nn.Sequential(nn.Conv2d(24, 24, 1, 2), nn.BatchNorm2d(24))
BLOCKS = {  # with the place in them where the shift is read
    "of a ResNet": (Bottleneck(24, 6), Site("conv1", "conv1")),
    "that projects": (
        Bottleneck(24, 6, 2, nn.Sequential(nn.Conv2d(24, 24, 1, 2), nn.BatchNorm2d(24))),
        Site("", "conv1"),
    ),
    "of a MobileNetV2": (InvertedResidual(24, 24, 1, 2), Site("conv1", "conv.0.0")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("activation", ["none", "relu", "relu6"])
def test_the_product_ends_as_layers_after_it_do(
    activation: str, dtype: torch.dtype, layout: torch.memory_format
) -> None:
    frames, weight = frames_of(3, 37, layout, dtype, (4, 5)), weight_of(21, 37, dtype)
    scale, offset = (weight_of(n, 21, torch.float32)[n - 1, :, 0, 0] for n in (1, 2))
    out = conv2d(triton_shift(frames, 3, 5, 9).double(), weight.double())
    want = out * scale.double()[:, None, None] + offset.double()[:, None, None]
    if activation != "none":
        want = want.clamp(0.0, 6.0 if activation == "relu6" else None)
    got = triton_conv(frames, weight, offset, 3, 5, 9, False, scale, activation)
    assert got.dtype == dtype and got.is_contiguous(memory_format=layout)
    close(got, want, dtype)


def test_what_is_no_number_stays_none() -> None:
    frames, weight = frames_of(1, 8, LAYOUTS[0], torch.float32), weight_of(4, 8, torch.float32)
    frames[0, 0, 0, 0] = float("nan")
    assert triton_conv(frames, weight, None, 1, 0, 0, False, None, "relu6")[0, :, 0, 0].isnan().all()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", BLOCKS)
def test_a_block_begins_in_one_launch(
    kind: str, direction: Direction, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first normalisation and activation are none of their own, also where they have changed since."""
    block, site = BLOCKS[kind]
    launch, ends = triton_launch.product, list[str]()
    monkeypatch.setattr(triton_launch, "product", lambda *given: ends.append(given[-1]) or launch(*given))
    frames = frames_of(4, 24, layout, torch.float32, (3, 4))
    wrapped = []
    for name in ("triton_conv", "copy_shift"):
        strategy = load_class(name, strategy_files())(0.5, "residual", direction)
        own = copy.deepcopy(block).to(DEVICE).eval().to(memory_format=layout)
        wrapped.append(strategy.wrap(own, site, 4))
    assert isinstance(wrapped[0], FusedBlock)
    for seed in (0, 1):
        outs = []
        for own in wrapped:
            generator = torch.Generator().manual_seed(seed)
            for norm in (part for part in own.modules() if isinstance(part, nn.BatchNorm2d)):
                for tensor in (norm.weight.data, norm.bias.data, norm.running_mean, norm.running_var):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
            with torch.inference_mode():
                outs.append(own(frames.clone()))
        close(outs[0], outs[1].double(), torch.float32)
    assert ends == ["relu6" if kind == "of a MobileNetV2" else "relu"] * 2
