"""Where a network runs. One small file per runtime, each with one function::

    prepare(model, example, cuda) -> a callable that runs the model on frames of the example's shape

``prepare`` is expensive and untimed; the callable is what a slot times. The names are in ``bench.axes.RUNTIMES``.
torch is imported with a runtime, not here: a plan asks which runtimes there are.
"""

from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench.axes import ONLY_ON, RUNTIMES, ValueNotAllowed

if TYPE_CHECKING:
    from torch import Tensor, nn

Forward = Callable[["Tensor"], "Tensor"]


def why_not(runtime: str, device: str) -> str | None:
    """A sentence that says why ``runtime`` cannot run on ``device``; None where it can."""
    if runtime not in RUNTIMES:
        return f"there is no runtime {runtime!r}; runtimes: {', '.join(RUNTIMES)}"
    if ONLY_ON.get(runtime, device) != device:
        return f"the runtime {runtime!r} exists on {ONLY_ON[runtime]} only, not on {device}"
    return None


def prepare(runtime: str, model: "nn.Module", example: "Tensor", cuda: Any = None) -> Forward:
    """The model, ready to run in ``runtime`` on inputs like ``example`` ([N*T, 3, H, W]).

    cuda: ``torch.cuda`` or a stand-in for it, as the device has it (``Device.cuda``); None on a CPU.
    Raises ValueNotAllowed where the runtime does not exist there.
    """
    if reason := why_not(runtime, "cpu" if cuda is None else "cuda"):
        raise ValueNotAllowed(reason)
    forward: Forward = import_module(f"bench.runtimes.{runtime}").prepare(model, example, cuda)
    return forward
