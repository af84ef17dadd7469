"""The data sets of the accuracy section. A new one is a ``Dataset``, two lines here and its name in ``spec``."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.clips import Dataset
from bench.data.images import digit_images, photograph_blocks, split_digits, split_sources, version_of
from bench.data.opening_digits import OpeningDigits
from bench.data.ring_digits import RingDigits
from bench.spec.axes import DATASETS, ValueNotAllowed
from bench.spec.training import Data, Recipe, TrainingRecipe

SPLITS: dict[str, Callable[[TrainingRecipe, Data, int], Dataset[Any]]] = {
    "ring_digits": lambda recipe, data, seed: RingDigits(*split_digits(recipe, seed), data.ring_digits),
    "opening_digits": lambda recipe, data, seed: OpeningDigits(*split_sources(recipe, seed), data.opening_digits),
}
SOURCE_IMAGES: dict[str, Callable[[], tuple[NDArray[Any], ...]]] = {  # real ones, whatever the split
    "ring_digits": digit_images,
    "opening_digits": lambda: (*digit_images(), photograph_blocks()),
}

_SAMPLE = 8  # clips of each kind, enough to pass through every line that renders
_SAMPLE_SEED = 4
_SAMPLE_RECIPE = Recipe(train_share=0.6, validation_share=0.2)  # written out: another default changes no data


def open_dataset(name: str, recipe: TrainingRecipe, data: Data, seed: int) -> Dataset[Any]:
    """The data set ``name`` as hard as ``data`` says, its source images split by ``seed`` in the shares of ``recipe``.

    Raises ValueNotAllowed for an unknown name, and where a share leaves a part without an image of some class.
    """
    if name not in SPLITS:
        raise ValueNotAllowed(f"unknown dataset {name!r}; there are: {', '.join(DATASETS)}")
    return SPLITS[name](recipe, data, seed)


def data_version(name: str, data: Data) -> str:
    """A short hash of parameters, source images and what is really rendered. Raises ValueNotAllowed as above."""
    dataset, rng = open_dataset(name, _SAMPLE_RECIPE, data, _SAMPLE_SEED), np.random.default_rng(_SAMPLE_SEED)
    rendered = [
        dataset.single_frames(rng, _SAMPLE, hard=False),
        dataset.single_frames(rng, _SAMPLE, hard=True),
        dataset.clips(rng, _SAMPLE),
        dataset.judged(rng, _SAMPLE, "validation"),
        dataset.judged(rng, _SAMPLE, "test"),
    ]
    arrays = [array for some in rendered for array in vars(some).values()]
    return version_of([name, data.model_dump(mode="json")[name]], (*SOURCE_IMAGES[name](), *arrays))
