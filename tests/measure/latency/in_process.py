"""The real latency worker without a process of its own."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import torch

from bench.measure.latency.devices import Device, device_for
from bench.measure.latency.worker import answer
from bench.system import workers


def stream(
    job: workers.Event, device_for: Callable[[str], Device] = device_for, **limits: Any
) -> Iterator[workers.Event]:
    """What stands in for ``bench.system.workers.stream``; what the worker changes for its process is put back, and what
    would end its process ends its events."""
    events: list[workers.Event] = []
    threads, autotuning = torch.get_num_threads(), torch.backends.cudnn.benchmark
    precision, death = torch.get_float32_matmul_precision(), None
    try:
        answer(json.loads(json.dumps(job)), events.append, device_for)
    except Exception as error:
        death = workers.WorkerDied(f"exited with code 1 before it was done: {workers.one_line(error)}", fatal=False)
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = autotuning
        torch.set_float32_matmul_precision(precision)
    yield from json.loads(json.dumps(events))
    if death is not None:
        raise death
