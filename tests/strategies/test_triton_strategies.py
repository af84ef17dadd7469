"""The fused convolution for CUDA, on a CPU: which layers are fused, and that all others are exact too."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import Bottleneck

from bench.ops.fused_block import FusedBlock
from bench.spec.axes import DIRECTIONS, Direction
from bench.strategy import ShiftBefore, Site
from strategies.copy_shift import CopyShift
from strategies.triton_conv import TritonConv

SITE = Site("conv1", "conv1")


class _Doubles(nn.Conv2d):
    """A convolution that computes something else, as a quantised one does."""

    def forward(self, frames: Tensor) -> Tensor:
        return 2 * super().forward(frames)


FUSED = {
    "plain": nn.Conv2d(16, 12, 1, bias=False),
    "bias": nn.Conv2d(16, 12, 1),
}
KEPT = {
    "3×3": nn.Conv2d(16, 12, 3, padding=1),
    "grouped": nn.Conv2d(16, 12, 1, groups=4),
    "strided": nn.Conv2d(16, 12, 1, stride=2),
    "padded": nn.Conv2d(16, 12, 1, padding=1),
    "padded by reflection": nn.Conv2d(16, 12, 1, padding=1, padding_mode="reflect"),
    "a subclass": _Doubles(16, 12, 1),
    "no convolution": nn.Sequential(nn.Conv2d(16, 12, 1), nn.Sigmoid()),
}


class _Reads(nn.Module):
    """A block that is its conv1."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.conv1 = copy.deepcopy(layer)

    def forward(self, frames: Tensor) -> Tensor:
        return self.conv1(frames)  # type: ignore[no-any-return]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", [*FUSED, *KEPT])
def test_any_layer_is_exact_and_only_a_plain_one_is_fused(kind: str, direction: Direction) -> None:
    layer = {**FUSED, **KEPT}[kind]
    frames = torch.randn(8, 16, 5, 5, generator=torch.Generator().manual_seed(0))
    outs = []
    for strategy in (TritonConv(0.5, "residual", direction), CopyShift(0.5, "residual", direction)):
        block = strategy.wrap(_Reads(layer), SITE, 4)
        outs.append(block(frames))
        if isinstance(strategy, TritonConv):
            assert isinstance(SITE.layer(block), ShiftBefore) is (kind in KEPT)
            assert bool(strategy.fallbacks) is (kind in KEPT)
    assert (outs[0] - outs[1]).abs().max() <= 1e-5 * outs[1].abs().max()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_float32_in_nchw_is_not_fused_on_a_device(dtype: torch.dtype, layout: torch.memory_format) -> None:
    strategy, block = TritonConv(), _Reads(FUSED["plain"]).to("meta", dtype).to(memory_format=layout)
    strategy.wrap(block, SITE, 4)
    left = dtype == torch.float32 and layout == torch.contiguous_format
    assert isinstance(SITE.layer(block), ShiftBefore) is left
    told = "conv1 reads float32 in NCHW, in which the fused product loads 4 bytes at a time: its input was shifted in"
    assert [sentence.startswith(told) for sentence in strategy.fallbacks] == [True] * left


def test_where_nothing_moves_a_layer_that_is_kept_is_left_alone() -> None:
    block = _Reads(KEPT["3×3"])
    layer = block.conv1
    strategy = TritonConv(0.0)
    assert SITE.layer(strategy.wrap(block, SITE, 4)) is layer and not strategy.fallbacks


def test_the_fused_layer_keeps_the_released_names() -> None:
    released = CopyShift().wrap(Bottleneck(16, 4), SITE, 8)
    block = TritonConv().wrap(Bottleneck(16, 4), SITE, 8)
    assert isinstance(block, FusedBlock)
    assert list(block.state_dict()) == list(released.state_dict())


class _Squares(Bottleneck):
    """A block that computes something else."""

    def forward(self, frames: Tensor) -> Tensor:
        return super().forward(frames).square()  # type: ignore[no-any-return]


def _looked_at() -> Bottleneck:
    block = Bottleneck(16, 4)
    block.bn1.register_forward_hook(lambda *_: None)
    return block


@pytest.mark.parametrize(
    "block",
    [
        _Squares(16, 4),
        _looked_at(),
        Bottleneck(16, 4, norm_layer=lambda channels: nn.GroupNorm(2, channels)),
        Bottleneck(16, 4, norm_layer=lambda channels: nn.BatchNorm2d(channels, track_running_stats=False)),
    ],
)
def test_nothing_is_fused_away_that_somebody_needs(block: Bottleneck) -> None:
    frames, outs = torch.randn(8, 16, 5, 5, generator=torch.Generator().manual_seed(0)), []
    for strategy in (TritonConv(0.5), CopyShift(0.5)):
        wrapped = strategy.wrap(copy.deepcopy(block), SITE, 4).eval()
        assert not isinstance(wrapped, FusedBlock)
        with torch.inference_mode():
            outs.append(wrapped(frames))
    assert (outs[0] - outs[1]).abs().max() <= 1e-5 * outs[1].abs().max()


@pytest.mark.parametrize("block", [Bottleneck(16, 4), InvertedResidual(16, 16, 1, 6)])
def test_a_fused_block_learns_as_its_layers_do(block: nn.Module) -> None:
    """Outputs, gradients and the statistics that its normalisations gather."""
    site = SITE if isinstance(block, Bottleneck) else Site("conv1", "conv.0.0")
    frames, learned = torch.randn(8, 16, 5, 5, generator=torch.Generator().manual_seed(0)), []
    for strategy in (TritonConv(0.5), CopyShift(0.5)):
        wrapped = strategy.wrap(copy.deepcopy(block), site, 4).train()
        out = wrapped(frames)
        out.sin().sum().backward()
        learned.append([out, *(own.grad for own in wrapped.parameters()), *wrapped.state_dict().values()])
    for got, want in zip(*learned, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


def test_compile_traces_through_a_block_of_either_path() -> None:
    frames = torch.randn(8, 16, 4, 4, generator=torch.Generator().manual_seed(1))
    for reader in (_Reads(FUSED["plain"]), _Reads(KEPT["3×3"]), Bottleneck(16, 4).eval()):
        block = TritonConv().wrap(reader, SITE, 4)
        with torch.no_grad():
            torch.testing.assert_close(torch.compile(block, backend="aot_eager", fullgraph=True)(frames), block(frames))
