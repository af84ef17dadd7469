"""In-place against residual at equal temporal accuracy: what does the placement cost in space, all else being bought?

At the end of a training the two placements have learned to tell orders apart to different degrees, and what each lost
in space may be the price of that. So in-place is held against the residual arms' path, from fraction to fraction, at
the point of that path where it is as good in time. Final test accuracies only: along one training the learning rate
changes too, and with it what is seen, so that two learning curves meet at unlike points of their schedules.
"""

from collections.abc import Sequence

import numpy as np

from bench.analysis.arms import Arm


def inplace_minus_residual(inplace: Arm, residual: Sequence[Arm]) -> dict[int, float]:
    """{seed: spatial accuracy of ``inplace`` minus that of the residual path where both are equally good in time}.

    In points. residual: the arms of the path, one for each fraction; between two of them, neighbours in temporal
    accuracy, the path is a straight line. A seed has no value where one of the arms lacks it, or where in-place is
    better or worse in time than every residual arm: nobody knows what residual would have seen there.
    """
    found = {}
    for seed, own in inplace.seeds.items():
        if len(residual) < 2 or not all(seed in arm.seeds for arm in residual):
            continue
        path = sorted((arm.seeds[seed]["temporal_accuracy"], arm.seeds[seed]["spatial_accuracy"]) for arm in residual)
        in_time, seen = np.array(path).T
        if in_time[0] <= own["temporal_accuracy"] <= in_time[-1]:
            on_path = float(np.interp(own["temporal_accuracy"], in_time, seen))
            found[seed] = 100 * (own["spatial_accuracy"] - on_path)
    return found


def over_all(by_arm: Sequence[dict[int, float]]) -> dict[int, float]:
    """{seed: the mean over the arms}, for those seeds of which every arm has a value: all means are over the same."""
    seeds = set.intersection(*(set(values) for values in by_arm)) if by_arm else set()
    return {seed: float(np.mean([values[seed] for values in by_arm])) for seed in sorted(seeds)}
