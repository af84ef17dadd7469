"""How long single frames take in a network that runs frame by frame, and what it misses in real time.

Percentiles are of single frames, none left out: tails are what they are for. Missed deadlines replay arrivals at a
fixed rate against the frames of a process in the order in which they ran: a frame starts when it has arrived and the
one before it is done, and misses its deadline where it is not done when the next one arrives. Frames ran without
pauses, so what a processor loses when it idles between frames is not in it; the command ``stream`` waits for arrivals.
The first frame of a slot follows another network, whose data the caches hold: the tails of a network that runs alone
may be shorter.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.spec.cases import Case
from bench.stats import estimators
from bench.stats.estimators import Interval
from bench.store.records import Record, TimedRecord

PERCENTILES = (50, 95, 99)
QUANTILES = (*np.linspace(0, 99, 100), 99.5, 99.9, 100)

Seconds = NDArray[np.float64]


@dataclass(frozen=True)
class FrameTimes:
    """Seconds of single frames, process by process, in the order in which they ran."""

    per_process: tuple[Seconds, ...]

    @property
    def all(self) -> Seconds:
        """Of all processes."""
        return np.concatenate(self.per_process)

    def percentile(self, percentile: float) -> Interval:
        """In seconds: the mean over processes of each one's percentile, with its t interval."""
        return estimators.t_interval([float(np.percentile(own, percentile)) for own in self.per_process])

    def missed(self, arrival_fps: float) -> float:
        """The share of frames that miss their deadline where frames arrive at this rate, 0 to 1."""
        return float(np.concatenate([_late(own, 1 / arrival_fps) for own in self.per_process]).mean())


def _late(seconds: Seconds, interval: float) -> NDArray[np.bool_]:
    """Which frames are not done when the next one arrives (a queue of one server and fixed arrivals; Lindley, 1952)."""
    waits, late = 0.0, []
    for own in seconds:
        late.append(waits + own > interval)
        waits = max(0.0, waits + own - interval)
    return np.array(late)


def frame_times(records: Sequence[Record]) -> dict[Case, FrameTimes]:
    """Of every case that ran frame by frame."""
    found: dict[Case, dict[int, Seconds]] = {}
    for record in records:
        if isinstance(record, TimedRecord) and record.samples.frame_seconds and record.replicate is not None:
            seconds = np.array([value for slot in record.samples.frame_seconds for value in slot])
            found.setdefault(record.case, {})[record.replicate] = seconds
    return {case: FrameTimes(tuple(own for _, own in sorted(processes.items()))) for case, processes in found.items()}
