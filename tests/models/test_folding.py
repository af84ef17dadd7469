"""Networks as they are deployed, their normalisations in their convolutions: the same function, the same places."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck

from bench import models
from bench.models.folding import fold_normalisations
from bench.ops import placed_block
from bench.ops.fused_block import FusedBlock
from bench.ops.placed_block import PlacedBlock
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.axes import ValueNotAllowed
from bench.strategy import Site

FRAMES = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def deviation(got: Tensor, want: Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "timm:tf_efficientnet_lite0"])
def test_a_folded_network_is_the_same_function_with_its_places_for_a_shift(name: str) -> None:
    plain, folded = models.build(name, 2), models.build(f"folded:{name}", 2)
    assert not [own for own in folded.modules() if isinstance(own, nn.BatchNorm2d)]
    assert [path for _, path, _ in models.sites(folded)] == [path for _, path, _ in models.sites(plain)]
    with torch.inference_mode():
        assert deviation(folded(FRAMES), plain(FRAMES)) <= 1e-4
        shift = load_class("copy_shift", strategy_files())
        shifted = [models.insert(shift(0.5), network)(FRAMES) for network in (folded, plain)]
    assert deviation(*shifted) <= 1e-4


def test_weights_are_folded_after_they_are_loaded(tmp_path: Path) -> None:
    other = models.build("resnet18", 2, seed=1)
    torch.save(other.trunk.state_dict(), tmp_path / "other.pt")
    with torch.inference_mode():
        loaded = models.build("folded:resnet18", 2, str(tmp_path / "other.pt"))(FRAMES)
        assert deviation(loaded, other(FRAMES)) <= 1e-4


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize(("name", "kind"), [("placed_shift", PlacedBlock), ("triton_conv", FusedBlock)])
def test_strategies_that_end_with_a_normalisation_do_without_it(
    name: str, kind: type[nn.Module], on_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if on_gpu:  # the way of one; its operators compute in plain torch
        monkeypatch.setattr(placed_block, "takes", lambda *tensors: True)
    projection = nn.Sequential(nn.Conv2d(16, 16, 1, bias=False), nn.BatchNorm2d(16))
    block = Bottleneck(16, 4, downsample=projection).eval()
    for norm in (own for own in block.modules() if isinstance(own, nn.BatchNorm2d)):
        nn.init.normal_(norm.bias)
    fold_normalisations(block)
    frames, outs = torch.randn(8, 16, 5, 5, generator=torch.Generator().manual_seed(1)), []
    for own in (name, "copy_shift"):
        strategy = load_class(own, strategy_files())(0.5)
        wrapped = strategy.wrap(copy.deepcopy(block), Site("conv1", "conv1"), 4)
        assert isinstance(wrapped, kind) is (own == name) and not strategy.fallbacks
        with torch.inference_mode():
            outs.append(wrapped(frames.clone()))
    assert deviation(*outs) <= 1e-5


class _ReadTwice(nn.Module):
    """Somebody else reads what the convolution gives."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, frames: Tensor) -> Tensor:
        out = self.conv(frames)
        return self.norm(out) + out  # type: ignore[no-any-return]


class _Asks(nn.Module):
    """Cannot be traced."""

    def forward(self, frames: Tensor) -> Tensor:
        return frames if frames.sum() > 0 else -frames


@pytest.mark.parametrize(("network", "told"), [(_ReadTwice(), "no batch normalisation after"), (_Asks(), "traced")])
def test_what_cannot_be_folded_is_one_line(network: nn.Module, told: str) -> None:
    with pytest.raises(ValueNotAllowed, match=told):
        fold_normalisations(network.eval())
