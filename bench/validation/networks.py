"""Identical networks, built and timed by the process that times strategies: are they alike, wherever they stand?

The stacks of ``worker`` share all their memory, so that nothing but their depth differs. Here one network stands many
times in a process, each time with features of its own: what its places in memory and in the build order do to a value
would be a bias of every overhead. No torch.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.spec.axes import BASELINE
from bench.spec.cases import BASELINE_VARIANT, Case
from bench.spec.panel import Panel
from bench.stats import estimators
from bench.stats.estimators import Processes

if TYPE_CHECKING:
    from bench.validation.experiment import Process
    from bench.validation.findings import Sample

WORKER = "bench.measure.latency.worker"
_STRATEGY = Path(__file__).resolve().parents[2] / "strategies" / f"{BASELINE}.py"
_BACKBONE, _FRAMES, _SIZE = "resnet18", 4, 64  # about 10 ms on two ordinary cores, as long as a stack


def job(networks: int, threads: int, order: dict[str, Any]) -> dict[str, Any]:
    """What such a process is told. order: of ``timing``."""
    case = Case(BASELINE_VARIANT, Panel(_BACKBONE, "cpu", "eager", "fp32", "nchw", threads, _FRAMES, _SIZE, 1))
    return {
        "mode": "timed",
        "panel": vars(case.panel),
        "files": [str(_STRATEGY)],
        "exports": None,
        "export_seconds": 0.0,
        "cases": [[index, case.to_json()] for index in range(networks)],
        "seed": order["seed"],
        "order": order,
        "prove": False,
    }


def differences(sample: "Sample") -> dict[str, Processes]:
    """{what is compared: per cent in each process}, all of which are zero but for chance.

    The second network of a pair against the first, all pairs together; the network built first against all others; the
    one built last against the first, along a straight line through all.
    """
    design, placed = sample.design, {process.number: _by_place(sample, process) for process in sample.processes}
    pairs = [sample.overhead(2 * pair + 1, 2 * pair).pct.by_unit for pair in range(design.network_pairs)]
    places = range(2 * design.network_pairs)
    found: dict[str, dict[int, float]] = {
        "second network of a pair against the first": {n: float(np.mean([pair[n] for pair in pairs])) for n in placed},
        "network built first against the others": {n: float(own[0] - own[1:].mean()) for n, own in placed.items()},
        "network built last against the first": {
            n: places[-1] * estimators.slope(places, own) for n, own in placed.items()
        },
    }
    return {what: Processes(by_process) for what, by_process in found.items()}


def _by_place(sample: "Sample", process: "Process") -> Any:
    """100 × log seconds by place in the build order [places], mean over superblocks."""
    kept = sample.superblocks(process.number)
    orders = {number: process.blocks[number]["build_order"] for number in kept}
    return 100 * np.mean([[kept[number][call] for call in order] for number, order in orders.items()], axis=0)
