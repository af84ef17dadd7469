"""Samples of a machine made of arithmetic, whose truth is known."""

import random
from dataclasses import dataclass
from typing import Any

from bench.measure.latency.clocks import SimulatedClock
from bench.measure.latency.schedule import superblock
from bench.validation.design import Design, Plan
from bench.validation.experiment import Measured, Phase, Process

QUIET = {"foreign": 0.0, "steal": 0.0, "major_faults": 0.0}
BUSY = {"foreign": 0.4, "steal": 0.0, "major_faults": 0.0}
WALL = 0.5

Readings = dict[str, float]


@dataclass(frozen=True)
class Machine:
    """fixed, layer: seconds of a call and of each layer. extra: what a deeper stack wrongly costs on top, as a share.

    twin_extra: the same for the second twin of every pair.
    """

    fixed: float = 0.0005
    layer: float = 0.00005
    noise_sd: float = 0.01
    process_sd: float = 0.002
    extra: float = 0.0
    twin_extra: float = 0.0

    def seconds(self, design: Design, burn: float) -> list[float]:
        """The true time of every call."""
        found = []
        for call in design.calls:
            seconds = self.fixed + call.layers * self.layer + (burn if call.burns else 0.0)
            deeper = call.layers > design.base or call.burns
            second = call.name.endswith("b") and call.name.startswith("pair")
            found.append(seconds * (1 + (self.extra if deeper else 0.0) + (self.twin_extra if second else 0.0)))
        return found

    def truth_pct(self, design: Design, layers: int) -> float:
        """The effect of a depth, from the two constants."""
        return 100 * (layers - design.base) * self.layer / (self.fixed + design.base * self.layer)


def process(
    machine: Machine, design: Design, seed: int, number: int, phase: Phase = "quiet", readings: Readings = QUIET
) -> Process:
    """Eight superblocks of one process."""
    burn = design.burn_share * 0.01
    clock = SimulatedClock(seed, noise_sd=machine.noise_sd, process_sd=machine.process_sd)
    calls: list[Any] = [lambda seconds=seconds: seconds for seconds in machine.seconds(design, burn)]
    rng, blocks = random.Random(seed), []
    for _ in range(8):
        order = superblock(range(len(calls)), rng)
        slots = [[case, position, clock.measure(calls[case])[0]] for position, case in enumerate(order)]
        blocks.append({"slots": slots, "wall": WALL, "waited": 0.0, "disturbance": readings})
    return Process(phase, number, burn, startup=4.0, wall=8.0, blocks=tuple(blocks))


def measured(
    machine: Machine,
    design: Design,
    groups: int,
    busy: int = 0,
    seed: int = 1,
    readings: Readings = QUIET,
    busy_readings: Readings = BUSY,
) -> Measured:
    """A whole experiment on such a machine."""
    size = design.group_sizes[0]
    count = groups * size
    found = Measured(design, threads=2, plan=Plan(groups, size, 8.0 * count, busy, 8.0 * busy))
    found.processes = [process(machine, design, seed + i, i, readings=readings) for i in range(count)]
    found.processes += [process(machine, design, seed - 1 - i, i, "busy", busy_readings) for i in range(busy)]
    return found
