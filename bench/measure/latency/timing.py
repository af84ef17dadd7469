"""The timed loop, bare, and around it all that a process reads beside its superblocks.

Runs and ``validate`` share this loop, so that what is proven of it holds for every measurement.
"""

import gc
import itertools
import math
import mmap
import random
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bench.measure.latency.devices import Call, Clock, Device
from bench.measure.latency.traffic import CopyCurve, page_seconds
from bench.stats import exclusion
from bench.system import workers
from bench.system.counters import Counters, Disturbance, counting_stops, foreign_share

_GATE_LOOK = 0.2  # seconds of sleep between two looks at what others do: 20 ticks of the system's accounting
_GATE_OPENS = 0.15  # cores that others may keep busy: below it waiting longer gains nothing

Rebuild = Callable[[dict[int, Call], Callable[[int], None], float], None]
"""Makes the calls anew, in a new random order, and takes out those that fail; tells by number which comes next. Raises
OutOfTime where a superblock would no longer end by the limit, the last argument."""


@dataclass(frozen=True)
class Frames:
    """Consecutive frames of streams, as calls in their order: one slot, in which each frame is timed by itself."""

    frames: Sequence[Call]

    def __call__(self) -> Any:
        """Run all of them; what the last one returned."""
        *_, last = (frame() for frame in self.frames)
        return last


@dataclass(frozen=True)
class Replays:
    """A captured graph, replayed so many times in one slot: between two events lie no launches but the first. Beside it
    one replay is timed alone, with the wait for its launch, as whoever asks for a single answer meets it."""

    call: Call
    times: int

    def __call__(self) -> Any:
        """Replay it so many times; what the last one returned."""
        for _ in range(self.times):
            last = self.call()
        return last


class CaseFailed(Exception):
    """A case raised, or its output or its time is not finite: its index and the reason."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index, self.reason = index, reason


class OutOfTime(Exception):
    """What was begun would not be done by its limit; the message says how long a forward takes."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"a forward took {seconds:.2g} s")


def require_time(seconds: float, slots: int, limit: float, now: Callable[[], float] = time.monotonic) -> None:
    """Raises OutOfTime where so many slots of ``seconds`` each would end after ``limit``."""
    if now() + seconds * slots > limit:
        raise OutOfTime(seconds)


class Slot(NamedTuple):
    """One timed run of a case, with what the system's counters said between its edges.

    The columns are those of ``bench.store.samples.Slots``. mhz: None where the device does not tell. frame_seconds:
    None where a slot is a single call; alone_seconds: where it is no ``Replays``.
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
    alone_seconds: float | None = None


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
    limit: float = math.inf,
    discarded: int = 0,
) -> list[Slot]:
    """Time every call twice, in a mirrored random order. Nothing but the call itself is inside the timed part.

    enter: told which case comes next, so that a crash has a name. healthy: judges the result of each slot. counters,
    mhz: read at the edges of each slot. limit: monotonic seconds. discarded: slots that run before and are not kept:
    they bring caches and clocks to where the others will find them. Raises CaseFailed, and OutOfTime as soon as the
    slots so far show that the limit would not be kept; then nothing of this superblock counts.
    """
    slots: list[Slot] = []
    took = list[float]()
    positions = mirrored_order(list(calls), rng)
    before_them = [positions[number % len(positions)] for number in range(-discarded, 0)]
    for position, index in enumerate((*before_them, *positions), -discarded):
        if took:
            require_time(sum(took) / len(took), len(positions) - position, limit)
        enter(index)
        call = calls[index]
        frames = call.frames if isinstance(call, Frames) else ()
        before = counters()
        try:
            alone = clock(call.call)[0] if isinstance(call, Replays) else None
            timed = [clock(part) for part in frames or (call,)]
        except Exception as error:  # a stranger's code: whatever it raises is the reason
            raise CaseFailed(index, f"raised {type(error).__name__}: {error}") from error
        spent = counters().since(before)
        whole = sum(own for own, _ in timed)
        took.append(whole + (alone or 0.0))
        seconds = whole / (call.times if isinstance(call, Replays) else 1)
        if not (math.isfinite(seconds) and seconds > 0):
            raise CaseFailed(index, f"the clock gave {seconds} s")
        if not healthy(timed[-1][1]):
            raise CaseFailed(index, "the output is not finite")
        counted = [spent[name] for name in ("own", "switches", "faults", "steal", "foreign")]
        now = mhz()
        frame_seconds = [own for own, _ in timed] if frames else None
        if position >= 0:
            seen = None if math.isnan(now) else now
            slots.append(Slot._make([index, position, seconds, *counted, seen, frame_seconds, alone]))
    return slots


@dataclass(frozen=True)
class Order:
    """What a process is to do. deadline: on the system-wide monotonic clock, shared with the parent.

    No superblock is begun that would end after the deadline, except for the first, and none is gone on with that would
    end after the limit. superblocks: at most so many; None: until the deadline. slot_file: sixteen bytes, the case
    which runs now and how many were entered. gate_seconds: how long the quiet-machine gate may wait. copy_mebibytes:
    sizes of the copy-bandwidth curve.
    """

    seed: int
    deadline: float
    superblocks: int | None = None
    limit: float = math.inf
    slot_file: str | None = None
    gate_seconds: float = 0.0
    copy_mebibytes: Sequence[int] = ()


def healthy(logits: Any) -> bool:
    """All logits are finite."""
    return not isinstance(logits, Tensor) or bool(torch.isfinite(logits).all())


def measure(
    calls: dict[int, Call],
    emit: workers.Emit,
    order: Order,
    device: Device,
    rebuild: Rebuild | None = None,
    *,
    captured: bool = False,
) -> None:
    """Emit ``superblock`` events until the deadline or the number is reached; at least one, within the limit.

    calls: in the order in which they were built. rebuild: makes them anew before every superblock but the first.
    captured: copies are timed as replays of a graph too.
    A case that raises or is not finite: ``failed``, and it runs no more. Where the device is gone: ``device_lost``, and
    where a superblock would not end within the limit: ``out_of_time``; either is the end.
    """
    clock, rng = device.clock(), random.Random(order.seed)
    curve = CopyCurve(device.torch_device, order.copy_mebibytes, device.cuda if captured else None)
    gate = Gate(order.gate_seconds)
    slowest, done, disturbed = 0.0, 0, False
    with _slot_file(order.slot_file) as enter, _no_collection(), counting_stops():
        while calls:
            rebuilt = 0.0
            try:
                if done and rebuild:
                    start = time.monotonic()
                    rebuild(calls, enter, order.limit)
                    enter(-1)
                    rebuilt = time.monotonic() - start
                    if not calls:
                        return
                waited = gate.wait() if disturbed else 0.0
                if waited:
                    for index, call in calls.items():  # caches and clocks went to sleep meanwhile
                        enter(index)
                        call()
                before, sensors = Disturbance.now(), device.sensors()
                slots = run_superblock(
                    calls,
                    clock,
                    rng,
                    enter=enter,
                    healthy=healthy,
                    mhz=device.mhz,
                    limit=order.limit,
                    discarded=device.discarded,
                )
            except CaseFailed as failure:
                if not device.present():
                    emit({"event": "device_lost", "reason": failure.reason})
                    return
                emit({"event": "failed", "case": failure.index, "reason": failure.reason})
                del calls[failure.index]
                continue
            except OutOfTime as late:
                emit({"event": "out_of_time", "reason": str(late)})
                return
            enter(-1)
            spent = Disturbance.now().since(before)
            throttled, sensors = sensors.get("throttled", 0.0), device.sensors()
            if sensors:  # throttled if at either end
                sensors["throttled"] = max(throttled, sensors.get("throttled", 0.0))
            spent["throttled"] = sensors.get("throttled", 0.0)
            disturbed = bool(exclusion.reasons(spent, spent["wall"]))
            copies, page = curve.measure(clock), page_seconds()
            wall = time.monotonic() - before.wall
            emit(
                {
                    "event": "superblock",
                    "slots": slots,
                    "wall": wall,
                    "waited": waited,
                    "rebuild_seconds": rebuilt,
                    "build_order": list(calls),
                    "disturbance": _known(spent),
                    "sensors": _known(sensors),
                    "copies": copies,
                    "page_seconds": page,
                }
            )
            if not done and rebuild:  # the next superblock is rebuilt: a forward of each case
                rebuilt = sum(slot.seconds for slot in slots) / 2
            slowest, done = max(slowest, rebuilt + wall), done + 1
            if done == order.superblocks or time.monotonic() + slowest > order.deadline:
                return


class Gate:
    """Waits before a superblock while others keep the machine busy, as long as its allowance lasts.

    It looks only after a superblock that was disturbed: on a quiet machine it costs nothing.
    """

    def __init__(self, allowance: float, look: Callable[[float], float] = foreign_share) -> None:
        self.left, self._look = allowance, look

    def wait(self) -> float:
        """Seconds waited."""
        waited = 0.0
        while self.left >= _GATE_LOOK:
            self.left -= _GATE_LOOK
            waited += _GATE_LOOK
            if self._look(_GATE_LOOK) <= _GATE_OPENS:
                break
        return waited


def _known(values: dict[str, float]) -> dict[str, float]:
    """Without NaN, which JSON does not know."""
    return {key: value for key, value in values.items() if value == value}


@contextmanager
def _slot_file(path: str | None) -> Iterator[Callable[[int], None]]:
    """A way to tell the parent which case runs now, and that the process lives, in sixteen bytes of shared memory: they
    outlive a crash, and wake nobody up while slots are timed."""
    if path is None:
        yield lambda index: None
        return
    with Path(path).open("r+b") as file, mmap.mmap(file.fileno(), 16) as slot:
        beats = itertools.count(1)

        def enter(index: int) -> None:
            slot[:16] = struct.pack("qq", index, next(beats))

        yield enter


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector out of the slots; collect once before."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
