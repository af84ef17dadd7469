"""Where networks of all kinds take a strategy, and that it can be taken out again."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from bench import models
from bench.models.residual_blocks import _by_type, residual_sites
from bench.strategy import Site, Strategy
from strategies.copy_shift import CopyShift
from strategies.no_shift import NoShift
from strategies.view_matmul import ViewMatmul

FIRST_SITES = {  # network: (how many, a block, the layer in it)
    "resnet18": (8, "layer1.0", "conv1"),
    "resnext50_32x4d": (16, "layer4.2", "conv1"),
    "wide_resnet50_2": (16, "layer2.0", "conv1"),
    "resnet101": (18, "layer3.22", "conv1"),  # 2 + 2 + 12 + 2 of 3 + 4 + 23 + 3
    "regnet_y_400mf": (16, "trunk_output.block1.block1-0", "f.a.0"),
    "mobilenet_v2": (10, "features.3", "conv.0.0"),
    "mobilenet_v3_small": (6, "features.3", "block.0.0"),
    "mobilenet_v3_large": (10, "features.1", "block.0.0"),
    "efficientnet_b0": (9, "features.2.1", "block.0.0"),
    "convnext_tiny": (18, "features.1.0", "block.0"),
    "mnasnet1_0": (10, "layers.8.1", "layers.0"),
}


def names(network: nn.Module) -> dict[str, str]:
    """{the path of a block: the layer in it}, of the places that take a strategy."""
    paths = {module: path for path, module in network.named_modules()}
    return {f"{paths[parent]}.{name}".lstrip("."): site.path for parent, name, site in models.sites(network)}


@pytest.mark.parametrize("name", FIRST_SITES)
def test_the_sites_of_torchvisions_networks(name: str) -> None:
    count, block, layer = FIRST_SITES[name]
    found = names(get_model(name))
    assert len(found) == count and found[block] == layer


def test_only_the_branches_of_long_stages_take_every_second_shift() -> None:
    """As released: place=block shifts before every block."""
    network = get_model("resnet101")
    assert [len(models.sites(network, placement)) for placement in ("residual", "inplace")] == [18, 33]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "mobilenet_v2"])
def test_tracing_and_block_types_agree(name: str) -> None:
    network = get_model(name)
    assert residual_sites(network) == _by_type(network) != {}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("regnety_004", 16),
        ("tf_efficientnet_lite0", 9),
        ("mobilenetv3_small_100", 6),
        ("resnet26d", 8),
        ("repvgg_a0", 0),
    ],
)
def test_the_sites_of_timms_networks(name: str, count: int) -> None:
    timm = pytest.importorskip("timm")
    assert len(names(timm.create_model(name))) == count


class Untraceable(nn.Module):
    """Its forward looks at values, and its blocks are torchvision's."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = get_model("resnet18")

    def forward(self, frames: Tensor) -> Tensor:
        return self.inner(frames) if frames.abs().max() > 0 else self.inner(-frames)  # type: ignore[no-any-return]


class Branch(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)

    def forward(self, frames: Tensor) -> Tensor:
        return torch.add(frames, self.second(self.first(frames).relu()))


class Plain(nn.Module):
    """A network of one's own: two residual blocks, one convolution outside of any."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks, self.head = nn.Conv2d(3, 8, 3), nn.Sequential(Branch(), Branch()), nn.Linear(8, 5)

    def forward(self, frames: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(frames)).mean(dim=(2, 3)))  # type: ignore[no-any-return]


def test_blocks_are_found_by_their_type_where_a_network_cannot_be_traced() -> None:
    assert list(names(Untraceable()))[:2] == ["inner.layer1.0", "inner.layer1.1"]


def test_a_network_of_ones_own() -> None:
    network = Plain()
    assert names(network) == {"blocks.0": "first", "blocks.1": "first"}
    network.shift_sites = {"blocks.1": "second"}  # type: ignore[assignment]
    assert names(network) == {"blocks.1": "second"}
    network.shift_sites = {"blocks.7": "second"}  # type: ignore[assignment]
    with pytest.raises(models.NoSites, match=r"names 'blocks.7': 'second', which the network lacks"):
        models.sites(network)


def test_a_network_without_residual_branches_is_told_how_to_name_places() -> None:
    with pytest.raises(models.NoSites, match=r"no residual block .* network.shift_sites = "):
        models.insert(CopyShift(0.25), get_model("vgg11"), num_segments=4)


@pytest.mark.parametrize("strategy", [CopyShift, ViewMatmul])
def test_insert_and_remove_in_a_network_of_ones_own(strategy: type[Strategy]) -> None:
    network, frames = Plain().eval(), torch.randn(8, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    before, keys = network(frames), list(network.state_dict())
    shifted = models.insert(strategy(0.25), network, num_segments=4)
    assert shifted is network and not torch.equal(network(frames), before)
    with torch.no_grad():
        network.head.bias += 1  # trained meanwhile
    models.remove(network)
    assert list(network.state_dict()) == keys
    torch.testing.assert_close(network(frames), before + 1)


class Copies(Strategy):
    """Takes a copy of the layer's weights."""

    name = "copies"

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        return site.replace(block, copy.deepcopy(site.layer(block)))


def test_what_holds_weights_in_another_form_is_not_taken_out() -> None:
    network = models.insert(Copies(0.25), Plain(), num_segments=4)
    structure = list(network.modules())
    with pytest.raises(ValueError, match=r"it holds blocks.0.first.weight in another form"):
        models.remove(network)
    assert list(network.modules()) == structure


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        (ViewMatmul(0.25, "inplace"), "view_matmul is not made for placement inplace; it is for: residual"),
        (NoShift(0.5), "no_shift is not made for fraction 0.5"),
    ],
)
def test_insert_refuses_what_a_strategy_does_not_declare(strategy: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        models.insert(strategy, Plain(), num_segments=4)  # type: ignore[arg-type]


def test_insert_asks_for_the_number_of_frames() -> None:
    with pytest.raises(ValueError, match="num_segments is missing"):
        models.insert(CopyShift(0.25), Plain())


def test_clips_of_another_length_than_the_network_s_are_refused() -> None:
    """16 frames are two clips of 8 or four of 4: whoever names one is held against the other."""
    with pytest.raises(ValueError, match="num_segments=4 asks for clips of 4 frames; this network has 8"):
        models.insert(CopyShift(0.25), models.build("resnet18", 8), num_segments=4)
    models.insert(CopyShift(0.25), models.build("resnet18", 8), num_segments=8)
