"""Data sets: deterministic for a seed, versioned, made from real images that packages ship; and videos of one's own.

``images`` splits them into training, validation and test. Detectors learn from ``cluttered_digits``. A new data set for
the accuracy section is a ``clips.ClipDataset``, an entry in ``KINDS`` and its name in ``spec``.

``video_lists`` reads which videos a user has, what they show and which are for the test; ``video_clips`` keeps small
frames of them on disk and takes clips from these. ``videos`` plays a single file as a stream. ``decoding`` opens files
for both.
"""

from typing import Any

from numpy.typing import NDArray

from bench.data.clips import ClipDataset
from bench.data.images import digit_images, photograph_blocks, version_of
from bench.data.opening_digits import OpeningDigits
from bench.data.ring_digits import RingDigits
from bench.spec.axes import DATASETS, ValueNotAllowed
from bench.spec.training import Data, RenderedRecipe

KINDS: dict[str, type[ClipDataset]] = {"ring_digits": RingDigits, "opening_digits": OpeningDigits}

_SAMPLE = 8  # clips of each kind, enough to pass through every line that renders


def open_dataset(name: str, recipe: RenderedRecipe, data: Data, seed: int) -> ClipDataset:
    """The data set ``name`` as hard as ``data`` says, its source images split by ``seed`` in the shares of ``recipe``.

    Raises ValueNotAllowed for an unknown name, and where a share leaves a part without an image of some class.
    """
    return _kind(name).split(recipe, getattr(data, name), seed)


def data_version(name: str, data: Data) -> str:
    """A short hash of parameters, source images and what is really rendered. Raises ValueNotAllowed as above."""
    kind = _kind(name)
    dataset, rng = kind.sample(getattr(data, name))
    arrays: list[NDArray[Any]] = list(digit_images())
    if kind.photographs:
        arrays.append(photograph_blocks())
    for hard in (False, True):
        arrays += dataset.single_frames(rng, _SAMPLE, hard)
    arrays += vars(dataset.clips(rng, _SAMPLE)).values()
    for part in ("validation", "test"):
        arrays += vars(dataset.judged(rng, _SAMPLE, part)).values()
    return version_of([name, data.model_dump(mode="json")[name]], arrays)


def _kind(name: str) -> type[ClipDataset]:
    if name not in KINDS:
        raise ValueNotAllowed(f"unknown dataset {name!r}; there are: {', '.join(DATASETS)}")
    return KINDS[name]
