"""Samples of a machine made of arithmetic, whose truth is known."""

import math
import random
from dataclasses import dataclass

from bench.measure.latency.timing import mirrored_order
from bench.validation.experiment import Design, Measured, Phase, Process

Readings = dict[str, float]
QUIET: Readings = {"foreign": 0.0, "steal": 0.0, "major_faults": 0.0}
BUSY: Readings = {**QUIET, "foreign": 0.4}


@dataclass(frozen=True)
class Machine:
    """fixed, layer: seconds of a call and of each layer. noise_sd, process_sd: of log-seconds, for each slot and for
    each call of a process. extra: what a deeper stack wrongly costs on top, as a share; twin_extra: the same for the
    second twin of every pair. first_extra: the same for the network that is built first in a process."""

    fixed: float = 0.0005
    layer: float = 0.00005
    noise_sd: float = 0.01
    process_sd: float = 0.002
    extra: float = 0.0
    twin_extra: float = 0.0
    first_extra: float = 0.0

    def seconds(self, design: Design, burn: float) -> list[float]:
        """The true time of every call."""
        found = []
        for call in design.calls:
            deeper = self.extra if call.layers > design.base or call.burns else 0.0
            second = self.twin_extra if call.name.startswith("pair") and call.name.endswith("b") else 0.0
            seconds = self.fixed + call.layers * self.layer + (burn if call.burns else 0.0)
            found.append(seconds * (1 + deeper + second))
        return found

    def truth_pct(self, design: Design, layers: int) -> float:
        """The effect of a depth, from the two constants."""
        return 100 * (layers - design.base) * self.layer / (self.fixed + design.base * self.layer)


def process(
    machine: Machine, design: Design, seed: int, number: int, phase: Phase = "quiet", readings: Readings = QUIET
) -> Process:
    """Eight superblocks of one process."""
    burn, rng = design.burn_share * 0.01, random.Random(seed)
    networks = phase == "networks"
    order = rng.sample(range(2 * design.network_pairs), 2 * design.network_pairs) if networks else []
    known = [0.01 * (1 + machine.first_extra * (i == order[0])) for i in range(len(order))]
    truths = [
        seconds * math.exp(rng.gauss(0, machine.process_sd)) for seconds in known or machine.seconds(design, burn)
    ]
    blocks = []
    for _ in range(8):
        places = mirrored_order(range(len(truths)), rng)
        slots = [[i, place, truths[i] * math.exp(rng.gauss(0, machine.noise_sd))] for place, i in enumerate(places)]
        blocks.append({"slots": slots, "wall": 0.5, "waited": 0.0, "disturbance": readings, "build_order": order})
    return Process(phase, number, burn, startup=4.0, wall=8.0, blocks=tuple(blocks))


def measured(
    machine: Machine,
    design: Design,
    groups: int,
    busy: int = 0,
    networks: int = 0,
    seed: int = 1,
    readings: Readings = QUIET,
    busy_readings: Readings = BUSY,
) -> Measured:
    """A whole experiment on such a machine."""
    found = Measured(design, threads=2)
    quiet = range(groups * design.group_size)
    found.processes = [process(machine, design, seed + i, i, readings=readings) for i in quiet]
    found.processes += [process(machine, design, seed + 7919 + i, i, "networks", readings) for i in range(networks)]
    found.processes += [process(machine, design, seed - 1 - i, i, "busy", busy_readings) for i in range(busy)]
    return found
