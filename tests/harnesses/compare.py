"""Four tools estimate the same two known effects in the same time, in random order. See README.md here.

    uv run --group harnesses python tests/harnesses/compare.py --out DIR

Appends each trial to DIR/raw.jsonl as soon as it is done; ``--resume`` goes on after the last one. Ends with the page.
"""

import argparse
import json
import os
import random
import shlex
import signal
import statistics
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.system.counters import Disturbance
from bench.system.environment import describe_machine, machine_id, usable_cores
from tests.harnesses import page, tools
from tests.harnesses.cases import FULL, HALF, THREADS

SECONDS, ROUNDS = 60.0, 12
SEED = 1811
FIXED_SECONDS = 120.0  # for the truth, before all trials; its error then is a hundredth of a point
FIXED_PROCESSES = 4

Row = dict[str, Any]


class Raw:
    """DIR/raw.jsonl: append-only, a line is on the disk before the next trial starts. A torn last line is cut off."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: list[Row] = []
        if path.exists():
            whole = path.read_bytes()
            whole = whole[: whole.rfind(b"\n") + 1]
            os.truncate(path, len(whole))
            self.rows = [json.loads(line) for line in whole.splitlines()]

    def append(self, row: Row) -> None:
        """Write, flush, sync."""
        with self._path.open("a") as file:
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
            file.flush()
            os.fsync(file.fileno())
        self.rows.append(row)

    def first(self, kind: str) -> Row | None:
        """The first row of this kind."""
        return next((row for row in self.rows if row["kind"] == kind), None)

    def trials(self) -> list[Row]:
        """Every finished trial."""
        return [row for row in self.rows if row["kind"] == "trial"]


def order(seed: int, rounds: int) -> list[tuple[int, str]]:
    """(round, tool): every round holds each tool once, in an order of its own, so that no tool gets the quiet hours."""
    rng = random.Random(seed)
    return [(number, tool) for number in range(rounds) for tool in rng.sample(tools.TOOLS, len(tools.TOOLS))]


def measure_all(raw: Raw, seconds: float, rounds: int, seed: int, fixed_seconds: float) -> None:
    """Whatever is not in ``raw`` yet: the truth, how long pyperf takes to start, the trials."""
    if raw.first("fixed") is None:
        say(f"the truth: stacks of {HALF} and {FULL} layers, {fixed_seconds:.0f} s")
        blocks = tools.shiftbench(
            fixed_seconds, seed, tools.processes_of_ours(fixed_seconds, FIXED_PROCESSES), [HALF, FULL]
        )
        raw.append({"kind": "fixed", "processes": blocks})
    fixed = raw.first("fixed") or {}
    slot = statistics.median(t for blocks in fixed["processes"] for block in blocks for t in block["seconds"][1])
    if raw.first("start") is None:
        say("how long a process of pyperf takes to start")
        plan = tools.PyperfPlan(processes=1, values=1, loops=1)
        start = time.monotonic()
        measured = tools.pyperf(plan)
        raw.append({"kind": "start", "seconds": tools.pyperf_start_up(time.monotonic() - start, plan, measured)})
    done = {(row["round"], row["tool"]) for row in raw.trials()}
    for place, (number, tool) in enumerate(order(seed, rounds)):
        if (number, tool) not in done:
            row = trial(raw, tool, seconds, seed * 1000 + number * 10, slot)
            raw.append({"kind": "trial", "round": number, "place": place, "tool": tool, **row})
            say(f"round {number + 1} of {rounds}: {tool} took {row['wall']:.1f} s")


def trial(raw: Raw, tool: str, seconds: float, seed: int, slot: float) -> Row:
    """One trial: its samples, the wall time that it really took, and what the machine did meanwhile."""
    extra: Row = {}
    before, start = Disturbance.now(), time.monotonic()
    if tool in (tools.TORCH, tools.TURNS):
        samples: Any = tools.torch(seconds, in_turns=tool == tools.TURNS)
    elif tool == tools.PYPERF:
        plan = tools.plan_pyperf(seconds, start_up_so_far(raw), slot)
        samples = tools.pyperf(plan)
        extra = {"plan": vars(plan), "start": tools.pyperf_start_up(time.monotonic() - start, plan, samples)}
    else:
        samples = tools.shiftbench(seconds, seed, tools.processes_of_ours(seconds))
    wall = time.monotonic() - start
    spent = Disturbance.now().since(before)
    return {"wall": wall, "steal": spent["steal"], "load": spent["load"], **extra, "samples": samples}


def start_up_so_far(raw: Raw) -> float:
    """Seconds that pyperf's processes take to start: the median of what was seen, so that a trial fills its time."""
    seen = [row["start"] for row in raw.trials() if "start" in row]
    return statistics.median(seen) if seen else float((raw.first("start") or {})["seconds"])


def say(text: str) -> None:
    """A line for whoever watches."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Exit 0: done. 2: a user's mistake."""
    parser = argparse.ArgumentParser(description="Four harnesses on two known effects.")
    parser.add_argument("--out", type=Path, required=True, help="folder for raw.jsonl and the page")
    parser.add_argument("--resume", action="store_true", help="go on with the trials that --out lacks, as asked before")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="wall time of a trial")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="trials of each tool")
    parser.add_argument("--seed", type=int, default=SEED, help="of the order of tools and of superblocks")
    parser.add_argument("--fixed-seconds", type=float, default=FIXED_SECONDS, help="for the truth")
    asked = parser.parse_args(arguments)
    try:
        pyperf_version = version("pyperf")
    except PackageNotFoundError:
        return mistake("pyperf is not installed: uv run --group harnesses python tests/harnesses/compare.py ...")
    if usable_cores() < THREADS:
        return mistake(f"the trials use {THREADS} threads, and this machine has {usable_cores()} usable core")
    path = asked.out / "raw.jsonl"
    if path.exists() and not asked.resume:
        return mistake(f"{path} exists: --resume goes on with it, or take another folder")
    if asked.resume and not path.exists():
        return mistake(f"there is nothing to resume: {path} does not exist")
    asked.out.mkdir(parents=True, exist_ok=True)
    raw = Raw(path)
    header = raw.first("header")
    if header is None:
        machine = describe_machine()
        machine["versions"]["pyperf"] = pyperf_version
        settings = {"seconds": asked.seconds, "rounds": asked.rounds, "seed": asked.seed, "fixed": asked.fixed_seconds}
        command = shlex.join(["tests/harnesses/compare.py", *(arguments or sys.argv[1:])])
        header = {"kind": "header", "machine": machine, "id": machine_id(), **settings, "command": command}
        raw.append(header)
    if header["id"] != machine_id():
        return mistake(f"{path} was begun on another machine: {header['id']}")
    measure_all(raw, header["seconds"], header["rounds"], header["seed"], header["fixed"])
    page.write(asked.out)
    say(f"the page: {asked.out / 'README.md'}")
    return 0


def mistake(text: str) -> int:
    """A user's mistake is one line."""
    print(text, file=sys.stderr)
    return 2


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended too
    raise SystemExit(main())
