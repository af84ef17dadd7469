"""An experiment: what it measures, how a budget is divided, and its processes, one after the other. No torch.

A pilot comes first, then quiet ones with stacks, quiet ones with identical networks (``networks``), and some beside a
process that keeps a core busy: this file as a module.
"""

import math
import random
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.spec.axes import ValueNotAllowed
from bench.system import environment, workers
from bench.system.progress import Reporter
from bench.validation import networks

Phase = Literal["quiet", "networks", "busy"]

PAIRS_WANTED = 60  # A/A intervals in all, and pairs of networks: enough to tell 95 % coverage from 85 %
_COMFORT = 12  # superblocks in a process, about as long as its start: beyond it another process tells more
_LEAST = 2  # superblocks in a process of a small budget: a robust location needs more than one
_BUSY_SHARE = 0.12  # of the budget: the phase beside a busy process shows alarms, it estimates little
_NETWORK_SHARE = 0.15  # of the budget; in 10 minutes some ten processes
_NETWORK_START = 1.5  # times slower to start than a stack: it imports networks and builds twenty
_FEWEST_NETWORKS = 2  # processes: with fewer there is no interval
_BUSY_START, _BUSY_SUPERBLOCK = 1.5, 3.0  # times slower beside a busy process on one of two cores, as measured
_FAST_START, _FAST_SUPERBLOCK = 2.0, 0.3  # seconds on a fast machine: what does not fit there is refused at once
_SECTION, _WORKER = "validation", "bench.validation.worker"
_SILENCE = 120.0  # seconds without an event: importing torch from a slow disk takes half of it
_SLOT_LIMIT = 10.0  # seconds more for each slot of a superblock, which is silent until its end
_PILOT_SUPERBLOCKS = 2  # they give the base's time and a superblock's; nothing else is made of them
_PILOT_BURN = 0.0003  # seconds: 3 % of the 10 ms that 200 layers take on two ordinary cores
_DEATHS = 3  # processes that die, and it is no accident any more
_SEED = 9


@dataclass(frozen=True)
class Call:
    """A stack of ``layers``, followed by a busy wait where ``burns``."""

    name: str
    layers: int
    burns: bool = False


@dataclass(frozen=True)
class Design:
    """The calls of every process, and how many processes are one experiment (a group).

    base, half, effects: layers; two depths separate the fixed part (the call itself) from one layer's time, the effects
    are about 0.5, 1, 3 and 10 %. pairs: disjoint pairs of identical stacks; more would make superblocks longer than a
    machine keeps its speed. group_size: five are the fewest processes of a run, so their intervals are the hardest to
    get right. network_pairs: of identical networks in a process. burn_share: of the base's time. busy_least: the fewest
    processes with a useful interval. most_…: more would tell nothing new; superblocks are those of one process.
    threads: the layers are small, more threads would wait longer than they work. gate_share: of a process's time that
    the quiet-machine gate may wait, as in runs.
    """

    base: int = 200
    half: int = 100
    effects: tuple[int, ...] = (201, 202, 206, 220)
    pairs: int = 5
    network_pairs: int = 10
    group_size: int = 5
    burn_share: float = 0.03
    busy_least: int = 3
    most_groups: int = 100
    most_networks: int = 100
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
    """Numbers of processes, and the seconds that those with networks and those beside a busy process may take."""

    quiet: int
    networks: int
    busy: int
    network_seconds: float
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
    room = min(_NETWORK_SHARE * left, left - busy_seconds - design.group_size * least)
    processes = min(int(room / (_NETWORK_START * startup + _LEAST * superblock)), design.most_networks)
    if processes < _FEWEST_NETWORKS:
        processes, room = 0, 0.0
    group_seconds = (left - busy_seconds - room) / design.group_size  # of all that have one place in a group
    comfortable = int(group_seconds / (startup + _COMFORT * superblock))
    possible = int(group_seconds / least)
    groups = max(1, comfortable, min(possible, math.ceil(PAIRS_WANTED / design.pairs)))
    quiet = min(groups, design.most_groups) * design.group_size
    return Plan(quiet, processes, min(busy, design.most_busy), room, busy_seconds)


@dataclass(frozen=True)
class Process:
    """What one process measured. blocks: its ``superblock`` events, each with the
    order in which its calls were built; seconds throughout.

    number: unique among the processes of its phase. burn: the length of the busy wait.
    """

    phase: Phase
    number: int
    burn: float
    startup: float
    wall: float
    blocks: tuple[dict[str, Any], ...]


@dataclass
class Measured:
    """All that was measured, and what went wrong meanwhile. interrupted: by the user."""

    design: Design
    threads: int
    plan: Plan | None = None
    processes: list[Process] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    backend: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False

    def phase(self, phase: Phase) -> list[Process]:
        """The processes of one phase, in order."""
        return [process for process in self.processes if process.phase == phase]

    @property
    def enough(self) -> bool:
        """Whether there is one experiment at least."""
        return len(self.phase("quiet")) >= self.design.group_size


class Experiment:
    """Runs one design within a budget of seconds. stacks, others: the workers; tests give some without torch."""

    def __init__(
        self, design: Design, budget: float, reporter: Reporter, stacks: str = _WORKER, others: str = networks.WORKER
    ) -> None:
        plan(design, budget, _FAST_START, _FAST_SUPERBLOCK)  # refuses at once what is too little on any machine
        self.measured = Measured(design, min(design.threads, environment.usable_cores()))
        self._budget, self._reporter = budget, reporter
        self._stacks, self._networks = stacks, others
        self._began = time.monotonic()
        self._burn = _PILOT_BURN
        self._worth = 0.0  # seconds that a process takes before it has measured anything
        self._deaths = 0

    def run(self) -> Measured:
        """Everything; after Ctrl-C, or where processes die again and again, what was measured by then.

        Raises ValueNotAllowed where the pilot shows that the budget is too small for this machine.
        """
        self._reporter.expect(_SECTION, self._budget)
        try:
            pilots = (self._process("quiet", 0, math.inf, _PILOT_SUPERBLOCKS) for _ in range(_DEATHS))
            if pilot := next(filter(None, pilots), None):
                self._phases(pilot)
        except KeyboardInterrupt:
            self.measured.interrupted = True
            self._note("it was interrupted: less was measured than planned")
        except workers.WorkerDied as death:
            self._note(f"nothing was measured beside a busy process: it {death}")
        return self.measured

    def _phases(self, pilot: Process) -> None:
        """The pilot's fastest base is the nominal one: all that a busy machine does makes it slower."""
        design, superblock = self.measured.design, min(block["wall"] for block in pilot.blocks)
        base = min(slot[2] for block in pilot.blocks for slot in block["slots"] if slot[0] == 0)
        self._burn, self._worth = design.burn_share * base, pilot.startup + superblock
        planned = plan(design, self._budget, pilot.startup, superblock, used=time.monotonic() - self._began)
        self.measured.plan = planned
        quiet = self._budget - planned.busy_seconds
        self._phase("quiet", planned.quiet, quiet - planned.network_seconds, design.group_size)
        self._phase("networks", planned.networks, quiet, min(planned.networks, _FEWEST_NETWORKS))
        forever = {"seconds": 10 * planned.busy_seconds}
        with closing(workers.stream("bench.validation.experiment", forever, silence_limit=_SILENCE)) as busy:
            next(busy)  # from now on, until it is closed
            self._phase("busy", planned.busy, self._budget, design.busy_least)
        self._reporter.advance(_SECTION, 1.0)

    def _phase(self, phase: Phase, planned: int, end: float, least: int) -> None:
        """Up to ``planned`` processes that share the time until ``end`` (seconds since the beginning).

        At least ``least`` of them; beyond those none for which the time left is not worth a start.
        """
        design, done, attempts = self.measured.design, 0, 0
        while done < planned and self._deaths < _DEATHS:
            left = self._began + end - time.monotonic()
            if done >= least and left < self._worth:
                self._note(f"time was up after {done} of {planned} {phase} processes")
                return
            share = max(0.0, left) / (planned - done)
            doing = f"process {done + 1} of {planned}" + (", beside a busy one" if phase == "busy" else "")
            self._reporter.advance(_SECTION, (time.monotonic() - self._began) / self._budget, doing)
            gate = 0.0 if phase == "busy" else design.gate_share * share
            process = self._process(phase, attempts, time.monotonic() + share, design.most_superblocks, gate)
            attempts += 1
            if process:
                self.measured.processes.append(process)
                self._worth = process.startup + process.blocks[-1]["wall"]
                done += 1

    def _process(
        self, phase: Phase, number: int, deadline: float, superblocks: int | None, gate: float = 0.0
    ) -> Process | None:
        """One process; None where it died, which is noted."""
        start, startup, blocks = time.monotonic(), 0.0, list[dict[str, Any]]()
        order = {
            "seed": random.Random(f"{_SEED}/{phase}/{number}/{superblocks}").getrandbits(48),
            "deadline": min(deadline, start + 10 * self._budget),  # JSON knows no infinity
            "superblocks": superblocks,
            "gate_seconds": gate,
        }
        module, job, running = self._job(phase, order)
        try:
            limit = _SILENCE + 2 * _SLOT_LIMIT * len(running) + gate
            for event in workers.stream(module, job, silence_limit=limit):
                if event["event"] == "ready":
                    startup, self.measured.backend = time.monotonic() - start, event["backend"]
                elif event["event"] == "superblock":
                    slots = [[running[row[0]], *row[1:]] for row in event["slots"]]
                    built = [running[index] for index in event.get("build_order", range(len(running)))]
                    blocks.append({**event, "slots": slots, "build_order": built})
                elif event["event"] == "failed":
                    raise workers.WorkerDied(f"failed in {phase} call {running[event['case']]}: {event['reason']}")
            if not blocks:
                raise workers.WorkerDied("measured nothing")
        except workers.WorkerDied as death:
            self._deaths += 1
            self._note(f"a {phase} process died and does not count: it {death}")
            return None
        return Process(phase, number, self._burn, startup, time.monotonic() - start, tuple(blocks))

    def _job(self, phase: Phase, order: dict[str, Any]) -> tuple[str, dict[str, Any], list[int]]:
        """The module of a process, what it is told, and the indices of what it times, in the order of building."""
        design, threads = self.measured.design, self.measured.threads
        if phase == "networks":
            count = 2 * design.network_pairs
            running = random.Random(order["seed"]).sample(range(count), count)
            return self._networks, networks.job(count, threads, order), running
        running = list(design.busy_calls if phase == "busy" else range(len(design.calls)))
        calls = [design.calls[index] for index in running]
        burnt = [[call.layers, self._burn if call.burns else 0.0] for call in calls]
        return self._stacks, {"threads": threads, "calls": burnt, **order}, running

    def _note(self, message: str) -> None:
        self.measured.notes.append(message)
        self._reporter.say(message)


def _burn(job: workers.Event, emit: workers.Emit) -> None:
    """Keep one core busy. job: seconds."""
    emit({"event": "ready"})
    end = time.monotonic() + job["seconds"]
    while time.monotonic() < end:
        pass


if __name__ == "__main__":
    workers.serve(_burn)
