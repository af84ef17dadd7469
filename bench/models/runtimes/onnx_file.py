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
from pathlib import Path

import torch
from torch import Tensor, nn

INPUT, OUTPUT = "frames", "logits"


def exported(model: nn.Module, example: Tensor, keep: Path | None = None) -> bytes:
    """The ONNX file for frames of the example's shape: ``keep`` if it is there; else it is made, and kept there."""
    if keep is not None and keep.exists():
        return keep.read_bytes()
    data = export(model, example)
    if keep is not None:
        beside = keep.with_name(f"{keep.name}.new")  # a process may die while it writes
        beside.write_bytes(data)
        os.replace(beside, keep)
    return data


def export(model: nn.Module, example: Tensor, clips_of: int | None = None) -> bytes:
    """An ONNX file that maps ``frames`` [N*T, 3, H, W] to ``logits`` [N, classes].

    clips_of: T, where the file is to take any number of clips; ``example`` must then hold several of them. None: the
    file takes the example's shape only. Raises RuntimeError with the exporter's own reason.
    """
    shapes = (
        None if clips_of is None else ({0: clips_of * torch.export.Dim("clips", min=2)},)
    )  # one clip may take a path of its own
    with _quietly(), torch.inference_mode():
        try:
            program = torch.onnx.export(
                model,
                (example,),
                dynamo=True,
                verbose=False,
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=shapes,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise RuntimeError(_root(error)) from error
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    return data


def _root(error: BaseException) -> str:
    """The first cause: what the exporter wraps around it names files and asks for a bug report."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"it cannot be exported: {type(error).__name__}: {' '.join(str(error).split())[:300]}"


@contextmanager
def _quietly() -> Iterator[None]:
    """The exporter tells of its steps, of deprecations inside of torch and prints graphs; what it raises is told."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
