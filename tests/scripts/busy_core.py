"""``python -m tests.scripts.busy_core --out DIR``: a run beside a foreign process that keeps one core busy.

Says whether the run told it before anything was measured and in its page's first line, recommended nothing, drew no row
without an interval as a finding, and ended within its budget and a fifth. Exit code 1 where one of these is not so.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from bench.analysis.run import load
from bench.report.answers import panel_costs, standing_of
from bench.report.numbers import known
from bench.spec.schema import parse_duration

ROOT = Path(__file__).resolve().parent.parent.parent
MOST, REPORT = 1.2, 60.0  # times the budget; seconds for conformance and the report, which no budget holds
BUSY = """
import os, sys, time
os.sched_setaffinity(0, {0})
end = time.time() + float(sys.argv[1])
while time.time() < end:
    pass
"""


def main() -> int:
    """Run, look, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budget", default="4m")
    asked = parser.parse_args()
    budget = parse_duration(asked.budget)
    command = ["run", "--only", "latency", "--strategies", "copy_shift,buffer_shift", "--allocators", "retained"]
    command += ["--budget", asked.budget, "--out", str(asked.out)]
    busy = subprocess.Popen([sys.executable, "-c", BUSY, str(3 * budget)])
    start = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "run_bench.py", *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
    finally:
        busy.kill()
    seconds = time.monotonic() - start
    told = [line for line in done.stderr.replace("\r", "\n").splitlines() if line.strip()]
    disturbed = next((n for n, line in enumerate(told) if "disturbed" in line), len(told))
    measured = next((n for n, line in enumerate(told) if "latency" in line and "%" in line), len(told))
    run = load(ROOT / asked.out)
    standing = standing_of(run)
    timed = run.latency[run.latency["status"] == "ok"]
    bare = [
        one for cost in panel_costs(run) for one in cost.mechanisms if not any(map(known, filter(None, one.overheads)))
    ]
    found = [one.strategy for one in bare if one.verdict not in ("no interval", "open")]
    met = {
        f"said in line {disturbed + 1}, before the first that measures ({measured + 1})": disturbed < measured,
        f"first of the page: {standing.state}, {standing.reason}": standing.state == "busy",
        "nothing is recommended": not standing.recommends,
        f"{len(timed)} rows; {len(bare)} mechanisms without an interval, a finding told of {len(found)}": not found,
        f"{seconds:.0f} s, of a budget of {budget:.0f} s": seconds <= MOST * budget + REPORT,
    }
    for text, good in met.items():
        print(f"{'ok  ' if good else 'NOT '} {text}")
    print(done.stdout)
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
