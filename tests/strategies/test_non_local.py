"""Non-local blocks compute their paper's formula, in the places of the released code, with its shift where asked."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d, max_pool3d
from torchvision.models.resnet import Bottleneck

from bench import models
from bench.models.small_blocks import Reads
from bench.models.weights import disturb, learned
from bench.plugins.discovery import load_class, strategy_files
from bench.strategy import NotTaken, Site, Strategy

NON_LOCAL, COPY_SHIFT = (load_class(name, strategy_files()) for name in ("non_local", "copy_shift"))
SITE = Site("conv1", "conv1")


def made(shift_div: int = 0) -> Strategy:
    return NON_LOCAL(0.5, "inplace", "bidirectional", shift_div=shift_div)


def random_frames(clips: int, t: int, channels: int, size: int = 6) -> Tensor:
    return torch.randn(clips * t, channels, size, size, generator=torch.Generator().manual_seed(t))


def embedded_gaussian(module: nn.Module, video: Tensor) -> Tensor:
    """As the paper has it: [N, C, T, H, W] -> the same shape; all T H W positions in one row."""

    def volume(conv: nn.Module, features: Tensor) -> Tensor:
        return conv3d(features, conv.weight[:, :, None], conv.bias)  # type: ignore[index, arg-type]

    theta, phi, g = (volume(getattr(module, name), video) for name in ("theta", "phi", "g"))
    phi, g = (max_pool3d(features, (1, 2, 2)) for features in (phi, g))
    alike = torch.softmax(theta.flatten(2).transpose(1, 2) @ phi.flatten(2), -1)
    looks = (alike @ g.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(theta.shape)
    conv, norm = module.out  # type: ignore[misc]
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    added = (volume(conv, looks) - norm.running_mean.view(-1, 1, 1, 1)) * scale.view(-1, 1, 1, 1)
    out: Tensor = video + added + norm.bias.view(-1, 1, 1, 1)
    return out


@pytest.mark.parametrize("t", [1, 2, 5])
def test_it_is_its_papers_formula(t: int) -> None:
    torch.manual_seed(0)
    block = Reads(16)
    own = {id(parameter) for parameter in block.parameters()}
    wrapped = made().wrap(block, SITE, t)
    disturb(parameter for parameter in wrapped.parameters() if id(parameter) not in own)
    wrapped, frames = learned(wrapped).eval(), random_frames(2, t, 16)
    with torch.inference_mode():
        video = frames.unflatten(0, (2, t)).transpose(1, 2)
        want = embedded_gaussian(wrapped.exchange, video).transpose(1, 2).flatten(0, 1)  # type: ignore[arg-type]
        got = wrapped(frames.clone())
        lying_otherwise = wrapped(frames.contiguous(memory_format=torch.channels_last))
    assert (want - frames).abs().max() > 0.1 * frames.abs().max()
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()
    assert (lying_otherwise - want).abs().max() <= 1e-5 * want.abs().max()


def test_it_stands_where_the_released_code_has_it() -> None:
    """After blocks 0 and 2 of the second stage, 0, 2 and 4 of the third: before the ones that follow."""

    def blocks_of(network: nn.Module) -> set[str]:
        return {name for name, module in network.named_modules() if hasattr(module, "exchange")}

    digits = blocks_of(models.insert(made(), models.build_trainable("digits_resnet", 8)))
    assert digits == {"trunk.stages.1.1", "trunk.stages.2.1", "trunk.stages.2.3"}
    network = models.insert(made(), models.build("resnet50", 8))
    blocks = blocks_of(network)
    assert blocks == {f"trunk.layer{stage}.{number}" for stage, number in ((2, 1), (2, 3), (3, 1), (3, 3), (3, 5))}
    c = 512
    added = sum(parameter.numel() for parameter in network.trunk.layer2[1].exchange.parameters())  # type: ignore[index, union-attr]
    assert added == 2 * c * c + 4.5 * c


def test_the_shift_beside_it_is_the_released_one() -> None:
    """Non-local blocks add nothing at first, so what differs from the plain network is the shift."""
    frames = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    plain, both, shifted = (models.build("resnet18", 4).eval() for _ in range(3))
    models.insert(made(), plain)
    models.insert(made(8), both)
    models.insert(COPY_SHIFT(0.25), shifted)
    with torch.inference_mode():
        want = shifted(frames)
        assert (both(frames) - want).abs().max() <= 1e-5 * want.abs().max()
        assert (plain(frames) - want).abs().max() > 1e-3 * want.abs().max()


def test_a_network_without_stages_is_refused() -> None:
    with pytest.raises(NotTaken, match="tell no stage"):
        models.insert(made(), models.build("mobilenet_v2", 8))


def test_at_fraction_0_nothing_is_put_in() -> None:
    block = Bottleneck(32, 8)
    assert NON_LOCAL(0.0, "inplace", "bidirectional", shift_div=8).wrap(block, SITE, 4) is block
    assert made().refuses(1) and not made().refuses(2)
