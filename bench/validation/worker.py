"""One process of the validation: stacks of known depth in the timed loop of real runs.

A stack of 220 layers costs 10 % more than one of 200 only where every layer takes the same time. So all layers of all
stacks of a process are the same multiplication with the same weights, and write in turn into the same two buffers:
nothing is allocated, and all stays in the cache whatever the depth. The weights are orthogonal, so values neither
vanish nor explode, and no layer runs slower on denormal numbers.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from bench.system import workers

_ROWS, _COLUMNS = 256, 128  # one layer takes about 50 µs on two cores: 200 of them about as long as a small network
_SEED = 20


@cache
def _shared() -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """What all stacks of this process share: input [R, C], weights [C, C], two buffers [R, C]."""
    generator = torch.Generator().manual_seed(_SEED)
    weights, _ = torch.linalg.qr(torch.randn(_COLUMNS, _COLUMNS, generator=generator))
    features = torch.randn(_ROWS, _COLUMNS, generator=generator)
    return features, weights.contiguous(), (torch.empty_like(features), torch.empty_like(features))


def stack(layers: int) -> Callable[[], Tensor]:
    """A forward through ``layers`` identical layers, at least one. The next stack overwrites its result [R, C]."""
    features, weights, buffers = _shared()

    def forward() -> Tensor:
        with torch.inference_mode():
            current = features
            for layer in range(layers):
                current = torch.mm(current, weights, out=buffers[layer % 2])
            return current

    return forward


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
    """job: threads, calls [[layers, seconds to burn]], seed, deadline, superblocks, gate_seconds.

    Events: ``ready`` (all calls are built and warm), then those of ``timing.measure``.
    """
    from bench.measure.latency import timing  # not above: other harnesses time a stack, and would wait for this import
    from bench.measure.latency.devices import device_for

    torch.set_num_threads(job["threads"])
    device = device_for("cpu")
    backend = device.freeze()
    built = [burning(stack(layers), burn) if burn else stack(layers) for layers, burn in job["calls"]]
    for call in built:
        call()
    device.warm_up(built)
    emit({"event": "ready", "backend": backend})
    order = timing.Order(job["seed"], job["deadline"], job["superblocks"], gate_seconds=job["gate_seconds"])
    timing.measure(dict(enumerate(built)), emit, order, device)


if __name__ == "__main__":
    workers.serve(_answer)
