"""Checkpoints of the field load under their own names, made here from a network as released code would save it."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18, resnet50

from bench.models import Network, load_weights
from bench.models.weights import learned
from bench.spec.axes import ValueNotAllowed

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


@pytest.mark.parametrize("save", [dict, mit, mmaction], ids=["torchvision", "mit-han-lab", "mmaction2"])
def test_a_checkpoint_loads_whatever_it_calls_its_weights(
    save: Callable[[State], object], trained: State, tmp_path: Path
) -> None:
    torch.save(save(trained), tmp_path / "checkpoint.pth")
    network = Network(resnet50(), 2)
    load_weights(network, tmp_path / "checkpoint.pth")
    loaded = network.trunk.state_dict()
    assert loaded.keys() == trained.keys()
    assert all(torch.equal(loaded[key], value) for key, value in trained.items())
    assert network.trunk.fc.out_features == CLASSES


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
        ({"state_dict": Evil(tmp_path / "evil")}, "cannot be read as weights"),
    ):
        torch.save(stored, file)
        with pytest.raises(ValueNotAllowed, match=message) as raised:
            load_weights(network, file)
        assert "\n" not in str(raised.value)
    assert not (tmp_path / "evil").exists()
