"""``python -m tests.scripts.checkpoints EVALUATION... --out FOLDER``: what runtimes and dtypes do to accuracy.

Each EVALUATION is the folder that ``evaluate`` has left for one checkpoint; all are of one arm and saw the same cases.
FOLDER gets ``tables/evaluations.csv``, their rows one after the other, and ``tables/checkpoints.csv``: each case less
the first one, eager fp32, with Student's interval over checkpoints.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from bench.analysis.tables import interval_columns
from bench.stats.estimators import Seeds

_CASE = ["strategy", "placement", "fraction", "runtime", "dtype"]


def over_checkpoints(evaluations: pd.DataFrame) -> pd.DataFrame:
    """A row per case. evaluations: the rows of all, with the number of their checkpoint. delta: top-1 in pp over the
    first case of the same checkpoint; unlike_eager: clips in another class than the strategy gives in eager fp32."""
    rows = []
    for case, own in evaluations[evaluations["status"] == "ok"].groupby(_CASE, sort=False):
        deltas = Seeds(dict(zip(own["checkpoint"], own["delta_pct"].fillna(0.0), strict=True)))
        row = dict(zip(_CASE, case, strict=True)) | {"checkpoints": len(own), "clips": int(own["clips"].iloc[0])}
        row |= {"top1_pct": own["top1_pct"].mean(), **interval_columns("delta_pct", "delta", deltas.interval())}
        rows.append(row | {"unlike_eager": own["unlike_eager"].mean(), "deviation": own["deviation"].max()})
    return pd.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("evaluations", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args(arguments)
    read = [pd.read_csv(folder / "evaluation" / "accuracy.csv") for folder in asked.evaluations]
    rows = pd.concat([one.assign(checkpoint=number) for number, one in enumerate(read)], ignore_index=True)
    (asked.out / "tables").mkdir(parents=True, exist_ok=True)
    rows.to_csv(asked.out / "tables" / "evaluations.csv", index=False)
    over_checkpoints(rows).to_csv(asked.out / "tables" / "checkpoints.csv", index=False)


if __name__ == "__main__":
    main()
