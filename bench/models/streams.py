"""A causal network on running video: many streams at once, and one source played at its own rate."""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bench.data.decoding import VideoError
from bench.data.videos import Frame, Source, prepare
from bench.models.online import OnlineNetwork, State, StreamError, joined
from bench.spec.axes import IMAGENET_NORMAL, Normal

_STREAM = "the video"


@dataclass(frozen=True)
class Running:
    """A stream's logits so far [classes]; their mean is its prediction, as the consensus is in clip mode."""

    total: Tensor
    frames: int

    @property
    def mean(self) -> Tensor:
        """[classes]."""
        return self.total / self.frames


@dataclass(frozen=True)
class Stepped:
    """What came of one frame of every stream that had one.

    logits: of the frame [classes], by stream. refused: why a frame was not taken; its stream stays as it was.
    """

    logits: dict[str, Tensor]
    refused: dict[str, str]


class Streams:
    """The streams of one network by name: each begins, pauses and ends when it likes, and none disturbs another."""

    def __init__(self, network: OnlineNetwork) -> None:
        self._network = network
        self._states: dict[str, State] = {}
        self._running: dict[str, Running] = {}

    @property
    def names(self) -> list[str]:
        """The streams that have begun and not ended."""
        return list(self._states)

    @property
    def bytes_per_stream(self) -> int:
        """What one stream remembers; 0 before the first frame."""
        return next((state.bytes_per_stream for state in self._states.values()), 0)

    def step(self, frames: Mapping[str, Tensor]) -> Stepped:
        """frames: the present frame [C, H, W] of some streams; a new name begins a stream. One batch for each size.

        A frame that does not fit its stream is refused, with what was expected; the others go on.
        """
        refused: dict[str, str] = {}
        groups: dict[tuple[int, ...], list[str]] = {}
        for name, frame in frames.items():
            try:
                self._network.require(frame[None], self._states.get(name))
            except StreamError as why:
                refused[name] = str(why)
            else:
                groups.setdefault(tuple(frame.shape), []).append(name)
        logits: dict[str, Tensor] = {}
        for names in groups.values():
            logits |= self._together(names, torch.stack([frames[name] for name in names]))
        for name, own in logits.items():
            known = self._running.get(name, Running(torch.zeros_like(own), 0))
            self._running[name] = Running(known.total + own, known.frames + 1)
        return Stepped(logits, refused)

    def prediction(self, name: str) -> Running:
        """The average of a stream's logits since it began. Raises StreamError for a stream that has not."""
        self._require(name)
        return self._running[name]

    def reset(self, name: str) -> None:
        """Begin a stream anew; also how it ends. Raises StreamError for a stream that has not begun."""
        self._require(name)
        del self._states[name], self._running[name]

    def _require(self, name: str) -> None:
        if name not in self._states:
            raise StreamError(f"there is no stream {name!r}; there are: {', '.join(self._states) or 'none'}")

    def _together(self, names: list[str], frames: Tensor) -> dict[str, Tensor]:
        """One batch of frames of one size; those that begin start from zeros."""
        state = None
        known = next((self._states[name] for name in names if name in self._states), None)
        if known is not None:
            blank = known.fresh(1)
            state = joined([self._states.get(name, blank) for name in names])
        logits, after = self._network.step(frames, state)
        self._states |= {name: after.of([place]) for place, name in enumerate(names)}
        return dict(zip(names, logits, strict=True))


@dataclass
class Pacing:
    """Frames that arrive at a fixed rate, or at times of their own. One that arrives while another is at work waits;
    none is dropped.

    The deadline of a frame is the arrival of the next one.
    arrival_fps: frames a second. live: a frame has arrived when its work is asked for. now, sleep: seconds; tests put a
    clock of their own here.
    """

    arrival_fps: float
    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    live: bool = False
    seconds: list[float] = field(default_factory=list)
    missed: int = 0
    began: float | None = None
    done: float = 0.0

    def frame(self, work: Callable[[], None], at: float | None = None, lasts: float | None = None) -> None:
        """Wait for the next frame's arrival, then do its work. at: seconds after the first one's arrival, lasts: until
        the next one's; None: by the rate."""
        if self.began is None:
            self.began = self.now()
        arrival = self.began + (len(self.seconds) / self.arrival_fps if at is None else at)
        if self.live:
            arrival = self.now()
        if (early := arrival - self.now()) > 0:
            self.sleep(early)
        start = self.now()
        work()
        self.done = self.now()
        self.seconds.append(self.done - start)
        self.missed += self.done > arrival + (1 / self.arrival_fps if lasts is None else lasts)

    @property
    def elapsed(self) -> float:
        """Seconds from the first frame's arrival to the last one's prediction."""
        return self.done - (self.began or 0.0)

    @property
    def fps(self) -> float:
        """Frames a second, as they were played."""
        return len(self.seconds) / self.elapsed if self.seconds else 0.0

    def percentile_ms(self, of_hundred: float) -> float:
        """Of the frame times so far, in milliseconds."""
        return 1e3 * float(np.percentile(self.seconds, of_hundred))


class Playback:
    """One source in one network. size: of the frames that the network reads, in px; fps: None, at the frames' own
    times; normal: mean and deviation of the colours that the network was trained with."""

    def __init__(
        self,
        source: Source,
        network: OnlineNetwork,
        size: int,
        fps: float | None = None,
        normal: Normal = IMAGENET_NORMAL,
    ) -> None:
        self.source, self.network, self.size, self._normal = source, network, size, normal
        self.streams, self.pacing = Streams(network), Pacing(fps or source.fps, live=source.live)
        self._own_times = fps is None
        self.label = ""  # what the present frame shows, where the source knows it
        self._device = next(network.parameters()).device

    def frames(self, count: int | None = None, seconds: float | None = None) -> Iterator[int]:
        """Play until the source ends, or for so many frames or seconds: the number of each frame, once it is played.

        Raises VideoError where the source breaks off.
        """
        for number, frame in enumerate(itertools.islice(self.source.frames(), count), start=1):
            times = (frame.at, frame.lasts) if self._own_times else (None, None)
            self.pacing.frame(partial(self._step, frame), *times)
            yield number
            if seconds is not None and self.pacing.elapsed >= seconds:
                return

    def _step(self, frame: Frame) -> None:
        if frame.begins and _STREAM in self.streams.names:
            self.streams.reset(_STREAM)
        self.label = frame.label
        pixels = prepare(frame.pixels, self.network.channels, self.size, self._normal)
        stepped = self.streams.step({_STREAM: pixels[0].to(self._device)})
        if stepped.refused:
            raise VideoError(stepped.refused[_STREAM])

    @property
    def prediction(self) -> Tensor | None:
        """The average of the logits since the stream began [classes]; None before the first frame."""
        return self.streams.prediction(_STREAM).mean if _STREAM in self.streams.names else None
