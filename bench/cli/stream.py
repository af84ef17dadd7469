"""``stream``: a causal network on a running video, shown live.

No weights trained on photographs come with the suite. Unless a file with weights is given they are random, and the
prediction is shown only to be seen changing; the output says so.
"""

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.session import require, strategy_at
from bench.spec.axes import ACCURACY_BACKBONE, BACKBONES, ValueNotAllowed

if TYPE_CHECKING:
    from rich.console import Console

    from bench.models import OnlineNetwork
    from bench.models.sources import Source
    from bench.models.streams import Playback

SYNTHETIC = "synthetic"
_LEAST_SIZE = 32  # px: what the networks here can read
_USUAL_SIZE = {1: 32, 3: 224}  # px, by the channels that a network reads
_LINE_EVERY = 1.0  # seconds
_DRAW_EVERY = 0.1  # seconds: the eye does not need more, and drawing takes time from the frames


@dataclass(frozen=True)
class StreamConfig:
    """The command's options. size: None, as the network is used to; fps: None, as the source says; seconds to play."""

    source: str
    strategy: str
    fraction: str
    placement: str
    backbone: str
    weights: Path | None
    device: str
    size: int | None
    threads: int | None
    fps: float | None
    frames: int | None
    seconds: float | None

    def __post_init__(self) -> None:
        require(self.backbone, (ACCURACY_BACKBONE, *BACKBONES), "backbone")
        whole = (("--frames", self.frames, 1), ("--size", self.size, _LEAST_SIZE), ("--threads", self.threads, 1))
        for option, value, least in whole:
            if value is not None and value < least:
                raise ValueNotAllowed(f"{option} {value} is too small; it is a whole number from {least}")
        if self.fps is not None and not 0 < self.fps < math.inf:
            raise ValueNotAllowed(f"--fps {self.fps:g} is not a rate; it is a number above 0")


@dataclass(frozen=True)
class Summary:
    """How it went. stopped: why it ended before its end, or None."""

    network: str
    source: str
    frames: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    arrival_fps: float
    fps: float
    missed_deadlines: int
    cache_bytes: int
    prediction: str
    weights: str
    stopped: str | None = None

    def text(self) -> str:
        """The same for people."""
        lines = [f"{self.network}, on {self.source}: {self.frames} frames"]
        if self.frames:
            lines += [
                f"a frame takes {self.p50_ms:.1f} ms (p95 {self.p95_ms:.1f}, p99 {self.p99_ms:.1f}), from the decoded "
                f"picture to the prediction; {self.cache_bytes / 1e6:.2f} MB are remembered",
                f"{self.missed_deadlines} of {self.frames} frames missed their deadline at {self.arrival_fps:g} a "
                f"second; {self.fps:g} a second were played",
                f"prediction at the end: {self.prediction} ({self.weights})",
            ]
        return "\n".join(lines)


def command(
    source: Annotated[str, typer.Option(help="A video file, or synthetic: digits that move.")],
    strategy: Annotated[str, typer.Option(help="A causal strategy, by name.")] = "buffer_shift",
    fraction: Annotated[str, typer.Option(help="Share of the channels that come from the past.")] = "1/8",
    placement: Annotated[str, typer.Option(help="residual or inplace.")] = "residual",
    backbone: Annotated[str, typer.Option(help="digits_resnet, or see: list backbones.")] = "digits_resnet",
    weights: Annotated[
        Path | None, typer.Option(help="A checkpoint: torchvision's, TSM's, mmaction2's, or of a run's pretraining/.")
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
    where = (source, strategy, fraction, placement, backbone, weights, device, size, threads, fps, frames, seconds)
    summary = play(StreamConfig(*where), None if json_output else Console(), strategies_dir)
    print(json.dumps(asdict(summary), ensure_ascii=False) if json_output else summary.text())
    if summary.stopped:
        raise ValueNotAllowed(summary.stopped)
    return 0


def play(config: StreamConfig, console: "Console | None", strategies_dir: Path | None = None) -> Summary:
    """Play the source through the network, shown on ``console``; a video that breaks off is a reason in the summary.

    Raises ValueNotAllowed for what cannot be played at all.
    """
    import torch

    from bench.models.sources import VideoError
    from bench.models.streams import Playback
    from bench.system.environment import usable_cores

    devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    if config.device not in devices:
        raise ValueNotAllowed(f"device {config.device!r} is not on this machine; there are: {', '.join(devices)}")
    torch.set_num_threads(config.threads or usable_cores())
    source, network = _source(config.source), _network(config, strategies_dir).to(config.device)
    playback = Playback(source, network, config.size or _USUAL_SIZE[network.channels], config.fps)
    weights = "random weights: it means nothing" if config.weights is None else f"weights of {config.weights.name}"
    stopped = None
    screen = Screen(console)
    with screen, torch.inference_mode():
        try:
            for number in playback.frames(config.frames, config.seconds):
                screen.show(_rows(playback, number, weights))
        except VideoError as why:
            stopped = str(why)
    pacing = playback.pacing
    percentiles = {f"p{at}_ms": round(pacing.percentile_ms(at), 3) if pacing.seconds else None for at in (50, 95, 99)}
    return Summary(
        network=f"{config.backbone} with {config.strategy}, {config.placement}, {config.fraction}",
        source=source.name,
        frames=len(pacing.seconds),
        **percentiles,
        arrival_fps=pacing.arrival_fps,
        fps=round(pacing.fps, 2),
        missed_deadlines=pacing.missed,
        cache_bytes=playback.streams.bytes_per_stream,
        prediction=_prediction(playback),
        weights=weights,
        stopped=stopped,
    )


def _source(name: str) -> "Source":
    from bench.models.sources import generated_digits, video_file

    return generated_digits() if name == SYNTHETIC else video_file(Path(name))


def _network(config: StreamConfig, strategies_dir: Path | None) -> "OnlineNetwork":
    from bench import models

    strategy = strategy_at(config.strategy, config.fraction, config.placement, "unidirectional", strategies_dir)
    network = models.build(config.backbone, 1)
    if config.weights is not None:
        models.load_weights(network, config.weights)
    return models.go_online(strategy, network)


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


class Screen:
    """Rows of (what, value): a table that is redrawn, a line a second where there is no terminal, or nothing at all."""

    def __init__(self, console: "Console | None") -> None:
        from rich.live import Live

        self._console, self._last = console, 0.0
        live = console is not None and console.is_terminal
        self._live = Live(console=console, auto_refresh=False, transient=True) if live else None

    def __enter__(self) -> "Screen":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take the table away; lines stay."""
        if self._live:
            self._live.stop()

    def show(self, rows: dict[str, str]) -> None:
        """Show the present state if the last one is old enough."""
        from rich.table import Table

        if self._console is None or time.monotonic() - self._last < (_DRAW_EVERY if self._live else _LINE_EVERY):
            return
        self._last = time.monotonic()
        if self._live is None:
            text = "  ".join(f"{what} {value}" for what, value in rows.items())
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)
            return
        table = Table.grid(padding=(0, 2))
        for row in rows.items():
            table.add_row(*row)
        self._live.update(table, refresh=True)
