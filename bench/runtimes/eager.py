"""PyTorch as most people run it: operator by operator."""

from torch import Tensor, nn

from bench.runtimes import Forward


def prepare(model: nn.Module, example: Tensor) -> Forward:
    """The model itself."""
    return model
