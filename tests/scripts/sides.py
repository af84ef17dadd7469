"""``python -m tests.scripts.sides RUN --data clips.csv``: real video, by side of the split and by subject.

docs/utd_mhad.md says why: seeds of one parity share their training and test clips. For each question, no shift,
residual and in-place with 1/4 of the channels are held against each other on all test clips, on those of either side,
and on those of each subject. Writes ``sides.csv`` into RUN: differences in pp, paired by seed, with Student's interval
over seeds. CSV: columns file and subject.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.analysis.arms import Arm, arms
from bench.analysis.tables import interval_columns
from bench.stats.estimators import CONFIDENCE, Interval, Seeds
from bench.store.journal import read_whole_records
from bench.store.samples import unpack

NAMES = {"no_shift-residual-0": "no shift", "copy_shift-residual-1/4": "residual", "copy_shift-inplace-1/4": "in-place"}
COMPARED = (("residual", "no shift"), ("in-place", "no shift"), ("residual", "in-place"))


def compared(
    first: Arm, second: Arm, subject_of: Mapping[str, str], without: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """A row for each part of the test clips: all, without some subjects, a side, both weighing alike, a subject."""
    rows = []
    for seed in first.videos.keys() & second.videos.keys():
        own, other = first.videos[seed], second.videos[seed]
        assert own.videos == other.videos, "one seed tests all arms on the same clips"
        right = [unpack(one.correct, len(one.videos)).astype(float) for one in (own, other)]
        rows += [
            (seed, subject_of[name], delta) for name, delta in zip(own.videos, 100 * (right[0] - right[1]), strict=True)
        ]
    clips = pd.DataFrame(rows, columns=["seed", "subject", "delta"])

    def over_seeds(some: pd.DataFrame) -> Seeds:
        return Seeds({int(str(seed)): float(own.mean()) for seed, own in some.groupby("seed")["delta"]})

    sides = [over_seeds(clips[clips["seed"] % 2 == parity]) for parity in (0, 1)]
    parts = {
        "all": over_seeds(clips),
        f"without {' and '.join(without)}": over_seeds(clips[~clips["subject"].isin(without)]),
    }
    parts |= {"even seeds": sides[0], "odd seeds": sides[1]}
    parts |= {f"subject {subject}": over_seeds(own) for subject, own in clips.groupby("subject")}
    for part, seeds in parts.items():
        yield {"part": part, "seeds": len(seeds), **interval_columns("delta_pct", "delta", seeds.interval())}
    yield {
        "part": "both sides alike",
        "seeds": len(parts["all"]),
        **interval_columns("delta_pct", "delta", _alike(sides)),
    }


def _alike(sides: Sequence[Seeds]) -> Interval:
    """The mean of two means, with what varies from seed to seed on each side; no bounds for a side of one seed."""
    values = [np.array(side.values) for side in sides]
    middle = float(np.mean([own.mean() for own in values]))
    if min(map(len, values)) < 2:
        return Interval(middle, np.nan, np.nan, sum(map(len, values)))
    error = 0.5 * float(np.sqrt(sum(own.var(ddof=1) / len(own) for own in values)))
    reach = error * float(stats.t.ppf((1 + CONFIDENCE) / 2, sum(len(own) - 1 for own in values)))
    return Interval(middle, middle - reach, middle + reach, sum(map(len, values)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--without", default="7,8")
    asked = parser.parse_args(arguments)
    listed = pd.read_csv(asked.data, dtype=str)
    subject_of = dict(zip(listed["file"], listed["subject"], strict=True))
    found: dict[str, dict[str, Arm]] = {}
    for arm in arms(read_whole_records(asked.run)[0], "video"):
        name = NAMES.get(arm.variant.label.removesuffix("-bidirectional"))
        if name and arm.condition.lr_factor == 1:
            found.setdefault(arm.condition.dataset, {})[name] = arm
    rows = [
        {"question": question, "comparison": f"{first} minus {second}", **row}
        for question, own in found.items()
        for first, second in COMPARED
        if {first, second} <= own.keys()
        for row in compared(own[first], own[second], subject_of, asked.without.split(","))
    ]
    pd.DataFrame(rows).to_csv(asked.run / "sides.csv", index=False)


if __name__ == "__main__":
    main()
