"""ONNX Runtime on a CPU: the exported file in an inference session, with all of its graph optimisations."""

from pathlib import Path
from typing import Any

import onnxruntime
import torch
from torch import Tensor, nn

from bench.models.runtimes import Forward
from bench.models.runtimes.onnx_file import INPUT, exported

_ERRORS_ONLY = 3  # onnxruntime's severity; below it there are warnings about initialisers that no node uses


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


def session(data: bytes, chosen: onnxruntime.SessionOptions) -> onnxruntime.InferenceSession:
    """The file in a session. Raises what ONNX Runtime raises: NotImplemented for an operator that it lacks."""
    return onnxruntime.InferenceSession(data, chosen, providers=["CPUExecutionProvider"])


def load_file(file: str) -> Forward:
    """An exported file with the runtime's own defaults, for any number of clips."""
    return _runner(onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"]))


def prepare(model: nn.Module, example: Tensor, cuda: Any, export: Path | None) -> Forward:
    """Export ``model`` for the example's shape and load it. The callable raises InvalidArgument for another shape."""
    return _runner(session(exported(model, example, export), options(torch.get_num_threads())))


def _runner(loaded: onnxruntime.InferenceSession) -> Forward:
    def forward(frames: Tensor) -> Tensor:
        return torch.from_numpy(loaded.run(None, {INPUT: frames.numpy()})[0])

    return forward
