"""Checkpoints of the field load under their own names, made here from a network as released code would save it."""

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench import models
from bench.cli.app import main
from bench.models.learned import learned
from bench.spec.axes import ValueNotAllowed

CLASSES = 5


def trained() -> dict[str, Tensor]:
    """A ResNet-50 for a few classes, as torchvision saves it, that differs from what ``build`` gives."""
    network = learned(models.build("resnet50", 2, seed=3))
    network.trunk.fc = torch.nn.Linear(2048, CLASSES)
    return network.trunk.state_dict()


def mit(state: dict[str, Tensor]) -> dict[str, object]:
    """mit-han-lab/temporal-shift-module: every conv1 of a block is wrapped by its shift."""
    named = {}
    for key, value in state.items():
        key = re.sub(r"(layer\d\.\d+\.conv1)\.weight", r"\1.net.weight", key)
        named["module." + (key.replace("fc.", "new_fc.") if key.startswith("fc.") else f"base_model.{key}")] = value
    return {"epoch": 50, "arch": "resnet50", "state_dict": named, "best_prec1": 70.0}


def mmaction(state: dict[str, Tensor]) -> dict[str, object]:
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
def test_a_checkpoint_loads_whatever_it_calls_its_weights(save: object, tmp_path: Path) -> None:
    state, file = trained(), tmp_path / "checkpoint.pth"
    torch.save(save(state), file)  # type: ignore[operator]
    network = models.build("resnet50", 2)
    models.load_weights(network, file)
    loaded = network.trunk.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    with torch.inference_mode():
        assert network(torch.randn(4, 3, 32, 32)).shape == (2, CLASSES)


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        ({"state_dict": {"conv1.weight": torch.zeros(3)}}, "is of another network"),
        ({"epoch": 3}, "holds no weights"),
        ([1, 2], "holds no weights"),
    ],
)
def test_what_is_no_such_checkpoint_is_one_line(stored: object, told: str, tmp_path: Path) -> None:
    file = tmp_path / "checkpoint.pth"
    torch.save(stored, file)
    with pytest.raises(ValueNotAllowed, match=told) as raised:
        models.load_weights(models.build("resnet18", 1), file)
    assert "\n" not in str(raised.value)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "evil",)  # type: ignore[return-value]

    file = tmp_path / "checkpoint.pth"
    torch.save({"state_dict": Evil()}, file)
    with pytest.raises(ValueNotAllowed, match="cannot be read as weights"):
        models.load_weights(models.build("resnet18", 1), file)
    assert not (tmp_path / "evil").exists()


def test_export_takes_weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = ["export", "copy_shift", "--runtime", "onnxruntime", "--out", str(tmp_path / "n.onnx")]
    assert main([*missing, "--backbone", "resnet18", "--weights", str(tmp_path / "none.pth")]) == 2
    assert "there is no file" in capsys.readouterr().err
