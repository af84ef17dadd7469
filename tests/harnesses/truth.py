"""The truth that all tools are held against. No torch.

206 layers cost 3 % more than 200 only where a stack of none would cost nothing; what it costs is measured beforehand,
and the truth is 3 % less that share.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bench.stats import estimators
from bench.stats.estimators import Interval
from tests.harnesses.cases import BASE, EFFECT, FULL, HALF, LAYERS, SAME, THREE

Block = Mapping[str, Any]


def log_ratios(blocks: Sequence[Block], case: int, reference: int = 0) -> list[float]:
    """Per superblock the mean log-latency of one case's slots minus the reference's.

    blocks: {"seconds": [[slot, slot], ...]}, one inner list per case.
    """
    return [_mean_log(block["seconds"][case]) - _mean_log(block["seconds"][reference]) for block in blocks]


def _mean_log(seconds: Sequence[float]) -> float:
    return sum(map(math.log, seconds)) / len(seconds)


def extra_layers(fixed: Sequence[Sequence[Block]]) -> Interval:
    """The true overhead of 206 layers over 200, in per cent, from processes that timed 100 (case 0) and 200 (case 1).

    With r = t(100) / t(200) a layer takes (1 - r) / 100 of t(200), so six take 6 (1 - r) per cent of it: 3 % where
    nothing is fixed (r = 1/2). An error of one point in r is one of 0.06 points here.
    """
    ratios = [math.exp(-estimators.hodges_lehmann(log_ratios(blocks, 1))) for blocks in fixed]
    extra = LAYERS[EFFECT] - LAYERS[BASE]
    return estimators.mean([100 * extra * (1 - r) / (FULL - HALF) for r in ratios]).interval()


def truths(fixed: Sequence[Sequence[Block]]) -> dict[str, float]:
    """The truth of each effect in per cent."""
    return {SAME: 0.0, THREE: extra_layers(fixed).mean}
