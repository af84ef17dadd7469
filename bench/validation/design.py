"""What the validation measures, and how a budget is divided. Arithmetic only: no torch."""

import math
from dataclasses import dataclass

from bench.spec.axes import ValueNotAllowed

BASE_LAYERS = 200
EFFECT_LAYERS = (201, 202, 206, 220)  # built-in effects of about 0.5, 1, 3 and 10 %
HALF_LAYERS = 100  # two depths separate the fixed part (the call itself) from one layer's time

PAIRS_WANTED = 60  # A/A intervals in all: enough to tell 95 % coverage from 85 %
_COMFORT = 12  # superblocks in a process, about as long as its start: beyond it another process tells more
_LEAST = 2  # superblocks in a process of a small budget: a robust location needs more than one
_BUSY_SHARE = 0.12  # of the budget: the phase beside a busy process shows alarms, it estimates little
_BUSY_START, _BUSY_SUPERBLOCK = 1.5, 3.0  # times slower beside a busy process on one of two cores, as measured
FAST_START, FAST_SUPERBLOCK = 2.0, 0.3  # seconds on a fast machine: what does not fit there is refused at once


@dataclass(frozen=True)
class Call:
    """A stack of ``layers``, followed by a busy wait where ``burns``."""

    name: str
    layers: int
    burns: bool = False


@dataclass(frozen=True)
class Design:
    """The calls of every process, and how many processes are one experiment (a group).

    pairs: disjoint pairs of identical stacks; more would make superblocks longer than a machine keeps its speed.
    group_size: five are the fewest processes of a run, so their intervals are the hardest to get right. burn_share: of
    the base's time. busy_least: the fewest processes with a useful interval. most_…: more would tell nothing new;
    superblocks are those of one process. threads: the layers are small, more threads would wait longer than they work.
    gate_share: of a process's time that the quiet-machine gate may wait, as in runs.
    """

    base: int = BASE_LAYERS
    half: int = HALF_LAYERS
    effects: tuple[int, ...] = EFFECT_LAYERS
    pairs: int = 5
    group_size: int = 5
    burn_share: float = 0.03
    busy_least: int = 3
    most_groups: int = 100
    most_busy: int = 100
    most_superblocks: int | None = None
    threads: int = 2
    gate_share: float = 0.1

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every process runs these, by index: base, half, effects, burn, then the pairs."""
        effects = [Call(f"{layers} layers", layers) for layers in self.effects]
        pairs = [Call(f"pair {pair} {twin}", self.base) for pair in range(self.pairs) for twin in "ab"]
        return (Call("base", self.base), Call("half", self.half), *effects, Call("burn", self.base, True), *pairs)

    @property
    def busy_calls(self) -> tuple[int, ...]:
        """Indices of the base and the effects of about 3 %: a forward takes many times as long beside a busy process,
        and with more calls there would be fewer superblocks to count alarms in."""
        threes = [i for i, call in enumerate(self.calls) if not call.burns and abs(self.nominal_pct(call) - 3) < 0.5]
        return (0, *threes)

    def twins(self, pair: int) -> tuple[int, int]:
        """The indices of a pair's twins, the one that is held against the other first."""
        first = len(self.calls) - 2 * self.pairs + 2 * pair
        return first + 1, first

    def nominal_pct(self, call: Call) -> float:
        """What an effect would be without a fixed part."""
        return 100 * self.burn_share if call.burns else 100 * (call.layers - self.base) / self.base


@dataclass(frozen=True)
class Plan:
    """Numbers of processes, and the seconds that the last ones, beside a busy process, may take."""

    quiet: int
    busy: int
    busy_seconds: float


def plan(design: Design, budget: float, startup: float, superblock: float, *, used: float = 0.0) -> Plan:
    """Divide what is left of ``budget`` seconds after ``used``, given what a process start and a superblock take.

    As many groups as have _COMFORT superblocks in each process; where those give fewer pairs than wanted, shorter
    processes. Raises ValueNotAllowed where one group does not fit, with what would be enough.
    """
    least = startup + _LEAST * superblock
    busy_least = _BUSY_START * startup + _LEAST * _BUSY_SUPERBLOCK * superblock
    enough = design.group_size * least + design.busy_least * busy_least
    left = budget - used
    if left < enough:
        raise ValueNotAllowed(
            f"a budget of {budget:.0f} s is too small to validate: {design.group_size} processes and "
            f"{design.busy_least} beside a busy one, each {startup:.1f} s to start and {superblock:.1f} s a "
            f"superblock, need at least {10 * math.ceil(1.1 * (used + enough) / 10)} s here as things are; "
            "10m shows what this machine can do"
        )
    busy_seconds = max(_BUSY_SHARE * left, design.busy_least * busy_least)
    busy = max(design.busy_least, int(busy_seconds / (busy_least + _LEAST * _BUSY_SUPERBLOCK * superblock)))
    group_seconds = (left - busy_seconds) / design.group_size  # of all processes that have one place in their groups
    comfortable = int(group_seconds / (startup + _COMFORT * superblock))
    possible = int(group_seconds / least)
    groups = max(1, comfortable, min(possible, math.ceil(PAIRS_WANTED / design.pairs)))
    return Plan(min(groups, design.most_groups) * design.group_size, min(busy, design.most_busy), busy_seconds)
