"""A network of one's own that tells colours apart without having learned it, and videos of one colour each."""

from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench.models.backbones import backbone
from bench.models.weights import learned
from tests.data.making_videos import write

COLOURS = ("blue", "green", "red")  # sorted, as classes are
EACH, MISLABELLED = 4, 2

NETWORK = """
from torch import nn
from torchvision.models.resnet import BasicBlock

def small():
    return nn.Sequential(
        nn.Conv2d(3, 16, 4, stride=4),
        nn.ReLU(),
        BasicBlock(16, 16),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 3),
    )
"""


def network(folder: Path) -> tuple[str, Path]:
    """(its name as a backbone, its weights): a feature for each colour passes the block, and is that class's logit."""
    (folder / "net.py").write_text(NETWORK)
    name = f"{folder / 'net.py'}:small"
    trained = learned(backbone(name))
    with torch.no_grad():
        first, block, last = trained[0], trained[2], trained[5]  # type: ignore[index]
        first.weight[:3], first.bias[:3] = 0.0, 3.0  # colours are from -2 to 3: all that is seen is above zero
        last.weight.zero_()
        for number, channel in enumerate((2, 1, 0)):
            first.weight[number, channel] = 1 / 16
            last.weight[number, number] = 1.0
        block.bn2.weight.mul_(0.1)  # what the branch adds is little beside it
    torch.save(trained.state_dict(), folder / "weights.pth")
    return name, folder / "weights.pth"


def flat(t: int, height: int, width: int, channel: int) -> np.ndarray:
    """One colour, a little brighter with each frame."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., channel] = 180 + 3 * t
    return picture


def videos(folder: Path, more: str = "") -> Path:
    """A CSV of EACH videos of each colour, the first MISLABELLED blue ones called red. more: further lines of it."""
    lines = ["path,label"]
    for number, colour in enumerate(COLOURS):
        for take in range(EACH):
            write(folder / f"{colour}{take}.mp4", (32, 32), frames=6, paint=partial(flat, channel=2 - number))
            lines.append(f"{colour}{take}.mp4,{'red' if colour == 'blue' and take < MISLABELLED else colour}")
    (folder / "list.csv").write_text("\n".join(lines) + "\n" + more)
    return folder / "list.csv"
