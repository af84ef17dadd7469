"""Networks that stand for trained ones where nothing is trained: their parameters have left their start."""

from collections.abc import Iterable
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def learned(network: Module) -> Module:
    """``network`` with normalisations that have learned something (changed in place): a strategy that folds them into
    weights and forgets a part of them is not found out with those of an untrained network."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for scale in (module.weight.data, module.running_var):
                assert scale is not None
                scale.uniform_(0.8, 1.25, generator=generator)
            for offset in (module.bias.data, module.running_mean):
                assert offset is not None
                offset.normal_(0.0, 0.2, generator=generator)
    return network


def disturb(parameters: Iterable[nn.Parameter]) -> None:
    """Add noise: a strategy that learns may start as the identity and still look where it must not."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter))
