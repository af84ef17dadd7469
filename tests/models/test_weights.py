"""Checkpoints of the field load under their own names, made here from a network as released code would save it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18, resnet50

from bench import models
from bench.models import Network, load_weights, released_otherwise, set_head
from bench.models.weights import learned, released_settings
from bench.spec.axes import ValueNotAllowed, parse_fraction

CLASSES = 5
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def trained() -> State:
    """A ResNet-50 for a few classes, as torchvision saves it."""
    return learned(resnet50(num_classes=CLASSES)).state_dict()


def mit(state: State) -> dict[str, object]:
    """mit-han-lab/temporal-shift-module: every conv1 of a block is wrapped by its shift."""
    named = {}
    for key, value in state.items():
        key = re.sub(r"(layer\d\.\d+\.conv1)\.weight", r"\1.net.weight", key)
        named["module." + (key.replace("fc.", "new_fc.") if key.startswith("fc.") else f"base_model.{key}")] = value
    return {"epoch": 50, "arch": "resnet50", "state_dict": named, "best_prec1": 70.0}


def mmaction(state: State) -> dict[str, object]:
    """open-mmlab/mmaction2: convolution and normalisation in one module."""
    named = {}
    for key, value in state.items():
        key = key.replace("downsample.0.", "downsample.conv.").replace("downsample.1.", "downsample.bn.")
        key = re.sub(r"(?<!downsample\.)\bconv(\d)\.weight", r"conv\1.conv.weight", key)
        key = re.sub(r"\bbn(\d)\.", r"conv\1.bn.", key)
        key = re.sub(r"(layer\d\.\d+\.conv1\.conv)\.weight", r"\1.net.weight", key)
        named[key.replace("fc.", "cls_head.fc_cls.") if key.startswith("fc.") else f"backbone.{key}"] = value
    return {"meta": {}, "state_dict": named}


def mit_block(state: State) -> dict[str, object]:
    """place=block: whole blocks are wrapped. From a training under torch.compile, on several GPUs."""
    named = {}
    for key, value in state.items():
        key = re.sub(r"^(layer\d\.\d+)\.", r"\1.net.", key)
        named[f"_orig_mod.module.{key.replace('fc.', 'new_fc.') if key.startswith('fc.') else f'base_model.{key}'}"] = (
            value
        )
    return {"model_state_dict": named}


def mmaction_1x(state: State) -> dict[str, object]:
    named = mmaction(state)["state_dict"] | {"data_preprocessor.mean": torch.zeros(3)}  # type: ignore[operator]
    return {"message_hub": {}, "state_dict": named}


def averaged(state: State) -> dict[str, object]:
    """As timm's training script keeps its moving average; an old PyTorch counted no batches."""
    kept = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    return {"state_dict_ema": kept}


SAVED = {
    **{"torchvision": dict, "mit-han-lab": mit, "mit-han-lab block": mit_block},
    **{"mmaction2 0.x": mmaction, "mmaction2 1.x": mmaction_1x, "moving average": averaged},
}


@pytest.mark.parametrize("save", SAVED.values(), ids=SAVED)
def test_a_checkpoint_loads_whatever_it_calls_its_weights(
    save: Callable[[State], object], trained: State, tmp_path: Path
) -> None:
    torch.save(save(trained), tmp_path / "checkpoint.pth")
    network = Network(resnet50(), 2)
    load_weights(network, tmp_path / "checkpoint.pth")
    loaded = network.trunk.state_dict()
    assert loaded.keys() == trained.keys()
    learned_names = [key for key in trained if not key.endswith("num_batches_tracked")]
    assert all(torch.equal(loaded[key], trained[key]) for key in learned_names)
    assert network.trunk.fc.out_features == CLASSES


def test_safetensors(tmp_path: Path) -> None:
    state = learned(resnet18(num_classes=CLASSES)).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    network = Network(resnet18(), 2)
    load_weights(network, tmp_path / "weights.safetensors")
    assert all(torch.equal(value, state[key]) for key, value in network.trunk.state_dict().items())
    (tmp_path / "torn.safetensors").write_bytes(b"no header")
    with pytest.raises(ValueNotAllowed, match="cannot be read as weights"):
        load_weights(network, tmp_path / "torn.safetensors")


@pytest.mark.parametrize(
    "file", ["TSM_kinetics_RGB_mobilenetv2_shift8_blockres.pth", "mobilenetv2_jester_online.pth.tar"]
)
def test_a_released_mobilenet(file: str, tmp_path: Path) -> None:
    """mit-han-lab's MobileNetV2 has flat blocks; the shift wraps their first layer where there is a shortcut. Nothing
    is wrapped in the online one, whose last layer has another name."""
    online = "online" in file
    trained = learned(mobilenet_v2(num_classes=CLASSES)).state_dict()
    flat = {"1.0": "3", "1.1": "4", "0.0": "0", "0.1": "1", "2": "6", "3": "7"}
    named = {}
    for key, value in trained.items():
        if found := re.match(r"features\.(\d+)\.conv\.(\d\.\d|\d)\.(.*)", key):
            block, layer, rest = found.groups()
            place = {"0.0": "0", "0.1": "1", "1": "3", "2": "4"}[layer] if block == "1" else flat[layer]
            wrapped = "net." if block in ("3", "5", "6", "8") and place == "0" and not online else ""
            key = f"features.{block}.conv.{place}.{wrapped}{rest}"
        head = "classifier" if online else "module.new_fc"
        body = "" if online else "module.base_model."
        named[key.replace("classifier.1", head) if "classifier" in key else body + key] = value
    torch.save(named if online else {"state_dict": named}, tmp_path / file)
    network = Network(mobilenet_v2(), 2)
    load_weights(network, tmp_path / file)
    assert all(torch.equal(value, trained[key]) for key, value in network.trunk.state_dict().items())


LAST_LAYERS = {"resnet18": 1, "torchvision:squeezenet1_1": 1, "timm:deit_tiny_distilled_patch16_224": 2}


@pytest.mark.parametrize("name", LAST_LAYERS)
def test_a_new_last_layer(name: str, tmp_path: Path) -> None:
    """Linear, or a 1×1 convolution, or two that are averaged: from a seed, and as large as a file's."""
    before, states = models.build(name, 1).state_dict(), []
    for seed in (3, 3, 4):
        network, random_numbers = models.build(name, 1), torch.get_rng_state()
        set_head(network, CLASSES, seed)
        assert torch.equal(torch.get_rng_state(), random_numbers)
        states.append(network.state_dict())
    edge = models.edge_of(network.trunk, 64)
    assert network(torch.zeros(2, 3, edge, edge)).shape == (2, CLASSES)
    first, again, other = states
    new = [key for key in first if first[key].shape != before[key].shape]
    assert len(new) == 2 * LAST_LAYERS[name] and all(
        torch.equal(first[key], before[key]) for key in first if key not in new
    )
    assert all(torch.equal(first[key], again[key]) and not torch.equal(first[key], other[key]) for key in new)
    torch.save(network.trunk.state_dict(), tmp_path / "mine.pth")
    loaded = models.build(name, 1, str(tmp_path / "mine.pth")).state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in other.items())


def test_a_network_without_a_last_layer_is_one_line() -> None:
    with pytest.raises(ValueNotAllowed, match="no last layer to replace"):
        set_head(Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), 1), CLASSES, 0)


_USUAL = "TSM_jester_RGB_resnet50_shift8_blockres_avg_segment8_e50"
RELEASED = {
    f"{_USUAL}.pth": "1/4 residual bidirectional 8",
    f"{_USUAL}/ckpt.best.pth.tar": "1/4 residual bidirectional 8",
    "TSM_somethingv2_RGB_resnet101_shift4_block_avg_segment16_e45.pth": "1/2 inplace bidirectional 16",
    "mobilenetv2_jester_online.pth.tar": "1/8 residual unidirectional",
    "tsm_r50_1x1x8_50e_kinetics400_rgb_20200607-af7fb746.pth": "1/4 residual bidirectional 8",
    "tsm_imagenet-pretrained-r50_8xb16-dense-1x1x16-50e_kinetics400-rgb.pth": "1/4 residual bidirectional 16",
    "resnet50-0676ba61.pth": "",
}


@pytest.mark.parametrize("name", RELEASED)
def test_the_names_of_released_files_tell_how_they_were_trained(name: str) -> None:
    told = released_settings(Path(name))
    assert list(told) == ["fraction", "placement", "direction", "segments"][: len(told)]
    assert " ".join(map(str, told.values())) == RELEASED[name]


def test_a_released_network_without_a_shift() -> None:
    assert released_settings(Path("TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth")) == {"fraction": 0, "segments": 5}


def test_what_is_asked_for_otherwise_is_a_line() -> None:
    file = Path(f"{_USUAL}.pth")
    asked = {"fraction": parse_fraction("1/4"), "placement": "residual", "direction": "bidirectional", "segments": 8}
    assert released_otherwise(file, **asked) is None
    assert released_otherwise(Path("my.pth"), fraction=parse_fraction("1/8")) is None
    line = released_otherwise(file, **asked | {"direction": "unidirectional", "segments": 16})
    assert line == (
        f"{file} was trained with direction bidirectional, segments 8, as its name says, and is asked for with "
        "direction unidirectional, segments 16; a causal network never sees the next frame"
    )


def test_the_first_names_that_differ_are_told(tmp_path: Path) -> None:
    torch.save(resnet18().state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(ValueNotAllowed, match=r"it lacks layer1.0.bn3.bias, .* … \(\d+ names\)"):
        load_weights(Network(resnet50(), 2), tmp_path / "resnet18.pth")


class Evil:
    """Runs code where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def test_what_is_no_such_checkpoint_is_one_line_and_runs_nothing(tmp_path: Path) -> None:
    network, file = Network(resnet18(), 1), tmp_path / "checkpoint.pth"
    with pytest.raises(ValueNotAllowed, match="there is no file"):
        load_weights(network, file)
    for stored, message in (
        ({"state_dict": {"conv1.weight": torch.zeros(3)}}, "is of another network"),
        ({"epoch": 3}, "holds no weights"),
        ([1, 2], "holds no weights"),
        ({"state_dict": Evil(tmp_path / "evil")}, "it holds more than tensors, first a getattr.*Where you trust it"),
    ):
        torch.save(stored, file)
        with pytest.raises(ValueNotAllowed, match=message) as raised:
            load_weights(network, file)
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "evil").exists()
