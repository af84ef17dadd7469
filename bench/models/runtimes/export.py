"""``export``: a network with its shift as one ONNX file, held against eager before it is left where it belongs."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from bench import models
from bench.models.runtimes import NEEDS, why_not
from bench.models.runtimes.exactness import Inexact, deviation, tolerance
from bench.models.runtimes.onnx_file import INPUT, export
from bench.plugins.discovery import LoadError, info_of, load_class
from bench.spec.axes import BACKBONES, DIRECTIONS, PLACEMENTS, ValueNotAllowed, parse_fraction
from bench.strategy import Strategy

_CLIPS = (1, 2, 3)  # batches that the file is tried with
_TRACED_CLIPS = 2  # what is captured with several clips is right for one; the other way round it need not be

_LOADERS = {
    "onnxruntime": """import numpy, onnxruntime
session = onnxruntime.InferenceSession({file!r}, providers=["CPUExecutionProvider"])
frames = numpy.random.default_rng(0).standard_normal((2 * {frames}, 3, {size}, {size}), dtype="float32")
logits = session.run(None, {{{input!r}: frames}})[0]  # [clips, classes]
""",
    "openvino": """import numpy, openvino
how = {{"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}}  # without: bf16 where the processor has it
network = openvino.Core().compile_model({file!r}, "CPU", how)
frames = numpy.random.default_rng(0).standard_normal((2 * {frames}, 3, {size}, {size}), dtype="float32")
logits = network(frames)[0]  # [clips, classes]
""",
}


@dataclass(frozen=True)
class Export:
    """What is asked for, as the command line gives it. frames: T; size in pixels; out: the file to write."""

    strategy: str
    runtime: str
    out: Path
    backbone: str = "resnet50"
    fraction: str = "1/4"
    placement: str = "residual"
    direction: str = "bidirectional"
    frames: int = 8
    size: int = 224
    weights: Path | None = None

    def loader(self) -> str:
        """Python that loads the file and runs two clips through it; it needs numpy and the runtime, no torch."""
        return _LOADERS[self.runtime].format(file=str(self.out), frames=self.frames, size=self.size, input=INPUT)


def write(asked: Export, files: Sequence[Path]) -> float:
    """Write the file and return its largest deviation from eager. files: the strategies there are.

    Without a file of weights they are the suite's own, untrained. Raises ValueNotAllowed for what cannot be asked for,
    RuntimeError where the network cannot be exported, Inexact where the file does not compute what the network does;
    then there is no file.
    """
    strategy = _strategy(asked, files)
    if not asked.out.parent.is_dir() or asked.out.is_dir():
        raise ValueNotAllowed(f"--out {asked.out} cannot be written: {asked.out.parent} must be a folder that is there")
    plain = models.build(asked.backbone, asked.frames)
    if asked.weights is not None:
        models.load_weights(plain, asked.weights)
    network = models.insert(strategy, plain).eval()
    clips = {count: _clips(asked, count) for count in _CLIPS}
    data = export(network, clips[_TRACED_CLIPS], clips_of=asked.frames)
    with tempfile.NamedTemporaryFile(dir=asked.out.parent, suffix=".onnx", delete=False) as kept:
        kept.write(data)
    try:
        worst = _worst(asked.runtime, kept.name, network, list(clips.values()))
        os.replace(kept.name, asked.out)
    finally:
        Path(kept.name).unlink(missing_ok=True)
    return worst


def _worst(runtime: str, file: str, network: torch.nn.Module, inputs: Sequence[Tensor]) -> float:
    """The largest deviation over the inputs. Raises Inexact where it is more than rounding."""
    run = import_module(f"bench.models.runtimes.{runtime}").load_file(file)
    with torch.inference_mode():
        worst = max(deviation(run(frames), network(frames)) for frames in inputs)
    allowed = tolerance(inputs[0])
    if not worst <= allowed:
        raise Inexact(
            f"the exported file deviates from eager by {worst:.2g} of the largest value ({allowed:g} allowed)"
        )
    return worst


def _clips(asked: Export, count: int) -> Tensor:
    shape = (count * asked.frames, 3, asked.size, asked.size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(count))


def _strategy(asked: Export, files: Sequence[Path]) -> Strategy:
    """The strategy at its place on the axes. Raises ValueNotAllowed with what would be right."""
    _among(asked.runtime, tuple(NEEDS), "--runtime")
    _among(asked.backbone, tuple(BACKBONES), "--backbone")
    _among(asked.placement, PLACEMENTS, "--placement")
    _among(asked.direction, DIRECTIONS, "--direction")
    if reason := why_not(asked.runtime, "cpu"):
        raise ValueNotAllowed(reason)
    try:
        cls = load_class(asked.strategy, files)
    except LoadError:
        names = sorted(info_of(file).name for file in files)
        raise ValueNotAllowed(f"unknown strategy {asked.strategy!r}; there are: {', '.join(names)}") from None
    fraction = float(parse_fraction(asked.fraction))
    if cls.fractions is not None and fraction not in cls.fractions:
        allowed = ", ".join(f"{value:g}" for value in cls.fractions)
        raise ValueNotAllowed(f"{cls.name} does not exist at fraction {asked.fraction}; it does at: {allowed}")
    _among(asked.placement, cls.placements, f"{cls.name}'s placement")
    _among(asked.direction, cls.directions, f"{cls.name}'s direction")
    if fraction == 0 and cls.fractions is None:
        raise ValueNotAllowed("fraction 0 is no_shift; export that, or give a fraction above 0")
    strategy = cls(fraction, asked.placement, asked.direction)  # type: ignore[arg-type]
    if reason := strategy.skip(asked.backbone, asked.frames):
        raise ValueNotAllowed(f"{cls.name} cannot run in {asked.backbone}: {reason}")
    return strategy


def _among(value: str, allowed: Sequence[str], what: str) -> None:
    if value not in allowed:
        raise ValueNotAllowed(f"{what} {value!r} cannot be exported; allowed: {', '.join(allowed)}")
