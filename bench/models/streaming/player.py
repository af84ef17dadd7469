"""``stream``: a causal network on a running video, shown live. What the command does, from its options to its summary.

No weights trained on photographs come with the suite. Unless a file with weights is given they are random, and the
prediction is shown only to be seen changing; the output says so.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bench import models
from bench.data.datasets import open_dataset
from bench.models import OnlineNetwork
from bench.models.streaming.many import Streams
from bench.models.streaming.pacing import Pacing
from bench.models.streaming.preparation import Prepare, prepare_for
from bench.models.streaming.screen import Screen
from bench.models.streaming.sources import Frame, Source, VideoError, video_file
from bench.models.trainable import CLASSES
from bench.plugins import discovery
from bench.spec.axes import ACCURACY_BACKBONE, BACKBONES, PLACEMENTS, ValueNotAllowed, parse_fraction
from bench.spec.training import Data, Recipe
from bench.system.environment import usable_cores

SYNTHETIC = "synthetic"
_SYNTHETIC_FPS = 30.0
_EVENTS_AT_ONCE = 8  # base clips drawn together
_STREAM = "the video"
_LEAST_SIZE = 32  # px: what the networks here can read


@dataclass(frozen=True)
class Wish:
    """What the user asks for. size: None, as the network is used to; fps: None, as the source says."""

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
        if self.placement not in PLACEMENTS:
            raise ValueNotAllowed(f"unknown placement {self.placement!r}; there are: {', '.join(PLACEMENTS)}")
        devices = ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
        if self.device not in devices:
            raise ValueNotAllowed(f"device {self.device!r} is not on this machine; there are: {', '.join(devices)}")
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


def summary_lines(summary: Summary) -> list[str]:
    """The same for people."""
    told = [f"{summary.network}, on {summary.source}: {summary.frames} frames"]
    if summary.frames:
        told += [
            f"a frame takes {summary.p50_ms:.1f} ms (p95 {summary.p95_ms:.1f}, p99 {summary.p99_ms:.1f}), from the "
            f"decoded picture to the prediction; {summary.cache_bytes / 1e6:.2f} MB are remembered",
            f"{summary.missed_deadlines} of {summary.frames} frames missed their deadline at {summary.arrival_fps:g} a "
            f"second; {summary.fps:g} a second were played",
            f"prediction at the end: {summary.prediction} ({summary.weights})",
        ]
    return told


def watch(wish: Wish, screen: Screen, strategies_dir: Path | None = None) -> Summary:
    """Play the source through the network; a video that breaks off ends it, with the reason in the summary.

    Raises ValueNotAllowed for a wish that cannot be granted.
    """
    torch.set_num_threads(wish.threads or usable_cores())
    source = _source(wish.source)
    network, weights = _network(wish, strategies_dir)
    network.to(wish.device)
    size = wish.size or (32 if network.channels == 1 else 224)
    watching = _Watching(wish, source, network, prepare_for(network.channels, size), weights)
    with screen, torch.inference_mode():
        return watching.play(screen)


class _Watching:
    """One source in one network."""

    def __init__(self, wish: Wish, source: Source, network: OnlineNetwork, prepare: Prepare, weights: str) -> None:
        self._wish, self._source, self._prepare, self._weights = wish, source, prepare, weights
        self._network, self._streams = network, Streams(network)
        self._pacing = Pacing(wish.fps or source.fps)
        self._label = ""

    def play(self, screen: Screen) -> Summary:
        """Until the source ends, breaks off, or enough was seen."""
        stopped = None
        try:
            for frame in itertools.islice(self._source.frames(), self._wish.frames):
                self._pacing.frame(partial(self._step, frame))
                screen.show(self._rows())
                began, limit = self._pacing.began, self._wish.seconds
                if began is not None and limit is not None and self._pacing.done - began >= limit:
                    break
        except VideoError as why:
            stopped = str(why)
        return self._summary(stopped)

    def _step(self, frame: Frame) -> None:
        if frame.begins and _STREAM in self._streams.names:
            self._streams.reset(_STREAM)
        self._label = frame.label
        stepped = self._streams.step({_STREAM: self._prepare(frame.pixels)[0].to(self._wish.device)})
        if stepped.refused:
            raise VideoError(stepped.refused[_STREAM])

    def _rows(self) -> dict[str, str]:
        pacing = self._pacing
        count = len(pacing.seconds)
        rows = {
            "frame": str(count),
            "time": f"{1e3 * pacing.seconds[-1]:.1f} ms (p50 {pacing.percentile_ms(50):.1f}, "
            f"p95 {pacing.percentile_ms(95):.1f})",
            "arriving": f"{pacing.arrival_fps:g} a second",
            "deadlines missed": f"{pacing.missed} of {count}",
            "prediction": f"{self._prediction()} ({self._weights})",
        }
        return rows | ({"shown": self._label} if self._label else {})

    def _prediction(self) -> str:
        if _STREAM not in self._streams.names:
            return "none"
        mean = self._streams.prediction(_STREAM).mean
        if self._network.channels == 1:
            digit, order = (int(part.argmax()) for part in mean.split(CLASSES))
            return f"digit {digit}, order {order + 1}"
        return f"class {int(mean.argmax())}"

    def _summary(self, stopped: str | None) -> Summary:
        pacing, wish = self._pacing, self._wish
        known = bool(pacing.seconds)
        return Summary(
            network=f"{wish.backbone} with {wish.strategy}, {wish.placement}, {wish.fraction}",
            source=self._source.name,
            frames=len(pacing.seconds),
            **{f"p{at}_ms": round(pacing.percentile_ms(at), 3) if known else None for at in (50, 95, 99)},
            arrival_fps=pacing.arrival_fps,
            fps=round(pacing.fps, 2),
            missed_deadlines=pacing.missed,
            cache_bytes=self._streams.bytes_per_stream,
            prediction=self._prediction(),
            weights=self._weights,
            stopped=stopped,
        )


def _source(name: str) -> Source:
    if name == SYNTHETIC:
        return Source("generated digits", _SYNTHETIC_FPS, _generated)
    return video_file(Path(name))


def _generated() -> Iterator[Frame]:
    """Digits that move on a ring, event after event without an end; each is 8 frames in one of four orders."""
    recipe, rng = Recipe(), np.random.default_rng(0)
    dataset = open_dataset("ring_digits", recipe, Data(), 0)
    while True:
        clips = dataset.judged(rng, _EVENTS_AT_ONCE, "test")
        for place in rng.permutation(len(clips)):
            label = f"digit {clips.spatial[place]}, order {clips.temporal[place] + 1}"
            for t, pixels in enumerate(clips.pixels[place]):
                yield Frame(torch.from_numpy(pixels), begins=t == 0, label=label)


def _network(wish: Wish, strategies_dir: Path | None) -> tuple[OnlineNetwork, str]:
    """The network frame by frame, and what its weights are."""
    known = (ACCURACY_BACKBONE, *BACKBONES)
    if wish.backbone not in known:
        raise ValueNotAllowed(f"unknown backbone {wish.backbone!r}; there are: {', '.join(known)}")
    files = discovery.strategy_files(strategies_dir)
    names = sorted(info.name for info in map(discovery.info_of, files) if info.error is None)
    if wish.strategy not in names:
        raise ValueNotAllowed(f"unknown strategy {wish.strategy!r}; there are: {', '.join(names)}")
    cls = discovery.load_class(wish.strategy, files)
    fraction = parse_fraction(wish.fraction)
    declared = cls.fractions
    if declared is not None and float(fraction) not in declared:
        raise ValueNotAllowed(f"{wish.strategy} has the fractions {', '.join(map(str, declared))}, not {wish.fraction}")
    network = models.build(wish.backbone, 1)
    weights = "random weights: it means nothing" if wish.weights is None else f"weights of {wish.weights.name}"
    if wish.weights is not None:
        models.load_weights(network, wish.weights)
    strategy = cls(float(fraction), wish.placement, "unidirectional")  # type: ignore[arg-type]
    return models.go_online(strategy, network), weights
