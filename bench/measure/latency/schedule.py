"""The order of slots: mirrored random superblocks."""

import random
from collections.abc import Sequence


def superblock(cases: Sequence[int], rng: random.Random) -> list[int]:
    """A random order of ``cases`` followed by its mirror image.

    Every case stands twice, and the two positions of each have the same mean: what drifts linearly in time
    adds the same to every case.
    """
    order = list(cases)
    rng.shuffle(order)
    return order + order[::-1]
