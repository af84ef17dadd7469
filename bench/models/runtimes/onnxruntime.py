"""ONNX Runtime on a CPU: the exported file in an inference session, with all of its graph optimisations."""

import json
import tempfile
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from bench.models.runtimes import Executed, Forward, by_kind
from bench.models.runtimes.onnx_file import INPUT, exported

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


def load_file(file: str) -> Forward:
    """An exported file with the runtime's own defaults, for any number of clips."""
    return _runner(onnxruntime.InferenceSession(file, providers=_PROVIDERS))


def prepare(model: nn.Module, example: Tensor, cuda: Any, export: Path | None) -> Forward:
    """Export ``model`` for the example's shape and load it. The callable raises InvalidArgument for another shape.

    Raises what ONNX Runtime raises: NotImplemented for an operator that it lacks.
    """
    data = exported(model, example, export)
    return _runner(onnxruntime.InferenceSession(data, options(torch.get_num_threads()), providers=_PROVIDERS))


def _runner(session: onnxruntime.InferenceSession) -> Forward:
    return lambda frames: torch.from_numpy(session.run(None, {INPUT: frames.numpy()})[0])


def executed(model: nn.Module, example: Tensor, export: Path | None) -> Executed:
    """The nodes of the optimised graph, on the average of a few forwards."""
    chosen = options(torch.get_num_threads())
    chosen.enable_profiling = True
    with tempfile.TemporaryDirectory() as folder:
        chosen.profile_file_prefix = f"{folder}/profile"
        session = onnxruntime.InferenceSession(exported(model, example, export), chosen, providers=_PROVIDERS)
        for _ in range(_PROFILED):
            session.run(None, {INPUT: example.numpy()})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    ran = [event for event in events if event["cat"] == "Node" and event["name"].endswith("_kernel_time")]
    return by_kind([(event["args"]["op_name"], event["dur"] / 1e6) for event in ran], _PROFILED)
