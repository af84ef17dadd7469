"""``export``: a network with its shift as one ONNX file, held against eager before it is left where it belongs."""

from pathlib import Path
from typing import Annotated

import typer

from bench.cli.session import strategy_at, warn_if_released_otherwise, weights_at
from bench.spec.axes import BACKBONES, DIRECTIONS, ValueNotAllowed, require, require_backbone

_LOADERS = {
    "onnxruntime": """import numpy, onnxruntime
session = onnxruntime.InferenceSession({file!r}, providers=["CPUExecutionProvider"])
frames = numpy.random.default_rng(0).standard_normal((2 * {frames}, 3, {size}, {size}), dtype="float32")
logits = session.run(None, {{"frames": frames}})[0]  # [clips, classes]
""",
    "openvino": """import numpy, openvino
how = {{"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}}  # without: bf16 where the processor has it
network = openvino.Core().compile_model({file!r}, "CPU", how)
frames = numpy.random.default_rng(0).standard_normal((2 * {frames}, 3, {size}, {size}), dtype="float32")
logits = network(frames)[0]  # [clips, classes]
""",
}
"""Python that loads the file and runs two clips through it; it needs numpy and the runtime, no torch."""


def command(
    strategy: Annotated[str, typer.Argument(help="A strategy's name.")],
    runtime: Annotated[str, typer.Option(help="onnxruntime or openvino: where the file is checked.")],
    out: Annotated[Path, typer.Option(help="The ONNX file to write.")],
    backbone: Annotated[str, typer.Option(help="See: list backbones; or timm:NAME, FILE.py:FUNCTION.")] = "resnet50",
    fraction: Annotated[str, typer.Option(help="Share of the channels that move.")] = "1/4",
    placement: Annotated[str, typer.Option(help="residual or inplace.")] = "residual",
    direction: Annotated[str, typer.Option(help="bidirectional or unidirectional.")] = "bidirectional",
    frames: Annotated[int, typer.Option(min=1, help="Frames in a clip; fixed in the file.")] = 8,
    size: Annotated[int, typer.Option(min=32, help="Pixels along an edge; fixed in the file.")] = 224,
    weights: Annotated[
        str | None, typer.Option(help="A checkpoint: torchvision's, TSM's or mmaction2's; or imagenet.")
    ] = None,
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
) -> int:
    """Write a network with its shift as an ONNX file for any number of clips, checked against eager.

    Without --weights they are untrained; for a network of your own call bench.models.runtimes.onnx_file.export.
    """
    from bench import models
    from bench.models.runtimes import NEEDS, why_not
    from bench.models.runtimes.onnx_file import export_checked
    from bench.system.allocators import advice

    weights = weights_at(weights)
    try:
        require(runtime, NEEDS, "runtime of export")
        require_backbone(backbone, BACKBONES, "backbone of export")
        require(direction, DIRECTIONS, "direction")
        asked = strategy_at(strategy, fraction, placement, direction, strategies_dir)
        require(direction, asked.directions, f"direction of {strategy}")
        if asked.fraction == 0 and asked.fractions is None:
            raise ValueNotAllowed("fraction 0 is no_shift; export that, or give a fraction above 0")
        if reason := why_not(runtime, "cpu") or asked.skip(backbone, frames):
            raise ValueNotAllowed(reason)
        if not out.parent.is_dir() or out.is_dir():
            raise ValueNotAllowed(f"--out {out} cannot be written: {out.parent} must be a folder that is there")
        network = models.build(backbone, frames, weights)
        worst = export_checked(models.insert(asked, network).eval(), runtime, out, size)
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueNotAllowed(f"{strategy} was not exported: {error}") from None
    warn_if_released_otherwise(weights, fraction=fraction, placement=placement, direction=direction, segments=frames)
    print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB); it deviates from eager by {worst:.1g} at most")
    if told := advice():
        print(f"{told} (does it help here? run --runtimes {runtime} --allocators default,retained)")
    print(f"load it with:\n\n{_LOADERS[runtime].format(file=str(out), frames=frames, size=size)}")
    return 0
