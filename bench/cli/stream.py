"""``stream``: a causal network on a running video, shown live.

Unless weights are given they are random, and the prediction is shown only to be seen changing; the output says so.
"""

import json
import math
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.session import only_results_on_stdout, strategy_at, warn_if_released_otherwise, weights_at
from bench.spec.axes import ACCURACY_BACKBONE, BACKBONES, ValueNotAllowed, require_backbone

if TYPE_CHECKING:
    from rich.console import Console

    from bench.models.streams import Playback

_LEAST_SIZE = 32  # px: what the networks here can read
_USUAL_SIZE = {1: 32, 3: 224}  # px, by the channels that a network reads
_LINE_EVERY = 1.0  # seconds
_DRAW_EVERY = 0.1  # seconds: the eye does not need more, and drawing takes time from the frames


def command(
    source: Annotated[
        str, typer.Option(help="A video file, a camera (0), an address (rtsp://…), or synthetic digits.")
    ],
    strategy: Annotated[str, typer.Option(help="A causal strategy, by name.")] = "buffer_shift",
    fraction: Annotated[str, typer.Option(help="Share of the channels that come from the past.")] = "1/8",
    placement: Annotated[str, typer.Option(help="residual or inplace.")] = "residual",
    backbone: Annotated[str, typer.Option(help="digits_resnet, or see: list backbones.")] = "digits_resnet",
    weights: Annotated[
        str | None,
        typer.Option(help="A checkpoint: torchvision's, TSM's, mmaction2's, or of a run's pretraining/; or imagenet."),
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    size: Annotated[int | None, typer.Option(help="Pixels along an edge, as the network sees it.")] = None,
    threads: Annotated[int | None, typer.Option(help="Of the processor; by default all cores.")] = None,
    fps: Annotated[float | None, typer.Option(help="Frames arriving in a second, if not as the source says.")] = None,
    frames: Annotated[int | None, typer.Option(help="Stop after so many frames.")] = None,
    duration: Annotated[str | None, typer.Option(help="Stop after this time: 10s.")] = None,
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print the summary as one JSON object.")] = False,
) -> int:
    """Play a video through a network frame by frame: frame time, missed deadlines and the prediction, live.

    Examples: stream --source synthetic --duration 10s  |  stream --source film.mp4 --backbone resnet50
    """
    from rich.console import Console

    from bench.spec.schema import parse_duration

    seconds = None if duration is None else parse_duration(duration)
    require_backbone(backbone, (ACCURACY_BACKBONE, *BACKBONES))
    weights = weights_at(weights)
    for option, value, least in (("--frames", frames, 1), ("--size", size, _LEAST_SIZE), ("--threads", threads, 1)):
        if value is not None and value < least:
            raise ValueNotAllowed(f"{option} {value} is too small; it is a whole number from {least}")
    if fps is not None and not 0 < fps < math.inf:
        raise ValueNotAllowed(f"--fps {fps:g} is not a rate; it is a number above 0")

    import torch

    from bench import models
    from bench.data.videos import generated_digits, video_at
    from bench.models.streams import Playback
    from bench.system.allocators import advice
    from bench.system.environment import usable_cores

    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    if device not in devices:
        raise ValueNotAllowed(f"device {device!r} is not on this machine; there are: {', '.join(devices)}")
    torch.set_num_threads(threads or usable_cores())
    with only_results_on_stdout() if json_output else nullcontext():
        video = generated_digits() if source == "synthetic" else video_at(source)
        causal = strategy_at(strategy, fraction, placement, "unidirectional", strategies_dir)
        network = models.build(backbone, 1, weights)
        warn_if_released_otherwise(weights, fraction=fraction, placement=placement, direction="unidirectional")
        online = models.go_online(causal, network).to(device)
        models.require_edge(online.trunk, size or _USUAL_SIZE[online.channels])
        normal = models.normalisation(backbone, weights)
        playback = Playback(video, online, size or _USUAL_SIZE[online.channels], fps, normal)
        meaning = "random weights: it means nothing" if weights is None else f"weights of {Path(weights).name}"
        stopped = _play(playback, playback.frames(frames, seconds), meaning, None if json_output else Console())
    pacing = playback.pacing
    percentiles = {f"p{at}_ms": round(pacing.percentile_ms(at), 3) if pacing.seconds else None for at in (50, 95, 99)}
    summary = {
        "network": f"{backbone} with {strategy}, {placement}, {fraction}",
        "source": video.name,
        "frames": len(pacing.seconds),
        **percentiles,
        "arrival_fps": pacing.arrival_fps,
        "fps": round(pacing.fps, 2),
        "missed_deadlines": pacing.missed,
        "cache_bytes": playback.streams.bytes_per_stream,
        "prediction": _prediction(playback),
        "weights": meaning,
        "heap": advice() if device == "cpu" else None,
        "notes": video.notes,
        "stopped": stopped,  # why it ended before its end, or None
    }
    print(json.dumps(summary, ensure_ascii=False) if json_output else _text(summary))
    if stopped:
        raise ValueNotAllowed(stopped)
    return 0


def _text(told: dict[str, Any]) -> str:
    """The summary for people."""
    lines = [f"{told['network']}, on {told['source']}: {told['frames']} frames"]
    if told["frames"]:
        lines += [
            f"a frame takes {told['p50_ms']:.1f} ms (p95 {told['p95_ms']:.1f}, p99 {told['p99_ms']:.1f}), from the "
            f"decoded picture to the prediction; {told['cache_bytes'] / 1e6:.2f} MB are remembered",
            f"{told['missed_deadlines']} of {told['frames']} frames missed their deadline at {told['arrival_fps']:g} a "
            f"second; {told['fps']:g} a second were played",
            f"prediction at the end: {told['prediction']} ({told['weights']})",
        ]
    lines += [f"note: {note}" for note in told["notes"]]
    lines += [told["heap"]] if told["heap"] else []
    return "\n".join(lines)


def _play(playback: "Playback", frames: Iterator[int], weights: str, console: "Console | None") -> str | None:
    """Play and show: a table on a terminal, else a line a second. Returns why the video broke off, or None."""
    import torch
    from rich.live import Live
    from rich.table import Table

    from bench.data.decoding import VideoError

    terminal = console is not None and console.is_terminal
    live = Live(console=console, auto_refresh=False, transient=True) if terminal else None
    shown, every = 0.0, _DRAW_EVERY if live else _LINE_EVERY
    with live or nullcontext(), torch.inference_mode():
        try:
            for number in frames:
                if console is None or time.monotonic() - shown < every:
                    continue
                shown = time.monotonic()
                rows = _rows(playback, number, weights)
                if live:
                    table = Table.grid(padding=(0, 2))
                    for row in rows.items():
                        table.add_row(*row)
                    live.update(table, refresh=True)
                else:
                    text = "  ".join(f"{what} {value}" for what, value in rows.items())
                    console.print(text, highlight=False, markup=False, soft_wrap=True)
        except VideoError as why:
            return str(why)
    return None


def _prediction(playback: "Playback") -> str:
    from bench.models.trainable import CLASSES

    mean = playback.prediction
    if mean is None:
        return "none"
    if playback.network.channels == 1:
        digit, order = (int(part.argmax()) for part in mean.split(CLASSES))
        return f"digit {digit}, order {order + 1}"
    return f"class {int(mean.argmax())}"


def _rows(playback: "Playback", number: int, weights: str) -> dict[str, str]:
    """What is shown after a frame."""
    pacing = playback.pacing
    rows = {
        "frame": str(number),
        "time": f"{1e3 * pacing.seconds[-1]:.1f} ms (p50 {pacing.percentile_ms(50):.1f}, "
        f"p95 {pacing.percentile_ms(95):.1f})",
        "arriving": f"{pacing.arrival_fps:g} a second",
        "deadlines missed": f"{pacing.missed} of {number}",
        "prediction": f"{_prediction(playback)} ({weights})",
    }
    return rows | ({"shown": playback.label} if playback.label else {})
