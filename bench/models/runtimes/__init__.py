"""Where a network runs. One small file per runtime, each with one function::

    prepare(model, example, cuda, export) -> a callable that runs the model on frames of the example's shape

``prepare`` is expensive and untimed; the callable is what a slot times. A runtime uses torch's number of threads and
the example's dtype. The names are in ``bench.spec.axes.RUNTIMES``. torch is imported with a runtime, not here: a plan
asks which runtimes there are. The ``INSPECTED`` ones also have::

    executed(model, example, export) -> the nodes of one forward, by kind; in a run of its own with the profiler on

``exactness`` compares every prepared model with eager before it is timed; ``onnx_file`` is what deployment runtimes
load.
"""

import os
import shutil
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.spec.axes import ONLY_ON, RUNTIMES, ValueNotAllowed
from bench.system.environment import cpu_bf16

if TYPE_CHECKING:
    from torch import Tensor, nn

Forward = Callable[["Tensor"], "Tensor"]

Executed = dict[str, tuple[int, float | None]]
"""{kind: (how many nodes of it run in a forward, their seconds in all or None where the runtime does not say)}."""

NEEDS: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}
"""The packages that a runtime needs beyond torch; the extra ``runtimes`` brings them."""

COMPUTES_IN: dict[str, tuple[str, ...]] = {"onnxruntime": ("fp32",), "openvino": ("fp32", "bf16")}
"""The dtypes of runtimes that have not all of them."""

INSPECTED: tuple[str, ...] = ("onnxruntime", "openvino", "compile")
"""The runtimes that report what they execute."""


def why_not(runtime: str, device: str, dtype: str = "fp32") -> str | None:
    """A sentence that says why ``runtime`` cannot run on ``device`` in ``dtype`` here; None where it can."""
    if runtime not in RUNTIMES:
        return f"there is no runtime {runtime!r}; runtimes: {', '.join(RUNTIMES)}"
    if ONLY_ON.get(runtime, device) != device:
        return f"the runtime {runtime!r} exists on {ONLY_ON[runtime]} only, not on {device}"
    if missing := [package for package in NEEDS.get(runtime, ()) if find_spec(package) is None]:
        return f"the runtime {runtime!r} needs {' and '.join(missing)}: pip install 'shiftbench[runtimes]'"
    if dtype not in COMPUTES_IN.get(runtime, (dtype,)):
        return f"the runtime {runtime!r} computes in {' or '.join(COMPUTES_IN[runtime])} only, not in {dtype}"
    if dtype == "bf16" and device == "cpu" and not cpu_bf16():
        does = "compute in fp32 instead" if runtime == "openvino" else "emulate them, many times slower"
        return f"this processor has no bf16 units: the runtime {runtime!r} would {does}"
    if runtime == "compile":
        return _why_not_compile(device)
    return None


def _why_not_compile(device: str) -> str | None:
    """Inductor writes C++ for a CPU and Triton for a GPU, and needs what compiles it."""
    if device == "cuda":
        return None if find_spec("triton") else "the runtime 'compile' needs triton on cuda, which is not installed"
    compiler = os.environ.get("CXX", "g++")
    return None if shutil.which(compiler) else f"the runtime 'compile' needs a C++ compiler, and {compiler} is not here"


def prepare(
    runtime: str, model: "nn.Module", example: "Tensor", cuda: Any = None, export: Path | None = None
) -> Forward:
    """The model, ready to run in ``runtime`` on inputs like ``example`` ([N*T, 3, H, W]).

    cuda: ``torch.cuda`` or a stand-in for it, as the device has it (``Device.cuda``); None on a CPU.
    export: where the file that a deployment runtime loads is kept for the next process; None: it is not kept.
    Raises ValueNotAllowed where the runtime does not exist there.
    """
    dtype = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}[str(example.dtype).removeprefix("torch.")]
    if reason := why_not(runtime, "cpu" if cuda is None else "cuda", dtype):
        raise ValueNotAllowed(reason)
    forward: Forward = _module(runtime).prepare(model, example, cuda, export)
    return forward


def executed(runtime: str, model: "nn.Module", example: "Tensor", export: Path | None) -> Executed:
    """The nodes of one forward in one of ``INSPECTED``, by kind: they explain and are no measurement.

    A shift written as slices and concatenations may bring reorders and transposes with it: the difference to the
    network without a shift. Raises what the runtime raises where it cannot run ``model``.
    """
    nodes: Executed = _module(runtime).executed(model, example, export)
    return nodes


def _module(runtime: str) -> Any:
    return import_module(f"bench.models.runtimes.{runtime}")


def by_kind(nodes: list[tuple[str, float]], forwards: int) -> Executed:
    """(kind, seconds) of every node in so many forwards -> one forward, by kind."""
    kinds: dict[str, list[float]] = {}
    for kind, seconds in nodes:
        kinds.setdefault(kind, []).append(seconds)
    return {kind: (len(each) // forwards, sum(each) / forwards) for kind, each in kinds.items()}
