"""What the validation measures, and how a budget is divided. Arithmetic only: no torch."""

import math
from dataclasses import dataclass

from bench.spec.axes import ValueNotAllowed

BASE_LAYERS = 200
EFFECT_LAYERS = (201, 202, 206, 220)  # built-in effects of about 0.5, 1, 3 and 10 %
HALF_LAYERS = 100  # two depths tell the fixed part (the call itself) from one layer's time

PAIRS_WANTED = 60  # A/A intervals in all: enough to tell 95 % coverage from 85 %
_COMFORT = 12  # superblocks in a process, about as long as its start: beyond it another process tells more
_LEAST = 2  # superblocks in a process of a small budget: with a single one nothing robust is left
_BUSY_SHARE = 0.12  # of the budget: the phase with a foreign busy process shows alarms, it estimates little
_BUSY_LEAST = 3  # processes: the fewest with an interval worth drawing
_MOST = 100  # groups, and busy processes: more of the same would tell nothing new
_BUSY_START, _BUSY_SUPERBLOCK = 1.5, 3.0  # times slower with a foreign process on one of two cores, as tried
_QUICK_START, _QUICK_SUPERBLOCK = 2.0, 0.3  # seconds on a quick machine: what is refused without trying


@dataclass(frozen=True)
class Call:
    """A stack of ``layers``, followed by a busy wait where ``burns``."""

    name: str
    layers: int
    burns: bool = False


@dataclass(frozen=True)
class Design:
    """The calls of every process, and how many processes are one experiment.

    pairs: disjoint pairs of identical stacks; more would make superblocks longer than a machine keeps its speed.
    group_sizes: consecutive processes that make one experiment, the first of them for which the budget has room; five
    are the fewest that a run takes, so their intervals are the hardest to get right. burn_share: of the base's time.
    most_…: limits beyond which a large budget is not used up; superblocks are those of one process. threads: the layers
    are small, and more would wait for each other longer than they work. gate_share: of a process's time that the
    quiet-machine gate may wait, as in runs.
    """

    base: int = BASE_LAYERS
    half: int = HALF_LAYERS
    effects: tuple[int, ...] = EFFECT_LAYERS
    pairs: int = 5
    group_sizes: tuple[int, ...] = (5,)
    burn_share: float = 0.03
    busy_least: int = _BUSY_LEAST
    most_groups: int = _MOST
    most_busy: int = _MOST
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
        """Indices of those that run beside the busy process: the base and the effects of about 3 %.

        There a forward takes many times as long; the others would cost superblocks, over which alarms are counted.
        """
        threes = [i for i, call in enumerate(self.calls) if not call.burns and self.is_three(call.layers)]
        return (0, *threes)

    def is_three(self, layers: int) -> bool:
        """An effect of about 3 %, which the paper speaks of."""
        return abs(self.nominal_pct(layers) - 3) < 0.5

    def pair(self, number: int) -> tuple[int, int]:
        """The indices of a pair's twins."""
        first = len(self.calls) - 2 * self.pairs + 2 * number
        return first, first + 1

    @property
    def least_group(self) -> int:
        """Processes without which there is no experiment."""
        return self.group_sizes[-1]

    def nominal_pct(self, layers: int) -> float:
        """What an effect would be without a fixed part: what it is called by, in per cent."""
        return 100 * (layers - self.base) / self.base


@dataclass(frozen=True)
class Plan:
    """groups × group_size quiet processes in quiet_seconds, then ``busy`` ones in busy_seconds."""

    groups: int
    group_size: int
    quiet_seconds: float
    busy: int
    busy_seconds: float


def plan(design: Design, budget: float, startup: float, superblock: float, *, used: float = 0.0) -> Plan:
    """Divide what is left of ``budget`` seconds after ``used``, given what a process start and a superblock take.

    As many groups as have _COMFORT superblocks in each process; where those give fewer pairs than wanted, shorter
    processes; where there is no room for one group, a smaller group.
    Raises ValueNotAllowed where even that does not fit, with what would be enough.
    """
    least = startup + _LEAST * superblock
    busy_least = _BUSY_START * startup + _LEAST * _BUSY_SUPERBLOCK * superblock
    enough = design.least_group * least + design.busy_least * busy_least
    left = budget - used
    if left < enough:
        raise ValueNotAllowed(
            f"a budget of {budget:.0f} s is too small to validate: {design.least_group} fresh processes and "
            f"{design.busy_least} beside a busy one, each {startup:.1f} s to start and {superblock:.1f} s a "
            f"superblock, need at least {_generous(used + enough)} s here as things are; "
            "10m tells what this machine can do"
        )
    busy_seconds = max(_BUSY_SHARE * left, design.busy_least * busy_least)
    quiet_seconds = left - busy_seconds
    busy = max(design.busy_least, int(busy_seconds / (busy_least + _LEAST * _BUSY_SUPERBLOCK * superblock)))
    busy = min(busy, design.most_busy)
    wanted = math.ceil(PAIRS_WANTED / design.pairs)
    for size in design.group_sizes:
        comfortable = int(quiet_seconds / (size * (startup + _COMFORT * superblock)))
        possible = int(quiet_seconds / (size * least))
        groups = max(comfortable, min(possible, wanted))
        if groups:
            return Plan(min(groups, design.most_groups), size, quiet_seconds, busy, busy_seconds)
    return Plan(1, design.least_group, quiet_seconds, busy, busy_seconds)


def _generous(seconds: float) -> int:
    """A tenth more, in full ten seconds: what is said to be enough must be enough the next time."""
    return 10 * math.ceil(1.1 * seconds / 10)


def check(design: Design, budget: float) -> None:
    """Refuse at once what would be too little on any machine. Raises ValueNotAllowed."""
    plan(design, budget, _QUICK_START, _QUICK_SUPERBLOCK)
