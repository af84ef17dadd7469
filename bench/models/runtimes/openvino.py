"""OpenVINO on a CPU: the exported file, compiled for the latency of one request at a time.

bf16 is a matter of execution there: a network with fp32 weights and input is computed in bf16 where that is faster.
So a bf16 network is exported with its (already rounded) weights in fp32, and the runtime's precision is set to bf16.

Eight bits: by NNCF, OpenVINO's own tool, which puts FakeQuantize nodes into the graph; the plug-in fuses them into the
operators around as far as it can. Frame by frame: caches become variables of the model (ReadValue and Assign), which
stay inside, in the layout that its operators want.
"""

import copy
import ctypes
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openvino
import torch
from openvino.passes import ConstantFolding, MakeStateful, Manager
from torch import Tensor, nn

from bench.models import runtimes
from bench.models.online import OnlineNetwork
from bench.models.runtimes import Executed, Forward, by_kind
from bench.models.runtimes.onnx_file import exported, quietly

_WARM_UPS = 3  # before the forward that is profiled: the first ones allocate
_EXACT = {"INFERENCE_PRECISION_HINT": "f32"}


class _SignalStack(ctypes.Structure):
    """stack_t of <signal.h>."""

    _fields_ = (("place", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def _keeping_the_signal_stack() -> Iterator[None]:
    """This thread's alternate signal stack is afterwards what it was.

    Each ``Core`` that loads the CPU plug-in puts up one of its own, and when it goes puts back the one that it found.
    Where the first goes before the second, that one is unmapped by then, and the next signal that Python handles kills
    the process without a word.
    """
    if sys.platform != "linux":
        yield
        return
    libc, before = ctypes.CDLL(None), _SignalStack()
    libc.sigaltstack(None, ctypes.byref(before))
    try:
        yield
    finally:
        libc.sigaltstack(ctypes.byref(before), None)


@_keeping_the_signal_stack()
def load(
    model: nn.Module, example: Tensor, export: Path | None, calibration: Sequence[Tensor] = (), **more: Any
) -> openvino.CompiledModel:
    """Export and compile ``model`` for the example's shape, dtype and torch's number of threads.

    more: further properties. Raises RuntimeError with OpenVINO's own reason.
    """
    precise = model if example.dtype == torch.float32 else copy.deepcopy(model).float()
    core = openvino.Core()
    graph = core.read_model(exported(precise, example.float(), export))
    if isinstance(model, OnlineNetwork):
        make_stateful(graph)
    if calibration:
        graph = _quantised(core, graph, calibration, None if export is None else export.with_suffix(".nncf.xml"))
    properties = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": "f32" if example.dtype == torch.float32 else "bf16",
        **more,
    }
    return core.compile_model(graph, "CPU", properties)


def make_stateful(graph: openvino.Model) -> None:
    """Each cache that goes in and comes out becomes a variable; it begins with zeros."""
    pairs = list(zip(graph.get_parameters()[1:], graph.get_results()[1:], strict=True))
    if pairs:
        _pass(graph, MakeStateful(pairs))


def _pass(graph: openvino.Model, one: openvino.passes.ModelPass) -> None:
    passes = Manager()
    passes.register_pass(one)
    passes.run_passes(graph)


class Stream(runtimes.Stream):
    """A network frame by frame in one request, whose variables are the caches."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        self._shape = tuple(compiled.inputs[0].shape)

    def __call__(self, frame: Tensor) -> Tensor:
        """One frame of every stream, read where it lies; logits in fp32."""
        if tuple(frame.shape) != self._shape:
            raise ValueError(f"prepared for frames of {list(self._shape)}, given {list(frame.shape)}")
        held = frame.float().contiguous()
        self._request.set_input_tensor(openvino.Tensor(held.numpy(), shared_memory=True))
        self._request.infer()
        return torch.from_numpy(self._request.get_output_tensor().data.copy())

    def reset(self, streams: Sequence[int]) -> None:
        """Zeros for these streams in every variable."""
        for variable in self._request.query_state():
            kept = variable.state.data.copy()
            kept[list(streams)] = 0
            variable.state = openvino.Tensor(kept)


@_keeping_the_signal_stack()
def load_file(file: str) -> Forward:
    """An exported file in fp32, for any number of clips."""
    network = openvino.Core().compile_model(file, "CPU", _EXACT)
    return lambda frames: torch.from_numpy(network(frames.numpy())[0].copy())


@_keeping_the_signal_stack()
def write_stream(data: bytes, out: Path) -> list[Path]:
    """The exported file of a network frame by frame as OpenVINO's own two files, with its caches as variables; ``out``
    names the first, .xml. Returns what was written."""
    graph = openvino.Core().read_model(data)
    make_stateful(graph)
    openvino.save_model(graph, out, compress_to_fp16=False)
    return [out, out.with_suffix(".bin")]


@_keeping_the_signal_stack()
def load_stream(file: str) -> Stream:
    """What ``write_stream`` wrote, in fp32."""
    return Stream(openvino.Core().compile_model(file, "CPU", {"PERFORMANCE_HINT": "LATENCY", **_EXACT}))


def prepare(
    model: nn.Module, example: Tensor, cuda: Any, export: Path | None, calibration: Sequence[Tensor] = ()
) -> Forward:
    """Compile ``model``; the callable returns its logits in fp32.

    Frames that are not ``example`` itself are copied into a place of their own first. Raises ValueError for
    another shape than the example's.
    """
    compiled = load(model, example, export, calibration)
    if isinstance(model, OnlineNetwork):
        return Stream(compiled)
    request = compiled.create_infer_request()
    held = example.float().contiguous()
    there = openvino.Tensor(held.numpy(), shared_memory=True)  # the example, read where it lies
    other: tuple[Tensor, openvino.Tensor] | None = None

    def forward(frames: Tensor) -> Tensor:
        nonlocal other
        if frames.shape != held.shape:
            raise ValueError(f"prepared for frames of {list(held.shape)}, given {list(frames.shape)}")
        if frames is example:
            request.set_input_tensor(there)
        else:
            place = torch.empty_like(held) if other is None else other[0]
            other = other or (place, openvino.Tensor(place.numpy(), shared_memory=True))
            request.set_input_tensor(other[1])
            place.copy_(frames)
        request.infer()
        return torch.from_numpy(request.get_output_tensor().data.copy())

    return forward


def _quantised(
    core: openvino.Core, graph: openvino.Model, calibration: Sequence[Tensor], keep: Path | None
) -> openvino.Model:
    """The graph with weights and features in eight bits: ``keep`` if it is there, else made and kept there.

    Weights have a scale for each output channel, features one for the tensor; biases are corrected for the mean error.
    NNCF takes for weights what is a constant; those that the file computes, as from a normalisation, are made constants
    first: convolutions would stay in fp32.
    The first layer's weights take all eight bits. NNCF would leave one unused, against sums that overflow on processors
    without dot products of bytes; on such a one nothing overflowed, and a trained EfficientNet-Lite0 lost by it.
    """
    if keep is not None and keep.exists():
        return core.read_model(keep)
    import nncf

    _pass(graph, ConstantFolding())
    nncf.set_log_level(logging.ERROR)
    with quietly():
        data = nncf.Dataset([frames.numpy() for frames in calibration])
        full = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix.DISABLE)
        quantised = nncf.quantize(graph, data, subset_size=len(calibration), advanced_parameters=full)
    if keep is not None:
        openvino.save_model(quantised, keep, compress_to_fp16=False)
    return quantised


def executed(model: nn.Module, example: Tensor, export: Path | None, calibration: Sequence[Tensor] = ()) -> Executed:
    """The nodes of the last of a few forwards; in eight bits, convolutions that are not computed on bytes apart."""
    request = load(model, example, export, calibration, PERF_COUNT=True).create_infer_request()
    for _ in range(_WARM_UPS):
        request.infer([example.float().numpy()])
    ran = [node for node in request.get_profiling_info() if node.status == node.Status.EXECUTED]
    kinds = [f"{node.node_type} in fp32" if calibration and _in_fp32(node) else node.node_type for node in ran]
    return by_kind([(kind, node.real_time.total_seconds()) for kind, node in zip(kinds, ran, strict=True)], 1)


def _in_fp32(node: openvino.ProfilingInfo) -> bool:
    return node.node_type == "Convolution" and not node.exec_type.upper().endswith("I8")  # jit_avx2_I8
