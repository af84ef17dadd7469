"""Frames that arrive at a fixed rate: wait for each, time it, and see whether it was done when the next one came.

A frame that arrives while another is at work waits; none is dropped. Its deadline is the arrival of the next one.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


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
    def fps(self) -> float:
        """Frames a second, as they were played."""
        return len(self.seconds) / (self.done - (self.began or 0.0)) if self.seconds else 0.0

    def percentile_ms(self, of_hundred: float) -> float:
        """Of the frame times so far, in milliseconds."""
        return 1e3 * float(np.percentile(self.seconds, of_hundred))
