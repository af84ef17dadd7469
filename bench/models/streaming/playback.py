"""Frames that arrive at a fixed rate, one after another through a network; frame times and missed deadlines.

A frame that arrives while another is at work waits; none is dropped. Its deadline is the arrival of the next one.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from torch import Tensor

from bench.models.online import OnlineNetwork
from bench.models.streaming.sources import Frame, Source, VideoError, prepare_for
from bench.models.streaming.streams import Streams

_STREAM = "the video"


@dataclass
class Pacing:
    """arrival_fps: frames a second. now, sleep: seconds; tests put a clock of their own here."""

    arrival_fps: float
    now: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    seconds: list[float] = field(default_factory=list)
    missed: int = 0
    began: float | None = None
    done: float = 0.0

    def frame(self, work: Callable[[], None]) -> None:
        """Wait for the next frame's arrival, then do its work."""
        if self.began is None:
            self.began = self.now()
        arrival = self.began + len(self.seconds) / self.arrival_fps
        if (early := arrival - self.now()) > 0:
            self.sleep(early)
        start = self.now()
        work()
        self.done = self.now()
        self.seconds.append(self.done - start)
        self.missed += self.done > arrival + 1 / self.arrival_fps

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
    """One source in one network. size: of the frames that the network reads, in px; fps: None, as the source says."""

    def __init__(self, source: Source, network: OnlineNetwork, size: int, fps: float | None = None) -> None:
        self.source, self.network = source, network
        self.streams, self.pacing = Streams(network), Pacing(fps or source.fps)
        self.label = ""  # what the present frame shows, where the source knows it
        self._prepare, self._device = prepare_for(network.channels, size), next(network.parameters()).device

    def frames(self, count: int | None = None, seconds: float | None = None) -> Iterator[int]:
        """Play until the source ends, or for so many frames or seconds: the number of each frame, once it is played.

        Raises VideoError where the source breaks off.
        """
        for number, frame in enumerate(itertools.islice(self.source.frames(), count), start=1):
            self.pacing.frame(partial(self._step, frame))
            yield number
            if seconds is not None and self.pacing.elapsed >= seconds:
                return

    def _step(self, frame: Frame) -> None:
        if frame.begins and _STREAM in self.streams.names:
            self.streams.reset(_STREAM)
        self.label = frame.label
        stepped = self.streams.step({_STREAM: self._prepare(frame.pixels)[0].to(self._device)})
        if stepped.refused:
            raise VideoError(stepped.refused[_STREAM])

    @property
    def prediction(self) -> Tensor | None:
        """The average of the logits since the stream began [classes]; None before the first frame."""
        return self.streams.prediction(_STREAM).mean if _STREAM in self.streams.names else None
