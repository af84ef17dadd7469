"""Where a network runs. One small file per runtime, each with one function::

    prepare(model, example) -> a callable that runs the model on frames of the example's shape

``prepare`` is expensive and untimed; the callable is what a slot times. The names are in ``bench.axes.RUNTIMES``.
"""

from collections.abc import Callable
from importlib import import_module

from torch import Tensor, nn

Forward = Callable[[Tensor], Tensor]


def prepare(runtime: str, model: nn.Module, example: Tensor) -> Forward:
    """The model, ready to run in ``runtime`` on inputs like ``example`` ([N*T, 3, H, W])."""
    forward: Forward = import_module(f"bench.runtimes.{runtime}").prepare(model, example)
    return forward
