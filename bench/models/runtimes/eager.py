"""PyTorch as most people run it: operator by operator."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from bench.models.runtimes import Forward


def prepare(model: nn.Module, example: Tensor, cuda: Any, export: Path | None) -> Forward:
    """The model itself."""
    return model
