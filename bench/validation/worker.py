"""A fresh process of the validation: stacks of known depth in the timed loop of real runs.

Events: ``ready`` (all calls are built and warm), then those of ``bench.latency.timing.measure``.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.measure.latency import timing
from bench.measure.latency.devices import device_for
from bench.measure.latency.timing import Order
from bench.system import workers
from bench.validation.stack import stack


def burning(forward: Callable[[], Tensor], seconds: float) -> Callable[[], Tensor]:
    """``forward``, then a busy wait of so many seconds: an effect that is known in time, not in layers."""

    def call() -> Tensor:
        result = forward()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            pass
        return result

    return call


def _answer(job: dict[str, Any], emit: workers.Emit) -> None:
    """job: threads, calls [[layers, seconds to burn]], seed, deadline, superblocks, gate_seconds."""
    torch.set_num_threads(job["threads"])
    device = device_for("cpu")
    backend = device.freeze()
    calls: dict[int, Callable[[], Any]] = {}
    for index, (layers, burn) in enumerate(job["calls"]):
        calls[index] = burning(stack(layers), burn) if burn else stack(layers)
    for call in calls.values():
        call()
    device.warm_up(list(calls.values()))
    emit({"event": "ready", "backend": backend})
    order = Order(job["seed"], job["deadline"], job["superblocks"], gate_seconds=job["gate_seconds"])
    timing.measure(calls, emit, order, device)


if __name__ == "__main__":
    workers.serve(_answer)
