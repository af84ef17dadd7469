"""A network as an ONNX file: what deployment runtimes load.

``torch.onnx.export`` captures the graph with ``torch.export``, translates it operator by operator and folds constants;
the rest (fusing, layouts, folding normalisations) is each runtime's own business.
"""

import io
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.models.network import Network
from bench.models.runtimes import Inexact, deviation, tolerance
from bench.store.records import write_atomically

INPUT, OUTPUT = "frames", "logits"
_CLIPS = (1, 2, 3)  # batches that a file for any number of clips is tried with
_TRACED = 1  # which of them: what is captured with two clips is right for one; the other way round it need not be


def exported(model: nn.Module, example: Tensor, keep: Path | None = None) -> bytes:
    """The ONNX file for frames of the example's shape: ``keep`` if it is there; else it is made, and kept there."""
    if keep is not None and keep.exists():
        return keep.read_bytes()
    data = export(model, example)
    if keep is not None:
        write_atomically(keep, data)
    return data


def export(model: nn.Module, example: Tensor, clips_of: int | None = None) -> bytes:
    """An ONNX file that maps ``frames`` [N*T, 3, H, W] to ``logits`` [N, classes].

    clips_of: T, where the file is to take any number of clips; ``example`` must then hold several of them. None: the
    file takes the example's shape only. Raises RuntimeError with the exporter's own reason.
    """
    how: dict[str, Any] = {"dynamo": True, "verbose": False, "input_names": [INPUT], "output_names": [OUTPUT]}
    if clips_of is not None:  # at least two: one clip may take a path of its own
        how["dynamic_shapes"] = ({0: clips_of * torch.export.Dim("clips", min=2)},)
    with _quietly(), torch.inference_mode():
        try:
            program = torch.onnx.export(model, (example,), **how)
        except torch.onnx.errors.OnnxExporterError as error:
            cause: BaseException = error  # what the exporter wraps around the first one asks for a bug report
            while cause.__cause__ is not None:
                cause = cause.__cause__
            reason = " ".join(str(cause).split())[:300]
            raise RuntimeError(f"it cannot be exported: {type(cause).__name__}: {reason}") from error
    assert program is not None
    return bytes(program.model_proto.SerializeToString())


def export_checked(network: Network, runtime: str, out: Path, size: int) -> float:
    """Write ``network`` to ``out`` for any number of clips of RGB frames, once ``runtime`` answers as eager does.

    size: of the frames, in px. Returns the largest deviation from eager. Raises RuntimeError where the network cannot
    be exported, Inexact where the file does not compute what the network does; then there is no file.
    """
    clips_of = network.num_segments
    tried = [torch.randn(n * clips_of, 3, size, size, generator=torch.Generator().manual_seed(n)) for n in _CLIPS]
    data = export(network, tried[_TRACED], clips_of)
    beside = out.with_name(f".{out.stem}.{os.getpid()}.onnx")  # named so, as runtimes go by the suffix
    try:
        beside.write_bytes(data)
        run = import_module(f"bench.models.runtimes.{runtime}").load_file(str(beside))
        with torch.inference_mode():
            worst = max(deviation(run(frames), network(frames)) for frames in tried)
        allowed = tolerance(tried[0])
        if not worst <= allowed:
            raise Inexact(
                f"the exported file deviates from eager by {worst:.2g} of the largest value ({allowed:g} allowed)"
            )
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)
    return worst


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter logs its steps, warns of deprecations inside of torch and prints graphs; what it raises is shown."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
