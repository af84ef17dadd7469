"""The timed loop, bare: superblocks over prepared calls, on any clock."""

import gc
import math
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from bench.measure.latency.devices import Call, Clock
from bench.system.counters import Counters


@dataclass(frozen=True)
class Frames:
    """Consecutive frames of streams, as calls in their order: one slot, in which each frame is timed by itself."""

    frames: Sequence[Call]

    def __call__(self) -> Any:
        """Run all of them; what the last one returned."""
        *_, last = (frame() for frame in self.frames)
        return last


class CaseFailed(Exception):
    """A case raised, or its output or its time is not finite: its index and the reason."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index, self.reason = index, reason


class Slot(NamedTuple):
    """One timed run of a case, with what the system's counters said between its edges.

    The columns are those of ``bench.store.samples.Slots``. mhz: None where the device does not tell. frame_seconds:
    None where a slot is a single call.
    """

    case: int
    position: int
    seconds: float
    cpu_seconds: float
    switches: float
    faults: float
    steal: float
    foreign: float
    mhz: float | None
    frame_seconds: list[float] | None


def mirrored_order(cases: Sequence[int], rng: random.Random) -> list[int]:
    """A random order of ``cases`` followed by its mirror image.

    Every case stands twice, and the two positions of each have the same mean: linear drift in time adds the same to
    every case.
    """
    order = list(cases)
    rng.shuffle(order)
    return order + order[::-1]


def run_superblock(
    calls: dict[int, Call],
    clock: Clock,
    rng: random.Random,
    *,
    enter: Callable[[int], None] = lambda index: None,
    healthy: Callable[[Any], bool] = lambda result: True,
    counters: Callable[[], Counters] = Counters.now,
    mhz: Callable[[], float] = lambda: math.nan,
) -> list[Slot]:
    """Time every call twice, in a mirrored random order. Nothing but the call itself is inside the timed part.

    enter: told which case comes next, so that a crash has a name. healthy: judges the result of each slot. counters,
    mhz: read at the edges of each slot. Raises CaseFailed, and then nothing of this superblock counts.
    """
    slots = []
    for position, index in enumerate(mirrored_order(list(calls), rng)):
        enter(index)
        call = calls[index]
        frames = call.frames if isinstance(call, Frames) else ()
        before = counters()
        try:
            timed = [clock(part) for part in frames or (call,)]
        except Exception as error:  # a stranger's code: whatever it raises is the reason
            raise CaseFailed(index, f"raised {type(error).__name__}: {error}") from error
        spent = counters().since(before)
        seconds = sum(own for own, _ in timed)
        if not (math.isfinite(seconds) and seconds > 0):
            raise CaseFailed(index, f"the clock gave {seconds} s")
        if not healthy(timed[-1][1]):
            raise CaseFailed(index, "the output is not finite")
        counted = [spent[name] for name in ("own", "switches", "faults", "steal", "foreign")]
        now = mhz()
        frame_seconds = [own for own, _ in timed] if frames else None
        slots.append(Slot._make([index, position, seconds, *counted, None if math.isnan(now) else now, frame_seconds]))
    return slots


@contextmanager
def no_collection() -> Iterator[None]:
    """Keep Python's garbage collector out of the slots; collect once before."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
