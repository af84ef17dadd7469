"""``python -m tests.scripts.judge_again [--write]``: which published verdicts change where they are judged again?

Each run in ``results/reference`` has the verdicts that were published (``tables/claims.csv``) and the records that they
came from. ``--write`` puts what changed into docs/claims.md. Once runs are published anew nothing is left to compare.
"""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from bench.analysis.claims import Verdict
from bench.analysis.run import load

ROOT = Path(__file__).resolve().parent.parent.parent
RUNS = ROOT / "results" / "reference"
PAGE = ROOT / "docs" / "claims.md"
MARK = "<!-- written by tests/scripts/judge_again.py -->"
NEW = "not judged"

Pair = tuple[str, str, Verdict]  # run, the published verdict, the verdict now


def judged_again() -> Iterator[Pair]:
    """Everything that was judged then or is judged now."""
    for path in sorted(RUNS.glob("*/tables/claims.csv")):
        published = pd.read_csv(path, index_col="id")["verdict"].to_dict()
        for verdict in load(path.parent.parent).claims:
            before = published.get(verdict.id, NEW)
            if {before, verdict.verdict} - {NEW, "not measured"}:
                yield path.parent.parent.name, before, verdict


def table(pairs: Sequence[Pair]) -> list[str]:
    """Markdown: what changed, and what is new."""
    lines = ["| run | finding | published | now | after Holm | measured |", "|---|---|---|---|---|---|"]
    for run, before, now in pairs:
        if before != now.verdict:
            values = "" if now.measured is None else f"{now.measured:.1f}"
            if now.ci_low is not None and now.ci_high is not None:
                values += f" [{now.ci_low:.1f}, {now.ci_high:.1f}] {now.unit}"
            lines.append(f"| {run} | {now.id} | {before} | {now.verdict} | {now.verdict_holm} | {values} |")
    return lines


def main(arguments: list[str]) -> None:
    """Print the table, or write it into the page."""
    pairs = list(judged_again())
    ways = Counter(f"{before} -> {now.verdict}" for _, before, now in pairs)
    lines = table(pairs)
    if arguments == ["--write"]:
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARK)
        _, _, after = rest.partition(MARK)
        PAGE.write_text("".join((before, MARK, "\n\n", "\n".join(lines), "\n\n", MARK, after)), encoding="utf-8")
    else:
        print("\n".join(lines))
    for way, count in ways.most_common():
        print(f"{count:4d}  {way}")


if __name__ == "__main__":
    main(sys.argv[1:])
