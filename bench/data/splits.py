"""Source images in three parts, training, validation and test: no image in two of them, every class in all three."""

from collections.abc import Sequence

import numpy as np

from bench.data.arrays import Indices, Labels
from bench.spec.axes import ValueNotAllowed

_STREAM = 1797  # of random numbers under a seed: its own, far from the small numbers that training counts up


def split_by_class(
    labels: Labels, names: Sequence[str], train_share: float, validation_share: float, seed: int
) -> tuple[Indices, Indices, Indices]:
    """Which images are for training, for validation and for the test; each part is sorted by class.

    labels [N]: 0 … len(names) - 1. names: what an image of each class is, for messages. Of n images of a class,
    training and validation get their share of n, rounded, and the test what is left.
    Raises ValueNotAllowed where that leaves a part without an image of some class.
    """
    rng = np.random.default_rng([seed, _STREAM])
    parts: tuple[list[Indices], list[Indices], list[Indices]] = ([], [], [])
    for number, name in enumerate(names):
        images = rng.permutation(np.flatnonzero(labels == number))
        train, validation = (_rounded(share * len(images)) for share in (train_share, validation_share))
        counts = (train, validation, len(images) - train - validation)
        for use, share, count in zip(_USES, _shares(train_share, validation_share), counts, strict=True):
            if count < 1:
                raise ValueNotAllowed(f"{share} no {name} for {use}: each part needs one of the {len(images)}")
        for part, some in zip(parts, np.split(images, (train, train + validation)), strict=True):
            part.append(some)
    first, second, third = (np.concatenate(part) for part in parts)
    return first, second, third


_USES = ("training", "validation", "the test")


def _shares(train: float, validation: float) -> tuple[str, str, str]:
    """Who is to blame, where a part is empty."""
    given = (f"train_share = {train:g}", f"validation_share = {validation:g}")
    return f"{given[0]} leaves", f"{given[1]} leaves", f"{given[0]} and {given[1]} leave"


def _rounded(value: float) -> int:
    return int(np.floor(value + 0.5))
