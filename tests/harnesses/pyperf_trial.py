"""pyperf as its documentation shows it: one Runner, three ``bench_func``, each in worker processes of its own.

Run by ``tools.pyperf`` with pyperf's own options (processes, values, loops). Only workers import torch and build a
stack: the manager needs neither, and its start-up would be taken from the time for measuring.
"""

import pyperf

from tests.harnesses.cases import LAYERS, THREADS

if __name__ == "__main__":
    runner = pyperf.Runner()
    worker = runner.parse_args().worker
    if worker:
        import torch

        from bench.validation.worker import stack

        torch.set_num_threads(THREADS)
    for case, layers in LAYERS.items():
        runner.bench_func(case, stack(layers) if worker else None)
