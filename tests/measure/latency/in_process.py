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
    """What stands in for ``bench.system.workers.stream``; what the worker changes for its process is put back."""
    events: list[workers.Event] = []
    threads, autotuning = torch.get_num_threads(), torch.backends.cudnn.benchmark
    try:
        answer(json.loads(json.dumps(job)), events.append, device_for)
    finally:
        torch.set_num_threads(threads)
        torch.backends.cudnn.benchmark = autotuning
    yield from json.loads(json.dumps(events))
