"""Networks from torchvision, timm and a user's file: what is made, and the one line where it cannot be."""

from pathlib import Path

import pytest
import torch

from bench import models
from bench.measure import probe
from bench.spec.axes import ValueNotAllowed
from strategies.buffer_shift import BufferShift
from strategies.copy_shift import CopyShift

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
    events: list[dict[str, str]] = []
    probe.answer({"names": ["net.py:small", "net.py:flat", "net.py:three"]}, events.append)
    assert [event["reason"].partition("; ")[0] for event in events] == [
        "backbone 'net.py:flat' has no residual block that could take a shift",
        "backbone 'net.py:three': three returned int, not a torch.nn.Module",
    ]
