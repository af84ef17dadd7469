"""What was timed and trained, side by side: what each way to let frames meet costs, what it buys, and which to take.

Cost and gain may come from two runs: what a network learns does not hang on the machine that times it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pandas as pd

from bench.analysis.run import Analysis
from bench.analysis.tables import AXES
from bench.report import selection
from bench.report.numbers import estimate, fraction_text, known, overlap
from bench.report.selection import Row, rows
from bench.spec.panel import Panel

BUDGETS = (1.0, 3.0, 10.0, 30.0, math.inf)
"""Per cent of the latency without a shift: next to nothing, the paper's partial shift, about its naive one, more."""

TAKE, NO_GAIN, NOTHING_FITS, NOT_CERTIFIED = "take", "no gain shown", "nothing fits", "control not certified"

_COST = ("overhead_pct", "overhead_ci_low_pct", "overhead_ci_high_pct")
_COLUMNS = (*AXES, "backbone", *_COST, "extra_params", "extra_flops", "extra_traffic_mb", "extra_memory_mb")
_TAKEN = ("backbone", "budget_pct", "by", "verdict", "strategy", "fraction")
_GAIN = ("gain_pct", "gain_ci_low_pct", "gain_ci_high_pct")
_OF_YARDSTICK = (*_GAIN, "seeds")


def joined(timed: Analysis, *trained: Analysis) -> Analysis:
    """``timed`` with what the others have trained in the place of what it has, section by section, where they have."""
    found = {}
    for section in ("accuracy", "video"):
        frames = [getattr(run, section) for run in trained]
        if frames := [frame for frame in frames if not frame.empty]:
            found[section] = pd.concat(frames, ignore_index=True)
    return replace(timed, **found)


def panels_of(run: Analysis) -> list[Panel]:
    """The headline panel, and those that differ from it in the network alone."""
    headline = selection.headline_panels(run.latency)[:1]
    timed = [panel for panel, _ in selection.panels(selection.timed(run.latency))]
    return [panel for panel in timed if headline and replace(headline[0], backbone=panel.backbone) == panel]


def cost_and_gain(run: Analysis) -> pd.DataFrame:
    """One row per case that was timed and by any yardstick trained.

    extra_X: more than the network without a shift has. streamable: it has a causal form, which a stream needs. Each
    yardstick has its columns ``NAME_gain_…``: accuracy less that of the network without a shift, in pp, paired by seed,
    and ``NAME_seeds``.
    """
    yardsticks, found = selection.yardsticks(run), dict[str, Row]()
    for panel, by in product(panels_of(run), yardsticks):
        base = selection.references(run.latency)[panel]
        for offer in selection.offers(run, panel, by):
            case, gain = offer.case, estimate(offer.arm, f"{by.stem}_delta")
            if case["fraction"]:
                memory = case["peak_memory_mb"] - base["peak_memory_mb"]
                more = {"extra_memory_mb": memory, "streamable": _streamable(run, case["strategy"])}
                values = (gain.mean, gain.low, gain.high, offer.arm["seeds"])
                own = {f"{by.name}_{column}": value for column, value in zip(_OF_YARDSTICK, values, strict=True)}
                found.setdefault(case["records"], {**case, **more}).update(own)
    names = [f"{by.name}_{column}" for by in yardsticks for column in _OF_YARDSTICK]
    return pd.DataFrame(found.values(), columns=[*_COLUMNS, "streamable", *names, "control"])


def judged_by(table: pd.DataFrame) -> list[str]:
    """The names of the yardsticks in a table of ``cost_and_gain``."""
    end = f"_{_GAIN[0]}"
    return [str(name).removesuffix(end) for name in table if str(name).endswith(end)]


def budgets(table: pd.DataFrame, limits: Sequence[float] = BUDGETS) -> pd.DataFrame:
    """What to take for each network, yardstick and budget: of what costs no more (the whole interval) the best gain.

    as_good: what fits too and is not told from it by its interval, the cheapest first. ``table``: of ``cost_and_gain``.
    """
    found = []
    for backbone, own in selection.grouped(rows(table), lambda row: row["backbone"]).items():
        for by in judged_by(table):
            for limit in limits:
                found.append({"backbone": backbone, "budget_pct": limit, "by": by} | _taken(own, by, limit))
    return pd.DataFrame(found, columns=[*_TAKEN, *_COST, *_GAIN, "as_good"])


def _taken(cases: Sequence[Row], by: str, limit: float) -> Row:
    stem = f"{by}_gain"
    fitting = [case for case in cases if known(estimate(case, "overhead")) and known(estimate(case, stem))]
    fitting = [case for case in fitting if case["overhead_ci_high_pct"] <= limit]
    if any(case["control"] != "certified" for case in cases):
        return {"verdict": NOT_CERTIFIED}
    if not fitting:
        return {"verdict": NOTHING_FITS}
    fitting.sort(key=lambda case: float(case["overhead_pct"]))
    best = max(fitting, key=lambda case: float(case[f"{stem}_pct"]))
    if not estimate(best, stem).low > 0:
        return {"verdict": NO_GAIN}
    others = [case for case in fitting if case is not best and overlap(estimate(case, stem), estimate(best, stem))]
    gain = dict(zip(_GAIN, (best[f"{by}_{column}"] for column in _GAIN), strict=True))
    names = [f"{case['strategy']} {case['placement']} {fraction_text(case['fraction'])}" for case in others]
    return best | gain | {"verdict": TAKE, "as_good": ", ".join(names)}


def _streamable(run: Analysis, strategy: str) -> bool | None:
    """None where the run does not say."""
    infos = {info["name"]: info for info in run.header.get("strategies", [])}
    return "unidirectional" in infos[strategy]["directions"] if strategy in infos else None
