"""``python tests/scripts/large_run.py FOLDER [RECORDS]``: how the suite bears a sweep of 100,000 records.

Multiplies the published runs of one machine, latency and accuracy, into one folder of so many records, then times what
a user waits for: the report (seconds, peak memory), and the decision what a resumed run has left to do.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from bench.spec.panel import Panel  # noqa: E402
from bench.store.journal import Run, read_records, seal  # noqa: E402
from bench.store.migrations import SCHEMA  # noqa: E402
from bench.store.records import ProcessRecord, Record, TimedRecord, TrainedRecord  # noqa: E402

REFERENCE = ROOT / "results" / "reference"
LATENCY, ACCURACY = REFERENCE / "amd-zen4-2-cores-mechanisms", REFERENCE / "amd-zen5-2-cores-accuracy"
TRAININGS = 3  # times as many as the paper's preset has


def multiplied(wanted: int) -> Iterator[Record]:
    """The records of both runs, then again and again with other processes and seeds."""
    processes: dict[tuple[Panel, int], list[Record]] = {}
    for record in read_records(LATENCY):
        if isinstance(record, TimedRecord | ProcessRecord) and record.replicate is not None:
            panel = record.panel if isinstance(record, ProcessRecord) else record.case.panel
            processes.setdefault((panel, record.replicate), []).append(record)
        else:
            yield record
            wanted -= 1
    trained = [record for record in read_records(ACCURACY) if isinstance(record, TrainedRecord)]
    for record in [again(record, 10_000 * n) for n in range(TRAININGS) for record in trained]:
        yield record
        wanted -= 1
    highest = 1 + max(number for _, number in processes)
    for turn in count():
        for (_, number), records in processes.items():
            if wanted <= 0:
                return
            for record in records:
                fresh = number + turn * highest
                name = record.id.rsplit("/r", 1)[0]
                yield record.model_copy(update={"replicate": fresh, "id": f"{name}/r{fresh}"})
                wanted -= 1


def again(record: TrainedRecord, more: int) -> TrainedRecord:
    """A training with another seed."""
    trial = replace(record.trial, seed=record.trial.seed + more)
    return record.model_copy(update={"trial": trial, "id": trial.key})


def main(folder: Path, wanted: int) -> None:
    folder.mkdir(parents=True)
    header = json.loads((LATENCY / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(header | {"schema_version": SCHEMA}))
    with (folder / "records.jsonl").open("wb") as journal:
        written = sum(journal.write(seal(record)) > 0 for record in multiplied(wanted))
    size = (folder / "records.jsonl").stat().st_size / 2**20
    print(f"{written} records, {size:.0f} MiB")
    start = time.monotonic()
    with Run(folder) as run:
        print(f"what is left is known after {time.monotonic() - start:.1f} s ({len(run.ids)} ids)")
    start = time.monotonic()
    subprocess.run([sys.executable, str(ROOT / "run_bench.py"), "report", str(folder)], check=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"report: {time.monotonic() - start:.1f} s, {used:.2f} GiB at the most")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 100_000)
