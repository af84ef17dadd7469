"""What the suites of others prove of a temporal shift, written anew from what they say.

mit-han-lab/temporal-shift-module (ops/temporal_shift.py): the shift and where it is put; open-mmlab/mmaction2
(tests/models/backbones/test_resnet_tsm.py): shapes, ``shift_div``, ``shift_place``.
"""

import copy

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from bench import models
from bench.plugins.discovery import load_class, strategy_files

CopyShift = load_class("copy_shift", strategy_files())
PLACES = {"block": "inplace", "blockres": "residual"}


def released(frames: Tensor, segments: int, div: int) -> Tensor:
    """[N*T, C, H, W]: a ``div``-th of the channels from the next frame, as many from the previous one."""
    clips = frames.view(-1, segments, *frames.shape[1:])
    fold, out = frames.shape[1] // div, torch.zeros_like(clips)
    out[:, :-1, :fold] = clips[:, 1:, :fold]
    out[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
    out[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
    return out.view_as(frames)


def split_and_joined(frames: Tensor, segments: int, div: int) -> Tensor:
    """The same in mmaction2's words: a left, a middle and a right part, each with a frame of zeros."""
    clips, fold = frames.view(-1, segments, *frames.shape[1:]), frames.shape[1] // div
    blank = torch.zeros_like(clips[:, :1])
    left, middle, right = clips[:, :, :fold], clips[:, :, fold : 2 * fold], clips[:, :, 2 * fold :]
    left = torch.cat((left[:, 1:], blank[:, :, :fold]), dim=1)
    middle = torch.cat((blank[:, :, fold : 2 * fold], middle[:, :-1]), dim=1)
    return torch.cat((left, middle, right), dim=2).view_as(frames)


class Shifted(nn.Module):
    """Their wrapping of a layer or a block."""

    def __init__(self, net: nn.Module, segments: int, div: int) -> None:
        super().__init__()
        self.net, self.segments, self.div = net, segments, div

    def forward(self, frames: Tensor) -> Tensor:
        return self.net(released(frames, self.segments, self.div))


@pytest.mark.parametrize("div", [2, 4, 8])
@pytest.mark.parametrize("segments", [1, 2, 8])
def test_the_shift_of_either_code_is_ours(div: int, segments: int) -> None:
    for channels in (16, 10, 64):
        frames = torch.randn(2 * segments, channels, 3, 5, generator=torch.Generator().manual_seed(channels))
        ours = CopyShift(2 / div).shift(frames.view(2, segments, channels, 3, 5)).view_as(frames)
        assert torch.equal(ours, released(frames, segments, div))
        assert torch.equal(ours, split_and_joined(frames, segments, div))


@pytest.mark.parametrize("div", [4, 8])
@pytest.mark.parametrize("place", PLACES)
def test_a_network_that_is_shifted_in_their_places_is_ours(place: str, div: int) -> None:
    plain = models.build("resnet18", 4)
    theirs, ours = copy.deepcopy(plain), models.insert(CopyShift(2 / div, PLACES[place]), plain)  # type: ignore[arg-type]
    for layer in (theirs.trunk.layer1, theirs.trunk.layer2, theirs.trunk.layer3, theirs.trunk.layer4):
        assert isinstance(layer, nn.Sequential)
        for number, block in enumerate(layer):
            assert isinstance(block, BasicBlock)
            if place == "block":
                layer[number] = Shifted(block, 4, div)
            else:
                block.conv1 = Shifted(block.conv1, 4, div)  # type: ignore[assignment]
    frames = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert ours.trunk(frames).shape == (8, 1000) and ours(frames).shape == (2, 1000)
        torch.testing.assert_close(ours(frames), theirs(frames))
