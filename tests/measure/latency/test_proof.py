"""Rounding to 16 bits over a whole network is told from a shift that is lost in one block of it."""

import copy

import pytest
import torch
from torch import Tensor

from bench import models
from bench.measure.latency.proof import require_same_function
from bench.models.network import Network
from bench.models.runtimes import Inexact, deviation
from bench.plugins.discovery import load_class, strategy_files
from bench.strategy import Strategy

FRACTION = 1 / 8


@pytest.fixture(scope="module", name="deep")
def _deep() -> tuple[Network, Tensor]:
    """One in which rounding alone amounts to more than 3e-2."""
    torch.manual_seed(0)
    frames = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return models.build("resnet50", 8).eval().half(), frames.half()


def made(name: str) -> Strategy:
    return load_class(name, strategy_files())(FRACTION)


def test_what_only_rounds_otherwise_is_let_pass(deep: tuple[Network, Tensor]) -> None:
    network, frames = deep
    parted = made("parted_shift")
    with torch.inference_mode():
        model = models.insert(parted, copy.deepcopy(network)).eval()
        want = models.insert(made("copy_shift"), copy.deepcopy(network)).eval().trunk(frames)
        assert deviation(model.trunk(frames), want) > 3e-2
        require_same_function(model, parted, made("copy_shift"), network, frames)


def test_a_shift_that_one_block_lost_is_found(deep: tuple[Network, Tensor]) -> None:
    """Each block by itself has it: in the network it went, as it may where blocks hand on features."""
    network, frames = deep
    own, reference = made("copy_shift"), made("copy_shift")
    with torch.inference_mode():
        model = models.insert(own, copy.deepcopy(network)).eval()
        want = model.trunk(frames)
        last = model.trunk.layer4[2]  # type: ignore[index, union-attr]
        last.conv1 = last.conv1.net  # type: ignore[union-attr]
        lost = deviation(network.trunk(frames), want)
        assert deviation(model.trunk(frames), want) < lost / 2
        with pytest.raises(Inexact, match=r"deviates from copy_shift in fp32 by .* over the whole network"):
            require_same_function(model, own, reference, network, frames)
