"""Runs jobs of the obedient worker on the Ray cluster given as argument and prints how each ended, as JSON lines."""

import json
import sys
from functools import partial

from bench.measure.executors import Job as AnyJob
from bench.measure.executors import RayExecutor

Job = partial(AnyJob, module="tests.measure.obedient_worker")

JOBS = [
    Job("second", {"do": "work", "answer": 2}, needs="first"),
    Job("first", {"do": "work", "answer": 1}),
    Job("broken", {"do": "raise"}),
    Job("hopeless", {"do": "work", "answer": 3}, needs="broken"),
    Job("skipped", {"do": "skip"}),
    Job("killer", {"do": "die"}, culprit="evil"),
]

if __name__ == "__main__":
    for outcome in RayExecutor(sys.argv[1]).run(JOBS, lambda *_: None):
        print(json.dumps([outcome.job.key, outcome.status, outcome.samples, outcome.reason, outcome.fatal]), flush=True)
