"""Processes one after the other: a pilot, the quiet ones, then some beside a busy process. No torch."""

import math
import random
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.system import environment, workers
from bench.system.progress import Reporter
from bench.validation.design import FAST_START, FAST_SUPERBLOCK, Design, Plan, plan

Phase = Literal["quiet", "busy"]

_MODULE, _BUSY_MODULE = "bench.validation.worker", "bench.validation.busy"
_SECTION = "validation"
_SILENCE = 120.0  # seconds without an event: importing torch from a slow disk takes half of it
_SLOT_LIMIT = 10.0  # seconds more for each slot of a superblock, which is silent until its end
_PILOT_SUPERBLOCKS = 2  # they give the base's time and a superblock's; nothing else is made of them
_PILOT_BURN = 0.0003  # seconds: 3 % of the 10 ms that 200 layers take on two ordinary cores
_DEATHS = 3  # processes that die, and it is no accident any more
_SEED = 9


@dataclass(frozen=True)
class Process:
    """What one process measured. blocks: its ``superblock`` events as they came; seconds throughout.

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
    """Runs one design within a budget of seconds. module: the worker; tests give one that needs no torch."""

    def __init__(self, design: Design, budget: float, reporter: Reporter, module: str = _MODULE) -> None:
        plan(design, budget, FAST_START, FAST_SUPERBLOCK)  # refuses at once what is too little on any machine
        self.measured = Measured(design, min(design.threads, environment.usable_cores()))
        self._budget, self._reporter, self._module = budget, reporter, module
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
        self._phase("quiet", planned.quiet, self._budget - planned.busy_seconds, design.group_size)
        busy = workers.stream(_BUSY_MODULE, {"seconds": 10 * planned.busy_seconds}, silence_limit=_SILENCE)
        with closing(busy):
            next(busy)  # from now on, until it is closed
            self._phase("busy", planned.busy, self._budget, design.busy_least)
        self._reporter.advance(_SECTION, 1.0)

    def _phase(self, phase: Phase, planned: int, end: float, least: int) -> None:
        """Up to ``planned`` processes that share the time until ``end`` (seconds since the beginning).

        At least ``least`` of them; beyond those none for which the time left is not worth a start.
        """
        done = attempts = 0
        while done < planned and self._deaths < _DEATHS:
            left = self._began + end - time.monotonic()
            if done >= least and left < self._worth:
                self._note(f"time was up after {done} of {planned} {phase} processes")
                return
            share = max(0.0, left) / (planned - done)
            doing = f"process {done + 1} of {planned}" + (", beside a busy one" if phase == "busy" else "")
            self._reporter.advance(_SECTION, (time.monotonic() - self._began) / self._budget, doing)
            gate = self.measured.design.gate_share * share if phase == "quiet" else 0.0
            most = self.measured.design.most_superblocks
            process = self._process(phase, attempts, time.monotonic() + share, most, gate)
            attempts += 1
            if process:
                self.measured.processes.append(process)
                self._worth = process.startup + process.blocks[-1]["wall"]
                done += 1

    def _process(
        self, phase: Phase, number: int, deadline: float, superblocks: int | None, gate: float = 0.0
    ) -> Process | None:
        """One process; None where it died, which is noted."""
        start, startup, blocks, burn = time.monotonic(), 0.0, list[dict[str, Any]](), self._burn
        calls = self.measured.design.calls
        running = self.measured.design.busy_calls if phase == "busy" else range(len(calls))
        job = {
            "threads": self.measured.threads,
            "calls": [[calls[index].layers, burn if calls[index].burns else 0.0] for index in running],
            "seed": random.Random(f"{_SEED}/{phase}/{number}/{superblocks}").getrandbits(48),
            "deadline": min(deadline, start + 10 * self._budget),  # JSON knows no infinity
            "superblocks": superblocks,
            "gate_seconds": gate,
        }
        try:
            limit = _SILENCE + 2 * _SLOT_LIMIT * len(running) + gate
            for event in workers.stream(self._module, job, silence_limit=limit):
                if event["event"] == "ready":
                    startup, self.measured.backend = time.monotonic() - start, event["backend"]
                elif event["event"] == "superblock":
                    blocks.append({**event, "slots": [[running[row[0]], *row[1:]] for row in event["slots"]]})
                elif event["event"] == "failed":
                    raise workers.WorkerDied(f"failed in {calls[running[event['case']]].name}: {event['reason']}")
            if not blocks:
                raise workers.WorkerDied("measured nothing")
        except workers.WorkerDied as death:
            self._deaths += 1
            self._note(f"a {phase} process died and does not count: it {death}")
            return None
        return Process(phase, number, burn, startup, time.monotonic() - start, tuple(blocks))

    def _note(self, message: str) -> None:
        self.measured.notes.append(message)
        self._reporter.say(message)
