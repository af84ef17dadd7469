"""Where a network runs. One small file per runtime but eager, each with one function::

    prepare(model, example, cuda, export) -> a callable that runs the model on frames of the example's shape

``prepare`` is expensive and untimed; the callable is what a slot times. A runtime uses torch's number of threads and
the example's dtype. The names are in ``bench.spec.axes.RUNTIMES``. The ``INSPECTED`` ones also have::

    executed(model, example, export) -> the nodes of one forward, by kind; in a run of its own with the profiler on

The ``EXPORTED`` ones take a last argument, ``calibration``: clips with which they quantise the model to eight bits.
Given a network frame by frame they prepare a ``Stream``; ``write_stream`` and ``load_stream`` are for its file.

``require_exact`` compares every prepared model with eager before it is timed; ``onnx_file`` is what deployment runtimes
load.
"""

import copy
import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.models.online import OnlineNetwork
from bench.spec.axes import EAGER, ONLY_ON, QUANTISING, RUNTIMES, ValueNotAllowed
from bench.system.environment import cpu_bf16

Forward = Callable[[Tensor], Tensor]

Executed = dict[str, tuple[int, float | None]]
"""{kind: (how many nodes of it run in a forward, their seconds in all or None where the runtime does not say)}."""

NEEDS: dict[str, tuple[str, ...]] = {
    "onnxruntime": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
}
"""The packages that a runtime needs beyond torch; the extra ``runtimes`` brings them."""
_QUANTISERS: dict[str, tuple[str, ...]] = {"openvino": ("nncf",)}  # and for eight bits

EXPORTED: tuple[str, ...] = tuple(NEEDS)
"""The runtimes that load an exported file."""

INSPECTED: tuple[str, ...] = ("onnxruntime", "openvino", "compile")
"""The runtimes that report what they execute."""

NETWORK_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2}
"""max |difference| / max |reference|: rounding, piled up over a whole network."""
_COMPUTES_IN: dict[str, tuple[str, ...]] = {"onnxruntime": ("fp32", "int8"), "openvino": ("fp32", "bf16", "int8")}
_FLOATS = ("fp32", "bf16", "fp16")
_REPLAYED = {torch.float32: 1e-5, torch.float16: 1e-3, torch.bfloat16: 8e-3}
"""Of a captured graph, which launches the kernels of eager: one rounding, where a library chose another algorithm."""
AS_COARSE = 1.5  # times as far from fp32 as another computation in the same 16 bits is
_HALF = 3e-2  # fp16, and TF32, which has as many bits: no finer than what bf16 is allowed


def why_not(runtime: str, device: str, dtype: str = "fp32") -> str | None:
    """A sentence that says why ``runtime`` cannot run on ``device`` in ``dtype`` here; None where it can."""
    if runtime not in RUNTIMES:
        return f"there is no runtime {runtime!r}; runtimes: {', '.join(RUNTIMES)}"
    if ONLY_ON.get(runtime, device) != device:
        return f"the runtime {runtime!r} exists on {ONLY_ON[runtime]} only, not on {device}"
    packages = (*NEEDS.get(runtime, ()), *(_QUANTISERS.get(runtime, ()) if dtype == "int8" else ()))
    if missing := [package for package in packages if find_spec(package) is None]:
        return f"the runtime {runtime!r} needs {' and '.join(missing)}: pip install 'shiftbench[runtimes]'"
    if dtype not in (known := _COMPUTES_IN.get(runtime, _FLOATS)):
        else_where = f"; int8 is for {' and '.join(QUANTISING)}" if dtype == "int8" else ""
        return f"the runtime {runtime!r} computes in {' or '.join(known)} only, not in {dtype}{else_where}"
    if dtype == "bf16" and device == "cpu" and not cpu_bf16():
        does = "compute in fp32 instead" if runtime == "openvino" else "emulate them, many times slower"
        return f"this processor has no bf16 units: the runtime {runtime!r} would {does}"
    if runtime == "compile" and device == "cuda" and not find_spec("triton"):
        return "the runtime 'compile' needs triton on cuda, which is not installed"
    compiler = os.environ.get("CXX", "g++")
    if runtime == "compile" and device != "cuda" and not shutil.which(compiler):
        return f"the runtime 'compile' needs a C++ compiler, and {compiler} is not here"
    return None


class Stream(ABC):
    """A network frame by frame in a runtime that keeps its state: the present frame of every stream [S, 3, H, W] in,
    its logits [S, classes] out. All streams begin with zeros."""

    @abstractmethod
    def __call__(self, frame: Tensor) -> Tensor:
        """One frame of every stream. Raises ValueError for another shape than it was prepared for."""

    @abstractmethod
    def reset(self, streams: Sequence[int]) -> None:
        """The streams with these numbers begin anew; the others keep what they have."""


def prepare(
    runtime: str,
    model: nn.Module,
    example: Tensor,
    cuda: Any = None,
    export: Path | None = None,
    calibration: Sequence[Tensor] = (),
) -> Forward:
    """The model, ready to run in ``runtime`` on inputs like ``example`` ([N*T, 3, H, W]); in eager the model itself.

    cuda: ``torch.cuda`` or a stand-in for it, as the device has it (``Device.cuda``); None on a CPU.
    export: where the file that a deployment runtime loads is kept for the next process; None: it is not kept.
    calibration: inputs like the example, from which the runtime quantises the model to eight bits; none: it does not.
    Raises ValueNotAllowed where the runtime does not exist there, or cannot learn from such inputs.
    """
    dtype = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}[example.dtype]
    if reason := why_not(runtime, "cpu" if cuda is None else "cuda", "int8" if calibration else dtype):
        raise ValueNotAllowed(reason)
    for frames in calibration:
        if frames.shape != example.shape:
            raise ValueNotAllowed(f"calibrated with {list(frames.shape)}; the network reads {list(example.shape)}")
    if runtime == EAGER:
        return model
    more = (calibration,) if runtime in EXPORTED else ()
    forward: Forward = import_module(f"{__name__}.{runtime}").prepare(model, example, cuda, export, *more)
    return forward


def executed(
    runtime: str, model: nn.Module, example: Tensor, export: Path | None, calibration: Sequence[Tensor] = ()
) -> Executed:
    """The nodes of one forward in one of ``INSPECTED``, by kind: they explain and are no measurement.

    A shift written as slices and concatenations may bring reorders and transposes with it: the difference to the
    network without a shift. Raises what the runtime raises where it cannot run ``model``.
    """
    more = (calibration,) if runtime in EXPORTED else ()
    nodes: Executed = import_module(f"{__name__}.{runtime}").executed(model, example, export, *more)
    return nodes


def graph_breaks(runtime: str, model: nn.Module, example: Tensor) -> list[str]:
    """How often a compiler left a part of ``model`` to Python, and why, in a sentence; [] where nowhere."""
    told: list[str] = [] if runtime != "compile" else import_module(f"{__name__}.compile").graph_breaks(model, example)
    return told


def answers(device: str, cuda: Any = torch.cuda) -> bool:
    """Whether a device is there and computes. One that was lost, or whose context broke, fails at everything from then
    on in this process. cuda: ``torch.cuda`` or a stand-in."""
    try:
        torch.zeros(1, device=device)
        if device != "cpu" or cuda is not torch.cuda:  # a stand-in keeps its tensors on the processor
            cuda.synchronize()
    except torch.OutOfMemoryError:
        return True  # full, and there
    except (RuntimeError, AssertionError):  # AssertionError: this torch was built without CUDA
        return False
    return True


def by_kind(nodes: list[tuple[str, float]], forwards: int) -> Executed:
    """(kind, seconds) of every node in so many forwards -> one forward, by kind."""
    kinds: dict[str, list[float]] = {}
    for kind, seconds in nodes:
        kinds.setdefault(kind, []).append(seconds)
    return {kind: (len(each) // forwards, sum(each) / forwards) for kind, each in kinds.items()}


class Poisoned(RuntimeError):
    """A capture failed: streams and memory of this process stay as they were in the midst of it, and what runs here
    later may fail or be wrong. Whoever catches it ends the process."""


class Inexact(ValueError):
    """The output of a runtime is not the model's; the message says by how much."""


def require_exact(forward: Forward, model: nn.Module, example: Tensor, runtime: str) -> None:
    """Raises Inexact where ``forward`` deviates from ``model`` on one of two random inputs like ``example``.

    Two that differ: a graph that was captured with one input's values in it as constants is right for that one only.
    ``example`` is overwritten meanwhile where a runtime reads its input there, and restored.
    """
    kept = example.clone(memory_format=torch.preserve_format)
    try:
        for seed in (1, 2):
            frames = torch.randn(example.shape, generator=torch.Generator().manual_seed(seed))
            frames = torch.empty_like(example).copy_(frames)
            _require(forward(frames), lambda model, frames: model(frames), model, frames, runtime)
    finally:
        example.copy_(kept)


def require_exact_stream(stream: Stream, network: OnlineNetwork, frames: Sequence[Tensor], runtime: str) -> None:
    """Raises Inexact where ``stream`` deviates from ``network`` in one of these frames, the first of all streams."""

    def streamed(network: nn.Module, frames: Tensor) -> Tensor:
        state, logits = None, []
        for frame in frames.unbind():
            own, state = network.step(frame, state)  # type: ignore[operator]
            logits.append(own)
        return torch.cat(logits)

    stream.reset(range(len(frames[0])))
    _require(torch.cat([stream(frame) for frame in frames]), streamed, network, torch.stack(list(frames)), runtime)
    stream.reset(range(len(frames[0])))


def _require(
    output: Tensor, run: Callable[[nn.Module, Tensor], Tensor], model: nn.Module, frames: Tensor, runtime: str
) -> None:
    eager = run(model, frames)
    found, allowed, what = deviation(output, eager), tolerance(frames), "eager"
    if runtime == "cudagraph":
        allowed = _REPLAYED[frames.dtype]
    if not found <= allowed and frames.dtype == torch.bfloat16 and not frames.is_cuda:
        # two roundings of one function may lie apart by the sum of both: each is held against the function itself
        exact = in_fp32(run, model, frames)
        found, allowed = deviation(output, exact), max(allowed, AS_COARSE * deviation(eager, exact))
        what = "eager in fp32"
    if not found <= allowed:
        raise Inexact(
            f"in the runtime {runtime!r} the output deviates from {what} by {found:.2g} of its largest value "
            f"(allowed: {allowed:.2g})"
        )


def in_fp32(run: Callable[[nn.Module, Tensor], Tensor], model: nn.Module, frames: Tensor) -> Tensor:
    """What ``run`` gives with a copy of ``model`` in fp32, of which nothing is rounded to TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    try:
        return run(copy.deepcopy(model).float(), frames.float())
    finally:
        torch.backends.cudnn.allow_tf32 = before[0]
        torch.set_float32_matmul_precision(before[1])


def deviation(output: Tensor, reference: Tensor) -> float:
    """max |difference| / max |reference|; NaN where either is not finite, infinite for another shape."""
    if output.shape != reference.shape:
        return float("inf")
    return float((output.float() - reference.float()).abs().max() / reference.float().abs().max())


def tf32(example: Tensor) -> bool:
    """Whether convolutions of it are rounded to TF32."""
    precision = torch.backends.cudnn.conv.fp32_precision  # type: ignore[attr-defined]
    return bool(example.is_cuda and example.dtype == torch.float32 and precision == "tf32")


def tolerance(example: Tensor) -> float:
    """What rounding may amount to over a whole network: by dtype, coarser where convolutions run in TF32."""
    if tf32(example):
        return _HALF
    return NETWORK_TOLERANCE.get(example.dtype, _HALF)
