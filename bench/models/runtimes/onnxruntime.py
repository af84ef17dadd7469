"""ONNX Runtime on a CPU: the exported file in an inference session, with all of its graph optimisations.

Eight bits: its own static quantisation. Pairs of QuantizeLinear and DequantizeLinear stand in the file (QDQ); what lies
between them the session turns into operators on bytes as far as it can, and computes the rest in fp32.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quant_pre_process, quantize_static
from torch import Tensor, nn

from bench.models import runtimes
from bench.models.online import OnlineNetwork
from bench.models.runtimes import Executed, Forward, by_kind
from bench.models.runtimes.onnx_file import INPUT, exported, quietly
from bench.store.records import write_atomically

_PROVIDERS = ["CPUExecutionProvider"]
_ERRORS_ONLY = 3  # onnxruntime's severity; below it there are warnings about initialisers that no node uses
_PROFILED = 3  # forwards


def options(threads: int) -> onnxruntime.SessionOptions:
    """The defaults (all optimisations), ``threads`` threads, and none of them that spins after its work is done.

    Cases take turns: threads of one session that wait actively for its next call would take cores from the next case.
    """
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = threads
    chosen.inter_op_num_threads = 1
    chosen.log_severity_level = _ERRORS_ONLY
    chosen.add_session_config_entry("session.force_spinning_stop", "1")
    return chosen


class Stream(runtimes.Stream):
    """A network frame by frame in a session. Nothing is copied between two frames: there are two sets of caches, and
    while one is read the other is written; then they change places. The session is bound to the memory of both once."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        (frame, *before), (logits, *_) = session.get_inputs(), session.get_outputs()
        self._frame, self._logits = torch.zeros(frame.shape), torch.zeros(logits.shape)
        self._caches = [[torch.zeros(one.shape) for one in before] for _ in range(2)]  # read next, written next
        self._bindings = [self._bound(*self._caches), self._bound(*self._caches[::-1])]

    def _bound(self, read: Sequence[Tensor], written: Sequence[Tensor]) -> onnxruntime.IOBinding:
        binding = self._session.io_binding()
        for one, tensor in zip(self._session.get_inputs()[1:], read, strict=True):
            binding.bind_input(*_memory(one.name, tensor))
        for one, tensor in zip(self._session.get_outputs(), (self._logits, *written), strict=True):
            binding.bind_output(*_memory(one.name, tensor))
        return binding

    def __call__(self, frame: Tensor) -> Tensor:
        """One frame of every stream; it is read where it lies."""
        if frame.shape != self._frame.shape:
            raise ValueError(f"prepared for frames of {list(self._frame.shape)}, given {list(frame.shape)}")
        self._frame = frame.contiguous()  # held: the session knows its address only
        self._bindings[0].bind_input(*_memory(INPUT, self._frame))
        self._session.run_with_iobinding(self._bindings[0])
        self._bindings.reverse()
        self._caches.reverse()
        return self._logits.clone()

    @torch.inference_mode()
    def reset(self, streams: Sequence[int]) -> None:
        """Zeros for these streams, where the next frame reads."""
        for cache in self._caches[0]:
            cache[list(streams)] = 0


def _memory(name: str, tensor: Tensor) -> tuple[Any, ...]:
    """Where a tensor in fp32 lies, as a binding takes it."""
    return name, "cpu", 0, tensor.numpy().dtype.type, list(tensor.shape), tensor.data_ptr()


def load_file(file: str) -> Forward:
    """An exported file with the runtime's own defaults, for any number of clips."""
    return _runner(onnxruntime.InferenceSession(file, providers=_PROVIDERS))


def write_stream(data: bytes, out: Path) -> list[Path]:
    """The exported file of a network frame by frame, as it is. Returns what was written."""
    out.write_bytes(data)
    return [out]


def load_stream(file: str) -> Stream:
    """What ``write_stream`` wrote, with the runtime's own defaults."""
    return Stream(onnxruntime.InferenceSession(file, providers=_PROVIDERS))


def prepare(
    model: nn.Module, example: Tensor, cuda: Any, export: Path | None, calibration: Sequence[Tensor] = ()
) -> Forward:
    """Export ``model`` for the example's shape and load it. The callable raises InvalidArgument for another shape.

    Raises what ONNX Runtime raises: NotImplemented for an operator that it lacks.
    """
    session = _session(model, example, export, calibration, options(torch.get_num_threads()))
    return Stream(session) if isinstance(model, OnlineNetwork) else _runner(session)


def _session(
    model: nn.Module,
    example: Tensor,
    export: Path | None,
    calibration: Sequence[Tensor],
    chosen: onnxruntime.SessionOptions,
) -> onnxruntime.InferenceSession:
    data = exported(model, example, export)
    if calibration:
        data = _quantised(data, calibration, None if export is None else export.with_suffix(".qdq.onnx"))
    return onnxruntime.InferenceSession(data, chosen, providers=_PROVIDERS)


def _runner(session: onnxruntime.InferenceSession) -> Forward:
    return lambda frames: torch.from_numpy(session.run(None, {INPUT: frames.numpy()})[0])


def _quantised(data: bytes, calibration: Sequence[Tensor], keep: Path | None) -> bytes:
    """The file with weights and features in eight bits: ``keep`` if it is there, else made and kept there.

    Weights have a scale for each output channel, features one for the tensor, from the least to the largest value that
    the calibration met. Normalisations are folded into the weights before.
    """
    if keep is not None and keep.exists():
        return keep.read_bytes()
    with tempfile.TemporaryDirectory() as folder, quietly():
        plain, folded, done = (f"{folder}/{name}.onnx" for name in ("plain", "folded", "done"))
        Path(plain).write_bytes(data)
        quant_pre_process(plain, folded, skip_symbolic_shape=True)
        how = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8, "per_channel": True}
        quantize_static(folded, done, _Frames(calibration), quant_format=QuantFormat.QDQ, **how)
        quantised = Path(done).read_bytes()
    if keep is not None:
        write_atomically(keep, quantised)
    return quantised


class _Frames(CalibrationDataReader):  # type: ignore[misc]
    """Calibration, input by input."""

    def __init__(self, calibration: Sequence[Tensor]) -> None:
        self._left: Iterator[Tensor] = iter(calibration)

    def get_next(self) -> dict[str, Any] | None:
        """None: that was all."""
        frames = next(self._left, None)
        return None if frames is None else {INPUT: frames.numpy()}


def executed(model: nn.Module, example: Tensor, export: Path | None, calibration: Sequence[Tensor] = ()) -> Executed:
    """The nodes of the optimised graph, on the average of a few forwards."""
    chosen = options(torch.get_num_threads())
    chosen.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        chosen.profile_file_prefix = f"{folder}/profile"
        session = _session(model, example, export, calibration, chosen)
        caches = {one.name: torch.zeros(one.shape).numpy() for one in session.get_inputs()[1:]}
        for _ in range(_PROFILED):
            session.run(None, {INPUT: example.numpy(), **caches})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran = [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    return by_kind([(event["args"]["op_name"], event["dur"] / 1e6) for event in ran], _PROFILED)
