"""The data sets by name. A new one needs a class that is a ``Dataset``, a line here and its name in ``spec.axes``."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.data.clips import Dataset
from bench.data.digits import digit_images
from bench.data.opening_digits import OpeningDigits
from bench.data.photographs import photograph_blocks
from bench.data.ring_digits import RingDigits
from bench.spec.axes import DATASETS, ValueNotAllowed
from bench.spec.settings import Data, Recipe


@dataclass(frozen=True)
class Maker:
    """How a data set is made: from which images, and how they are split (Raises ValueNotAllowed)."""

    split: Callable[[Recipe, Data, int], Dataset]
    images: Callable[[], tuple[NDArray[np.generic], ...]]


MAKERS: dict[str, Maker] = {
    "ring_digits": Maker(RingDigits.split, digit_images),
    "opening_digits": Maker(OpeningDigits.split, lambda: (*digit_images(), photograph_blocks())),
}

_SAMPLE = 8  # clips of each kind, enough to pass through every line that renders
_SAMPLE_SEED = 4
_SAMPLE_RECIPE = Recipe(train_share=0.6, validation_share=0.2)  # written out: another default changes no data
_DIGITS_OF_VERSION = 12  # 48 bits: two versions out of a thousand are the same with a probability of 2e-9


def open_dataset(name: str, recipe: Recipe, data: Data, seed: int) -> Dataset:
    """The data set ``name`` as hard as ``data`` says, its source images split by ``seed`` in the shares of ``recipe``.

    Raises ValueNotAllowed for an unknown name, and where a share leaves a part without an image of some class.
    """
    return _maker(name).split(recipe, data, seed)


def data_version(name: str, data: Data) -> str:
    """A short hash of the data set ``name``: its parameters, its source images and what is really rendered.

    Two runs with the same version and seed saw the same pixels. Raises ValueNotAllowed for an unknown name.
    """
    maker = _maker(name)
    digest = hashlib.sha256(json.dumps([name, data.model_dump(mode="json")[name]], sort_keys=True).encode())
    dataset = maker.split(_SAMPLE_RECIPE, data, _SAMPLE_SEED)
    rng = np.random.default_rng(_SAMPLE_SEED)
    frames = [dataset.single_frames(rng, _SAMPLE, hard) for hard in (False, True)]
    clips = [draw(rng, _SAMPLE) for draw in (dataset.clips, dataset.validation_clips, dataset.test_clips)]
    arrays: list[NDArray[np.generic]] = [array for some in frames for array in (some.pixels, some.spatial)]
    arrays += [array for some in clips for array in (some.pixels, some.spatial, some.temporal)]
    for array in (*maker.images(), *arrays):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:_DIGITS_OF_VERSION]


def _maker(name: str) -> Maker:
    if name not in MAKERS:
        raise ValueNotAllowed(f"unknown dataset {name!r}; there are: {', '.join(DATASETS)}")
    return MAKERS[name]
