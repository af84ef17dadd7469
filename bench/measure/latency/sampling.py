"""The timed loop, bare: superblocks over prepared calls, on any clock."""

import gc
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.measure.latency.clocks import Clock
from bench.measure.latency.schedule import superblock
from bench.system.counters import Counters


class CaseFailed(Exception):
    """A case raised, or its output or its time is not finite: its index and the reason."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index, self.reason = index, reason


@dataclass(frozen=True)
class Slot:
    """One timed forward pass: which case, at which position of its superblock, how many seconds, what went on.

    spent: what the system's counters say of it (``Counters.since``), read at its edges. mhz: the device's clock.
    frame_seconds: of each frame, where the slot is several frames of a stream.
    """

    case: int
    position: int
    seconds: float
    spent: dict[str, float]
    mhz: float
    frame_seconds: Sequence[float] = ()

    COLUMNS = ("case", "position", "seconds", "own", "switches", "faults", "steal", "foreign", "mhz", "frame_seconds")

    def row(self) -> list[float | list[float] | None]:
        """Plain values in the order of ``COLUMNS``; None for what is not known."""
        counted = [self.spent[name] for name in self.COLUMNS[3:8]]
        mhz = None if math.isnan(self.mhz) else self.mhz
        return [self.case, self.position, self.seconds, *counted, mhz, list(self.frame_seconds) or None]


def run_superblock(
    calls: dict[int, Callable[[], Any]],
    clock: Clock,
    rng: random.Random,
    *,
    enter: Callable[[int], None] = lambda index: None,
    healthy: Callable[[Any], bool] = lambda result: True,
    counters: Callable[[], Counters] = Counters.now,
    mhz: Callable[[], float] = lambda: math.nan,
    frame_seconds: Callable[[Any], Sequence[float]] = lambda result: (),
) -> list[Slot]:
    """Time every call twice, in a mirrored random order.

    enter: told which case comes next, outside the timed part, so that a crash has a name.
    healthy: judges each result, outside the timed part.
    counters, mhz: read at the edges of each slot, outside the timed part.
    frame_seconds: what a result says of its single frames.
    Raises CaseFailed, and then nothing of this superblock counts.
    """
    slots = []
    for position, index in enumerate(superblock(list(calls), rng)):
        enter(index)
        before = counters()
        try:
            seconds, result = clock.measure(calls[index])
        except Exception as error:  # a stranger's code: whatever it raises is the reason
            raise CaseFailed(index, f"raised {type(error).__name__}: {error}") from error
        spent = counters().since(before)
        if not (math.isfinite(seconds) and seconds > 0):
            raise CaseFailed(index, f"the clock gave {seconds} s")
        if not healthy(result):
            raise CaseFailed(index, "the output is not finite")
        slots.append(Slot(index, position, seconds, spent, mhz(), frame_seconds(result)))
    return slots


class no_collection:
    """Keep Python's garbage collector out of the slots; collect once before."""

    def __enter__(self) -> None:
        gc.collect()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        gc.enable()
