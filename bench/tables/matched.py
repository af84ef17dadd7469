"""In-place against residual at equal temporal accuracy: what does the placement cost in space, all else being bought?

At the end of a training the two placements have learned to tell orders apart to different degrees, and what each lost
in space may be the price of that. So the learning curves are read where both are equally good in time: at the highest
temporal accuracy that both reach.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from bench.arms import Arm


def inplace_minus_residual(inplace: Arm, residual: Arm) -> dict[int, float]:
    """{seed: spatial accuracy of in-place minus residual, in points, where both first are equally good in time}.

    Seeds without curves have no value, nor has one where a curve begins beyond that level: after its first epoch the
    network was better already, and nobody knows what it saw on its way there.
    """
    found = {}
    for seed, samples in inplace.seeds.items():
        curves = [own["curve"] for own in (samples, residual.seeds.get(seed, {})) if "curve" in own]
        if len(curves) == 2 and (difference := _difference(*curves)) is not None:
            found[seed] = 100 * difference
    return found


def over_fractions(by_fraction: dict[Fraction, dict[int, float]]) -> dict[int, float]:
    """{seed: the mean over those fractions that have a value for it}."""
    seeds = sorted({seed for values in by_fraction.values() for seed in values})
    return {seed: float(np.mean([own[seed] for own in by_fraction.values() if seed in own])) for seed in seeds}


def _difference(first: dict[str, Any], second: dict[str, Any]) -> float | None:
    level = min(max(first["temporal"]), max(second["temporal"]))
    own, other = (_spatial_at(level, curve["temporal"], curve["spatial"]) for curve in (first, second))
    return None if own is None or other is None else own - other


def _spatial_at(level: float, temporal: Sequence[float], spatial: Sequence[float]) -> float | None:
    """Spatial accuracy at the first crossing of ``level`` in time, along straight lines between epochs."""
    epoch = next(place for place, value in enumerate(temporal) if value >= level)
    if epoch == 0:
        return spatial[0] if temporal[0] == level else None
    share = (level - temporal[epoch - 1]) / (temporal[epoch] - temporal[epoch - 1])
    return spatial[epoch - 1] + share * (spatial[epoch] - spatial[epoch - 1])
