"""Measure a pair of networks on this machine: one without a temporal shift, one with it.

    python measure.py [--threads N] [--processes 8] [--superblocks 10]

Needs Python 3.9, onnxruntime and numpy, and the files beside it. It leaves the folder ``results``: bring it home, where
``shiftbench report results`` makes tables and a page of it. Each process is a fresh one; in it every network is timed
twice in each superblock, in a random order and its mirror image, so that a steady drift cancels.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import time
import zlib
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
WARM_UPS = 2


class Network:
    """A file in a session of its own. Of a network frame by frame there are two sets of caches: while one is read the
    other is written, then they change places, and nothing is copied."""

    def __init__(self, file: Path, threads: int) -> None:
        import numpy
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        options.add_session_config_entry("session.force_spinning_stop", "1")  # networks take turns
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.frames, *before = self.session.get_inputs()
        self.logits = numpy.zeros(self.session.get_outputs()[0].shape, numpy.float32)
        sets = [[numpy.zeros(one.shape, numpy.float32) for one in before] for _ in range(2)]
        self.held = sets
        self.turns = [self.bound(*sets), self.bound(*sets[::-1])]

    def bound(self, read: Any, written: Any) -> Any:
        """A binding to the memory of the caches."""
        binding = self.session.io_binding()
        for one, array in zip(self.session.get_inputs()[1:], read):  # noqa: B905
            binding.bind_input(one.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        for one, array in zip(self.session.get_outputs(), [self.logits, *written]):  # noqa: B905
            binding.bind_output(one.name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        return binding

    def __call__(self, frames: Any) -> float:
        """Run once; the seconds that it took."""
        start = time.perf_counter_ns()
        self.turns[0].bind_input(self.frames.name, "cpu", 0, frames.dtype.type, frames.shape, frames.ctypes.data)
        self.session.run_with_iobinding(self.turns[0])
        self.turns.reverse()
        return (time.perf_counter_ns() - start) * 1e-9


def replicate(kit: Any, number: int, threads: int, superblocks: int) -> None:
    """One process: its records, a line each, to standard output."""
    import numpy
    import onnxruntime

    began, started = time.monotonic(), now()
    rng, panel = random.Random(number), kit["panel"]
    order = list(range(len(kit["cases"])))
    built = rng.sample(order, len(order))
    networks = {index: Network(HERE / kit["cases"][index]["file"], threads) for index in built}
    count = panel["frames"] if panel["streams"] else 1  # calls in a slot
    shape = tuple(networks[0].frames.shape)
    calls = [numpy.random.default_rng(call).standard_normal(shape, numpy.float32) for call in range(count)]
    for network in networks.values():
        for _ in range(WARM_UPS):
            network(calls[0])
        if not numpy.isfinite(network.logits).all():
            sys.exit("the output is not finite")
    startup, walls = time.monotonic() - began, []
    slots: dict[int, dict[str, list[Any]]] = {
        index: {"superblock": [], "position": [], "seconds": [], "frame_seconds": []} for index in order
    }
    for superblock in range(superblocks):
        before = time.monotonic()
        forth = rng.sample(order, len(order))
        for position, index in enumerate(forth + forth[::-1]):
            seconds = [networks[index](frames) for frames in calls]
            own = slots[index]
            own["superblock"].append(superblock)
            own["position"].append(position)
            own["seconds"].append(sum(seconds))
            if panel["streams"]:
                own["frame_seconds"].append(seconds)
        walls.append(time.monotonic() - before)
    for index, case in enumerate(kit["cases"]):
        put(
            kit, f"{case['key']}/r{number}", "timed", started, case=case["case"], replicate=number, samples=slots[index]
        )
    own_process = {
        **{"wall": walls, "waited": [0.0] * superblocks, "disturbance": [{}] * superblocks},
        **{"sensors": [{}] * superblocks, "copies": {}, "page_seconds": [], "startup_seconds": startup},
        **{"warm_up_seconds": 0.0, "backend": {"threads": threads, "onnxruntime": onnxruntime.__version__}},
        **{"min_replicates": 5},
    }
    name = f"process/{kit['label']}/r{number}"
    put(kit, name, "process", started, panel=panel, replicate=number, samples=own_process, wall_seconds=sum(walls))


def put(kit: Any, name: str, kind: str, started: str, **more: Any) -> None:
    """A record as a line that ends with its checksum."""
    record = {"schema_version": kit["schema_version"], "id": name, "kind": kind, "started": started, **more}
    body = json.dumps(record, separators=(",", ":")).encode()
    sys.stdout.buffer.write(body[:-1] + b',"check":"%08x"}\n' % zlib.crc32(body))


def now() -> str:
    """The moment, in UTC."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")  # noqa: UP017


def usable_cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """Its name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Hardware", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """All processes, one after the other; then the run's header."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--threads", type=int, default=usable_cores())
    asked.add_argument("--processes", type=int, default=8)
    asked.add_argument("--superblocks", type=int, default=10)
    asked.add_argument("--replicate", type=int, help=argparse.SUPPRESS)
    options = asked.parse_args()
    text = (HERE / "kit.json").read_text()
    kit = json.loads(text)
    made_for, threads = f"-{kit['panel']['threads']}t", options.threads
    for one in (kit["panel"], *(own["case"] for own in kit["cases"])):
        one["threads"] = threads
    kit["label"] = kit["label"].replace(made_for, f"-{threads}t")
    for own in kit["cases"]:
        own["key"] = own["key"].replace(made_for, f"-{threads}t")
    if options.replicate is not None:
        replicate(kit, options.replicate, threads, options.superblocks)
        return
    import onnxruntime

    results, created, began = HERE / "results", now(), time.monotonic()
    if (results / "run.json").exists():
        sys.exit(f"{results} is there already: take it away first")
    results.mkdir(exist_ok=True)
    with (results / "records.jsonl").open("wb") as records:
        for number in range(options.processes):
            how = ["--replicate", str(number), "--threads", str(threads), "--superblocks", str(options.superblocks)]
            done = subprocess.run([sys.executable, __file__, *how], stdout=subprocess.PIPE, check=True)
            records.write(done.stdout)
            print(f"process {number + 1} of {options.processes}", flush=True)
    cpu, cores = processor(), os.cpu_count()
    header = {
        **{"schema_version": kit["schema_version"], "title": f"A kit on {cpu}", "preset": "kit"},
        **{"command": "python measure.py", "created": created, "status": "finished", "seed": 0, "settings": {}},
        **{"chosen": {}, "strategies": kit["strategies"], "sweep": {"trainings": {}}, "disturbance": None},
        **{"machine_id": f"{cpu}, {cores} cores ({platform.node()})", "wall_seconds": {}, "sections_done": []},
        "environment": {
            **{"cpu": cpu, "cores": cores, "os": platform.platform(), "python": platform.python_version()},
            "versions": {"shiftbench": kit["version"], "onnxruntime": onnxruntime.__version__},
        },
    }
    (results / "run.json").write_text(json.dumps(header, indent=2) + "\n")
    print(f"{time.monotonic() - began:.0f} s; bring {results} home: shiftbench report {results.name}")


if __name__ == "__main__":
    main()
