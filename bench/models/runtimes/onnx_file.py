"""A network as an ONNX file: what deployment runtimes load.

``torch.onnx.export`` captures the graph with ``torch.export``, translates it operator by operator and folds constants;
the rest (fusing, layouts, folding normalisations) is each runtime's own business.

A network frame by frame has one input and one output more for each place that remembers something (its cache). A graph
has no memory: what a frame puts out is put in with the next one, zeros with the first one of a stream.
"""

import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.models.network import Network
from bench.models.online import OnlineNetwork
from bench.models.runtimes import Inexact, Stream, deviation, tolerance
from bench.store.records import write_atomically

INPUT, OUTPUT = "frames", "logits"
BEFORE, AFTER = "before.", "after."
"""How the names of caches begin, in and out; the rest is the path of the place that remembers."""
STREAMED, STREAMED_ANEW = 32, 4
"""Frames with which an exported stream is tried, and further ones, for which the first stream begins anew."""
_CLIPS = (1, 2, 3)  # batches that a file for any number of clips is tried with
_TRACED = 1  # which of them: what is captured with two clips is right for one; the other way round it need not be


class _Explicit(nn.Module):
    """A network frame by frame as a function of the frame and its caches, to the logits and the caches for the next."""

    def __init__(self, network: OnlineNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor, *before: Tensor) -> tuple[Tensor, ...]:
        logits, after = self.network.advance(frame, before)
        return logits, *after


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

    Of a network frame by frame: ``frames`` [S, 3, H, W], one of each stream, and ``before.PLACE`` for each cache, to
    ``logits`` [S, classes] and ``after.PLACE``.
    clips_of: T, where the file is to take any number of clips; ``example`` must then hold several of them. None: the
    file takes the example's shape only. Raises RuntimeError with the exporter's own reason.
    """
    arguments: tuple[Tensor, ...] = (example,)
    inputs, outputs = [INPUT], [OUTPUT]
    with quietly(), torch.inference_mode():
        if isinstance(model, OnlineNetwork):
            _, state = model.step(example)
            arguments = (example, *map(torch.zeros_like, state.pasts))
            inputs += [BEFORE + place for place in model.places]
            outputs += [AFTER + place for place in model.places]
            model = _Explicit(model)
        how: dict[str, Any] = {"dynamo": True, "verbose": False, "input_names": inputs, "output_names": outputs}
        if clips_of is not None:  # at least two: one clip may take a path of its own
            how["dynamic_shapes"] = ({0: clips_of * torch.export.Dim("clips", min=2)},)
        try:
            program = torch.onnx.export(model, arguments, **how)
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
        _require(worst, tolerance(tried[0]), "eager")
        os.replace(beside, out)
    finally:
        beside.unlink(missing_ok=True)
    return worst


def export_stream(
    network: OnlineNetwork, in_clips: Callable[[Tensor], Tensor], runtime: str, out: Path, shape: tuple[int, ...]
) -> float:
    """Write ``network`` to ``out`` as ``runtime`` wants it, once it answers frame by frame as the clips do.

    in_clips: what the same network gives for each frame of clips, [S, T, C, H, W] -> [S, T, classes]. shape: of a frame
    of every stream [S, C, H, W], fixed in the file. It is tried with ``STREAMED`` frames of every stream, and
    ``STREAMED_ANEW`` more for which the first stream begins anew.
    Returns the largest deviation; raises as ``export_checked`` does.
    """
    frames = torch.randn(shape[0], STREAMED + STREAMED_ANEW, *shape[1:], generator=torch.Generator().manual_seed(0))
    data, module = export(network, frames[:, 0]), import_module(f"bench.models.runtimes.{runtime}")
    with tempfile.TemporaryDirectory(dir=out.parent) as folder, torch.inference_mode():
        files = module.write_stream(data, Path(folder) / out.name)
        worst = deviation_of_stream(module.load_stream(str(files[0])), in_clips, frames)
        _require(worst, tolerance(frames), "the clips")
        for file in files:
            os.replace(file, out.with_name(file.name))
    return worst


def deviation_of_stream(stream: Stream, in_clips: Callable[[Tensor], Tensor], frames: Tensor) -> float:
    """max |difference| / max |reference| over all frames; for the last few the first stream begins anew."""
    want = in_clips(frames).clone()
    want[0, STREAMED:] = in_clips(frames[:1, STREAMED:])[0]
    got = []
    for t, frame in enumerate(frames.unbind(1)):
        if t == STREAMED:
            stream.reset([0])
        got.append(stream(frame.contiguous()))
    return deviation(torch.stack(got, dim=1), want)


def _require(found: float, allowed: float, what: str) -> None:
    if not found <= allowed:
        raise Inexact(
            f"the exported file deviates from {what} by {found:.2g} of the largest value ({allowed:g} allowed)"
        )


@contextmanager
def quietly() -> Iterator[None]:
    """The exporter logs its steps, warns of deprecations inside of torch and prints graphs; what it raises is shown."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
