"""The data sets of the accuracy section, by name. A new one is a ``Dataset``, a line here and its name in ``spec``."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.data.clips import Dataset
from bench.data.images import version_of
from bench.data.opening_digits import OpeningDigits
from bench.data.ring_digits import RingDigits
from bench.spec.axes import DATASETS, ValueNotAllowed
from bench.spec.training import Data, Recipe, TrainingRecipe

SPLITS: dict[str, Callable[[TrainingRecipe, Data, int], Dataset[Any]]] = {
    "ring_digits": RingDigits.split,
    "opening_digits": OpeningDigits.split,
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
    """A short hash of the data set ``name``: its parameters, its source images and what is really rendered.

    Raises ValueNotAllowed for an unknown name.
    """
    dataset = open_dataset(name, _SAMPLE_RECIPE, data, _SAMPLE_SEED)
    parameters = [name, data.model_dump(mode="json")[name]]
    return version_of(parameters, (*dataset.source_images(), *_rendered(dataset)))


def _rendered(dataset: Dataset[Any]) -> Iterator[NDArray[Any]]:
    rng = np.random.default_rng(_SAMPLE_SEED)
    for hard in (False, True):
        frames = dataset.single_frames(rng, _SAMPLE, hard)
        yield from (frames.pixels, frames.spatial)
    for clips in (
        dataset.clips(rng, _SAMPLE),
        dataset.judged(rng, _SAMPLE, "validation"),
        dataset.judged(rng, _SAMPLE, "test"),
    ):
        yield from (clips.pixels, clips.spatial, clips.temporal)
