"""The real latency worker on a machine whose GPU is simulated. The environment says how the GPU behaves."""

import functools
import json
import os

from bench.measure.latency import devices
from bench.measure.latency.worker import answer
from bench.system import workers
from tests.measure.latency.simulated_gpu import SimulatedGpu

BEHAVIOUR = "SHIFTBENCH_SIMULATED_GPU"
"""Environment variable: the arguments of ``SimulatedGpu`` as JSON."""


def device_for(name: str) -> devices.Device:
    if name != "cuda":
        return devices.device_for(name)
    return SimulatedGpu(**json.loads(os.environ.get(BEHAVIOUR, "{}")))


if __name__ == "__main__":
    workers.serve(functools.partial(answer, device_for=device_for))
