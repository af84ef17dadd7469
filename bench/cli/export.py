"""``export``: a network with its shift as one file, held against eager before it is left where it belongs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.session import strategy_at, warn_if_released_otherwise, weights_at
from bench.spec.axes import BACKBONES, BASELINE, DIRECTIONS, ValueNotAllowed, require, require_backbone

if TYPE_CHECKING:
    from bench.strategy import Strategy

_FRAMES = 8
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

LOOPS = {
    "onnxruntime": """import numpy, onnxruntime

session = onnxruntime.InferenceSession("{file}", providers=["CPUExecutionProvider"])
caches = {{one.name: numpy.zeros(one.shape, "float32") for one in session.get_inputs()[1:]}}  # all streams begin
frames = numpy.random.default_rng(0).standard_normal((8, {streams}, 3, {size}, {size}), dtype="float32")
for number, frame in enumerate(frames):
    if number == 4:  # the first stream begins anew
        for cache in caches.values():
            cache[0] = 0
    logits, *after = session.run(None, {{"frames": frame, **caches}})  # [streams, classes]
    caches = dict(zip(caches, after))
""",
    "openvino": """import numpy, openvino

how = {{"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}}  # without: bf16 where the processor has it
network = openvino.Core().compile_model("{file}", "CPU", how)
request = network.create_infer_request()  # it keeps the caches; all streams begin
frames = numpy.random.default_rng(0).standard_normal((8, {streams}, 3, {size}, {size}), dtype="float32")
for number, frame in enumerate(frames):
    if number == 4:  # the first stream begins anew
        for cache in request.query_state():
            values = cache.state.data.copy()
            values[0] = 0
            cache.state = openvino.Tensor(values)
    logits = request.infer([frame])[0]  # [streams, classes]
""",
}
"""Python that runs streams through the file frame by frame; it needs numpy and the runtime, no torch."""


def command(
    strategy: Annotated[str, typer.Argument(help="A strategy's name.")],
    runtime: Annotated[str, typer.Option(help="onnxruntime or openvino: where the file is checked.")],
    out: Annotated[Path, typer.Option(help="The file to write: ONNX; .xml and .bin of OpenVINO with --online.")],
    backbone: Annotated[str, typer.Option(help="See: list backbones; or timm:NAME, FILE.py:FUNCTION.")] = "resnet50",
    fraction: Annotated[str | None, typer.Option(help="Share of the channels that move: 1/4; online 1/8.")] = None,
    placement: Annotated[str, typer.Option(help="residual or inplace.")] = "residual",
    direction: Annotated[str | None, typer.Option(help="bidirectional, or unidirectional: online.")] = None,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames in a clip, 8; fixed in the file.")] = None,
    size: Annotated[int, typer.Option(min=32, help="Pixels along an edge; fixed in the file.")] = 224,
    online: Annotated[bool, typer.Option("--online", help="Frame by frame, caches going in and out.")] = False,
    streams: Annotated[int | None, typer.Option(min=1, help="Online: how many at once, 1; fixed in the file.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="A checkpoint: torchvision's, TSM's or mmaction2's; or imagenet.")
    ] = None,
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
) -> int:
    """Write a network with its shift for deployment: an ONNX file for any number of clips, or one frame at a time.

    It is checked against eager; with --online against clips of 32 frames. Without --weights networks are untrained; for
    a network of your own call bench.models.runtimes.onnx_file.export.
    """
    from bench import models
    from bench.models.runtimes.onnx_file import export_checked
    from bench.system.allocators import advice

    weights = weights_at(weights)
    fraction = fraction or ("1/8" if online else "1/4")
    direction = direction or ("unidirectional" if online and strategy != BASELINE else "bidirectional")
    try:
        how = fraction, placement, direction, frames or _FRAMES, strategies_dir
        asked = deployable(strategy, runtime, backbone, *how)
        if not out.parent.is_dir() or out.is_dir():
            raise ValueNotAllowed(f"--out {out} cannot be written: {out.parent} must be a folder that is there")
        _require_alike(runtime, out, online, frames, streams)
        if online:
            told = _stream(asked, runtime, out, backbone, weights, size, streams or 1)
        else:
            network = models.insert(asked, models.build(backbone, frames or _FRAMES, weights)).eval()
            told = f"it deviates from eager by {export_checked(network, runtime, out, size):.1g} at most"
    except (RuntimeError, ValueError, OSError) as error:
        raise ValueNotAllowed(f"{strategy} was not exported: {error}") from None
    trained = {} if online else {"segments": frames or _FRAMES}
    warn_if_released_otherwise(weights, fraction=fraction, placement=placement, direction=direction, **trained)
    written = out.stat().st_size + (out.with_suffix(".bin").stat().st_size if out.suffix == ".xml" else 0)
    print(f"wrote {out} ({written / 1e6:.1f} MB); {told}")
    if advised := advice():
        print(f"{advised} (does it help here? run --runtimes {runtime} --allocators default,retained)")
    code = (LOOPS if online else _LOADERS)[runtime]
    print(f"load it with:\n\n{code.format(file=str(out), frames=frames or _FRAMES, size=size, streams=streams or 1)}")
    return 0


def deployable(
    strategy: str,
    runtime: str,
    backbone: str,
    fraction: str,
    placement: str,
    direction: str,
    frames: int,
    strategies_dir: Path | None,
) -> "Strategy":
    """The strategy as asked for. Raises ValueNotAllowed where it cannot become a file for ``runtime``."""
    from bench.models.runtimes import NEEDS, why_not

    require(runtime, NEEDS, "runtime of export")
    require_backbone(backbone, BACKBONES, "backbone of export")
    require(direction, DIRECTIONS, "direction")
    asked = strategy_at(strategy, fraction, placement, direction, strategies_dir)
    require(direction, asked.directions, f"direction of {strategy}")
    if asked.fraction == 0 and asked.fractions is None:
        raise ValueNotAllowed("fraction 0 is no_shift; export that, or give a fraction above 0")
    if reason := why_not(runtime, "cpu") or asked.skip(backbone, frames):
        raise ValueNotAllowed(reason)
    if not asked.exportable:
        raise ValueNotAllowed("it is made for eager: no runtime fuses what it would be exported as")
    return asked


def _require_alike(runtime: str, out: Path, online: bool, frames: int | None, streams: int | None) -> None:
    """Raises ValueNotAllowed where options do not belong together."""
    if online and frames is not None:
        raise ValueNotAllowed("--frames is the length of clips; with --online frames come one by one, without an end")
    if streams is not None and not online:
        raise ValueNotAllowed("--streams needs --online; a file of clips takes any number of them")
    if online and runtime == "openvino" and out.suffix != ".xml":
        raise ValueNotAllowed(f"OpenVINO keeps caches in a format of its own: --out takes FILE.xml, not {out.name}")


def _stream(
    strategy: "Strategy", runtime: str, out: Path, backbone: str, weights: str | None, size: int, streams: int
) -> str:
    """Write it; what there is to say about it: how exact it is, and what goes in and comes out."""
    import torch

    from bench import models
    from bench.models.runtimes.onnx_file import AFTER, BEFORE, INPUT, OUTPUT, STREAMED, STREAMED_ANEW, export_stream

    def in_clips(frames: torch.Tensor) -> torch.Tensor:
        network = models.insert(strategy, models.build(backbone, frames.shape[1], weights)).eval()
        logits: torch.Tensor = network.trunk(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return logits

    network = models.go_online(strategy, models.build(backbone, 1, weights))
    models.require_edge(network.trunk, size)
    shape = (streams, network.channels, size, size)
    with torch.inference_mode():
        logits, state = network.step(torch.zeros(shape))
    worst = export_stream(network, in_clips, runtime, out, shape)
    caches = [f"{place} {list(past.shape)}" for place, past in zip(network.places, state.pasts, strict=True)]
    kept = "they stay inside, as variables" if runtime == "openvino" else f"{BEFORE}NAME goes in, {AFTER}NAME comes out"
    return "\n".join(
        (
            f"it deviates from clips by {worst:.1g} at most, in {STREAMED} frames of each stream and {STREAMED_ANEW} "
            "more for which the first began anew",
            f"in: {INPUT} {list(shape)}; out: {OUTPUT} {list(logits.shape)}",
            f"caches, {state.bytes_per_stream / 1e6:.2f} MB a stream ({kept}):",
            *(f"  {cache}" for cache in caches),
        )
    )
