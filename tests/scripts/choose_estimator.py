"""``python -m tests.scripts.choose_estimator [--write]``: which interval over processes holds what it promises?

The values of a case in the processes of a published run are centred; what is left is how processes really differ.
n of these residuals are drawn with replacement, 2,000 times, and each candidate's 95 % interval either holds its own
target (what it estimates of the whole population) or does not. Residuals of a panel's cases are drawn from together.

The rule, written down before it was run the first time:

1. A candidate qualifies where its coverage lies within 92 to 98 % in every published run, at n = 5, 7, 16 and 32.
2. Of those that qualify, the one whose intervals are narrowest: the mean over runs of the ratio of its median width to
   Student's t, at n = 7 and 16.
3. Where none qualifies, the one whose worst coverage is nearest to 95 %.

After the first run the rule was changed twice, because no candidate qualified: at n = 5 the 20 % trimmed mean has three
values left, so a candidate was added that trims from seven values on; and one share in 2,000 draws is uncertain by 0.3
points, so a run may lie outside of 92 to 98 % by twice that. A run's coverage is the mean over its panels. What the
chosen candidate estimates changes at seven values, from the mean to the trimmed mean, and it is held against that; so
does that of the 10 % trimmed mean at ten.

A panel is not measured with a number of processes fixed before: after each one the campaign looks whether the intervals
are narrow enough. ``stopping`` follows that rule on the same residuals.

``--write`` puts the coverage of what was chosen, of what stood before it, and of stopping, into docs/statistics.md.
"""

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from bench.analysis.overheads import overheads
from bench.spec.cases import BASELINE_VARIANT
from bench.stats.estimators import TRIM, TRIMMED_FROM, Floats, trimmed
from bench.store.journal import read_records

ROOT = Path(__file__).resolve().parent.parent.parent
RUNS = ROOT / "results" / "reference"
PAGE = ROOT / "docs" / "statistics.md"
COUNTS = (5, 7, 16, 32)
RESAMPLES = 2000
BOOTSTRAPS = 499
MONTE_CARLO_ERROR = 0.6  # points, of a share near 98 % in 2,000 draws
MARK = "<!-- written by tests/scripts/choose_estimator.py -->"
MARK_STOPPING = "<!-- stopping, by tests/scripts/choose_estimator.py -->"
LEAST = 5  # processes of a case whose residuals count
CONFIDENCE = 0.95

Bounds = tuple[Floats, Floats]


def yuen(drawn: Floats, trim: float = TRIM, fewest: int = 0) -> Bounds:
    """Trimmed mean and Yuen's interval; with nothing trimmed mean and Student's. drawn [resamples, n]."""
    middle, error, freedom = trimmed(drawn, trim, fewest)
    reach = _t(freedom) * error
    return middle - reach, middle + reach


def bootstrap_t(drawn: Floats) -> Bounds:
    """Trimmed mean, with the symmetric bootstrap-t interval around it (Wilcox, 2017, section 4.4)."""
    rng = np.random.default_rng(1)
    middle, error, _ = trimmed(drawn, TRIM, 0)
    quantiles = np.empty(len(drawn))
    for row, values in enumerate(drawn - middle[:, None]):
        again = values[rng.integers(0, len(values), (BOOTSTRAPS, len(values)))]
        centre, spread, _ = trimmed(again, TRIM, 0)
        ratios = np.abs(centre[spread > 0] / spread[spread > 0])
        quantiles[row] = np.quantile(ratios, CONFIDENCE) if len(ratios) else math.inf
    reach = quantiles * error
    return middle - reach, middle + reach


def hodges_lehmann(drawn: Floats) -> Bounds:
    """The interval of Wilcoxon's signed ranks, at the level next above 95 % where there is one (n > 5)."""
    count = drawn.shape[1]
    first, second = np.triu_indices(count)
    pairs = np.sort((drawn[:, first] + drawn[:, second]) / 2, axis=1)
    left_out = _signed_rank_quantile(count)
    return pairs[:, left_out], pairs[:, -1 - left_out]


OLD, CHOSEN = "mean, Student's t", f"20 % trimmed mean from n = {TRIMMED_FROM}, Yuen"

CANDIDATES: dict[str, tuple[Callable[[Floats], Bounds], Callable[[Floats, int], float]]] = {
    OLD: (lambda drawn: yuen(drawn, 0.0), lambda values, _: float(values.mean())),
    "20 % trimmed mean, Yuen": (yuen, lambda values, _: _trimmed_mean(values, 0.2)),
    "10 % trimmed mean, Yuen": (
        lambda drawn: yuen(drawn, 0.1),
        lambda values, n: _trimmed_mean(values, 0.1 * (n >= 10)),
    ),
    "20 % trimmed mean, bootstrap-t": (bootstrap_t, lambda values, _: _trimmed_mean(values, 0.2)),
    CHOSEN: (lambda drawn: yuen(drawn, fewest=TRIMMED_FROM), lambda values, n: _chosen(values, n)),
    "Hodges–Lehmann, signed ranks": (hodges_lehmann, lambda values, _: _pseudo_median(values)),
}
"""{name: (interval, what it estimates of a population with n values of it)}."""

STOPPING = {"from 5, one look": (5, 1), "from 7, one look": (7, 1), "from 7, two looks in a row": (7, 2)}
"""{rule: (the fewest processes, how many looks in a row must find the interval narrow enough)}."""
TARGETS, MOST = (0.3, 0.5, 1.0), 40  # pp of half-width, and processes: of the presets


def populations() -> Iterator[tuple[str, list[Floats]]]:
    """(published run, the residuals of each of its panels), in pp."""
    for folder in sorted(RUNS.iterdir()):
        panels: dict[str, list[Floats]] = {}
        if not (folder / "run.json").exists():
            continue
        for overhead in overheads(read_records(folder)):
            values = np.array(overhead.pct.values)
            if len(values) >= LEAST and (overhead.case.aa or overhead.case.variant != BASELINE_VARIANT):
                panels.setdefault(overhead.case.panel.label, []).append(values - np.median(values))
        if panels:
            yield folder.name, [np.concatenate(own) for own in panels.values()]


def coverage(candidates: Iterable[str] = CANDIDATES) -> pd.DataFrame:
    """One row for each run, candidate and n: coverage_pct over the run's panels, the worst of them, and width_ratio
    (of the median width, to Student's t)."""
    rows = []
    for run, panels in populations():
        for count in COUNTS:
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
            for number, values in enumerate(panels):
                rng = np.random.default_rng([count, number])
                drawn = values[rng.integers(0, len(values), (RESAMPLES, count))]
                for name in found:
                    interval, target = CANDIDATES[name]
                    low, high = interval(drawn)
                    truth = target(values, count)
                    held = (low <= truth) & (truth <= high)
                    found[name].append((100 * float(held.mean()), float(np.median(high - low))))
            widths = [width for _, width in found[OLD]]
            for name, own in found.items():
                shares = [share for share, _ in own]
                ratio = float(np.mean([mine / usual for (_, mine), usual in zip(own, widths, strict=True)]))
                rows.append((run, name, count, float(np.mean(shares)), min(shares), ratio))
    return pd.DataFrame(rows, columns=["run", "interval", "n", "coverage_pct", "worst_panel_pct", "width_ratio"])


def choose(table: pd.DataFrame) -> str:
    """The candidate that the rule takes."""
    worst = table.assign(off=(table.coverage_pct - 95).abs()).groupby("interval").off.max()
    qualified = worst[worst <= 3 + MONTE_CARLO_ERROR].index
    if len(qualified) == 0:
        return str(worst.idxmin())
    usual = table[table.n.isin((7, 16)) & table.interval.isin(qualified)]
    return str(usual.groupby("interval").width_ratio.mean().idxmin())


def stopping() -> pd.DataFrame:
    """One row for each run, rule and target: coverage_pct over the run's panels, the worst of them, and the mean number
    of processes at which a panel of one case stops. With several cases the widest decides, which stops later."""
    rows = []
    for run, panels in populations():
        found: dict[tuple[str, float], list[tuple[float, float]]] = {}
        for number, values in enumerate(panels):
            rng = np.random.default_rng(number)
            drawn = values[rng.integers(0, len(values), (RESAMPLES, MOST))]
            looks = {n: (*yuen(drawn[:, :n], fewest=TRIMMED_FROM), _chosen(values, n)) for n in range(5, MOST + 1)}
            for (rule, (fewest, wanted)), target in product(STOPPING.items(), TARGETS):
                stopped, row = np.zeros(RESAMPLES, dtype=int), np.zeros(RESAMPLES, dtype=int)
                held = np.zeros(RESAMPLES, dtype=bool)
                for n, (low, high, truth) in looks.items():
                    row = np.where((high - low) / 2 <= target, row + 1, 0)
                    now = (stopped == 0) & (((row >= wanted) & (n >= fewest)) | (n == MOST))
                    stopped[now], held[now] = n, ((low <= truth) & (truth <= high))[now]
                found.setdefault((rule, target), []).append((100 * float(held.mean()), float(stopped.mean())))
        for key, own in found.items():
            shares, counts = zip(*own, strict=True)
            rows.append((run, *key, float(np.mean(shares)), min(shares), float(np.mean(counts))))
    return pd.DataFrame(rows, columns=["run", "rule", "target", "coverage_pct", "worst_panel_pct", "processes"])


def _chosen(values: Floats, count: int) -> float:
    """What the chosen interval estimates with so many values: below ``TRIMMED_FROM`` it is the mean."""
    return _trimmed_mean(values, TRIM if count >= TRIMMED_FROM else 0.0)


def _t(freedom: int) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def _trimmed_mean(values: Floats, trim: float) -> float:
    return float(stats.trim_mean(values, trim))


def _signed_rank_quantile(count: int) -> int:
    """How many of the ordered pairwise means lie outside a two-sided interval, at each end."""
    ways = np.array([1.0])
    for rank in range(1, count + 1):
        ways = np.convolve(ways, np.r_[1.0, np.zeros(rank - 1), 1.0])
    below = np.cumsum(ways) / ways.sum()
    return int(np.searchsorted(below, (1 - CONFIDENCE) / 2, side="right"))


def _pseudo_median(values: Floats) -> float:
    first, second = np.triu_indices(len(values))
    return float(np.median((values[first] + values[second]) / 2))


def write(table: pd.DataFrame, stopped: pd.DataFrame) -> None:
    """The two tables of the page on statistics, each between its marks."""
    lines = [
        "| run | interval | " + " | ".join(f"n = {count}" for count in COUNTS) + " |",
        "|---|---|" + "---:|" * len(COUNTS),
    ]
    for run, own in table[table.interval.isin((CHOSEN, OLD))].groupby("run"):
        shares = own.pivot(index="interval", columns="n", values="coverage_pct")
        for name in (CHOSEN, OLD):
            cells = (f"{shares.loc[name, count]:.1f}" for count in COUNTS)
            lines.append(f"| {run} | {name} | {' | '.join(cells)} |")
    rules = ["| run | " + " | ".join(STOPPING) + " |", "|---|" + "---:|" * len(STOPPING)]
    lowest = stopped.pivot_table(index="run", columns="rule", values="coverage_pct", aggfunc="min")
    rules += [f"| {run} | {' | '.join(f'{own[rule]:.1f}' for rule in STOPPING)} |" for run, own in lowest.iterrows()]
    text = PAGE.read_text(encoding="utf-8")
    for mark, own in ((MARK, lines), (MARK_STOPPING, rules)):
        before, _, rest = text.partition(mark)
        _, _, after = rest.partition(mark)
        text = "".join((before, mark, "\n\n", "\n".join(own), "\n\n", mark, after))
    PAGE.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Print the tables and what the rule takes."""
    table, stopped = coverage(), stopping()
    summary = table.groupby(["interval", "n"]).agg(
        runs=("run", "count"),
        mean_pct=("coverage_pct", "mean"),
        lowest_pct=("coverage_pct", "min"),
        highest_pct=("coverage_pct", "max"),
        worst_panel_pct=("worst_panel_pct", "min"),
        width_ratio=("width_ratio", "mean"),
    )
    print(summary.round(2).to_string())
    print(f"the rule takes: {choose(table)}")
    found = stopped.groupby(["rule", "target"]).agg(
        mean_pct=("coverage_pct", "mean"),
        lowest_pct=("coverage_pct", "min"),
        worst_panel_pct=("worst_panel_pct", "min"),
        processes=("processes", "mean"),
    )
    print(found.round(2).to_string())
    if arguments == ["--write"]:
        write(table, stopped)


if __name__ == "__main__":
    main(sys.argv[1:])
