"""Real images that scikit-learn ships, split so that training, validation and the test share none.

Handwritten digits become sprites of 16x16; two photographs, a Chinese pagoda and a dahlia, are cut into blocks, and a
texture lies within one block. Pixels are float32 in 0…1.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Any, ClassVar, Self

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.ndimage import zoom

from bench.spec.axes import ValueNotAllowed
from bench.spec.schema import Strict
from bench.spec.training import Recipe, RenderedRecipe

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]
Indices = NDArray[np.intp]

DIGITS = 10
SPRITE = 16  # px; the scans are 8x8, and a stroke of one pixel would not survive the network's stride of 2
PHOTOGRAPHS = ("china.jpg", "flower.jpg")
FRAMES = 8  # in a clip
BLOCK = 40  # px of a halved photograph: 40 blocks in each, and room for 81 different textures of 32x32 within a block

_HALVE = 2  # px averaged each way: a texture of 32 px then shows more than a patch of plain sky
_LEAST_CONTRAST = 0.2  # each block is stretched to the same contrast, but not so far that plain sky turns into grain
_SPLIT_STREAM = 1797  # of random numbers under a seed: its own, far from the small numbers that training counts up


@dataclass(frozen=True)
class Sources:
    """What the images of one part are made of: digits [N, 16, 16], sorted by class, with labels [N] and origins [N],
    their numbers in ``load_digits``; blocks [B, 40, 40] of photographs, to cut textures from."""

    digits: Pixels
    labels: Labels
    origins: Indices
    blocks: Pixels

    def sprites(
        self, rng: np.random.Generator, classes: Labels, lowest_contrast: float, *, scrambled: bool = False
    ) -> Pixels:
        """A random digit of each of ``classes`` [n] at a random contrast, lowest_contrast to 1: [n, 16, 16]. scrambled:
        with quadrants moved and flipped, strokes of a digit that is no digit."""
        first = np.searchsorted(self.labels, np.arange(DIGITS))
        count = np.bincount(self.labels, minlength=DIGITS)
        sprites = self.digits.take(first[classes] + rng.integers(0, count[classes]), axis=0)
        if scrambled:
            whence = SCRAMBLES[rng.integers(0, len(SCRAMBLES), len(sprites))]
            sprites = np.take_along_axis(sprites.reshape(whence.shape), whence, axis=1).reshape(sprites.shape)
        contrast: Pixels = lowest_contrast + (1 - lowest_contrast) * rng.random((len(sprites), 1, 1), np.float32)
        return sprites * contrast

    def textures(self, rng: np.random.Generator, count: int, size: int, grey: tuple[float, float]) -> Pixels:
        """Random textures [count, size, size], each within one block; grey: what black and white are shown as."""
        cuts = sliding_window_view(self.blocks, (size, size), axis=(1, 2))
        block, top, left = (rng.integers(0, places, count) for places in cuts.shape[:3])
        low, high = grey
        return (low + (high - low) * cuts[block, top, left]).astype(np.float32)


@dataclass(frozen=True)
class Dataset:
    """train, validation, test: what images are made of, disjoint. how_hard: the data set's parameters. photographs:
    whether it shows some. frames: T, in a clip."""

    train: Sources
    validation: Sources
    test: Sources
    how_hard: Strict

    photographs: ClassVar[bool] = True
    frames: ClassVar[int] = FRAMES

    @classmethod
    def split(cls, recipe: RenderedRecipe, how_hard: Strict, seed: int) -> Self:
        """Source images in the shares of ``recipe``: digits split by image, stratified by class; photographs by block,
        the same share of each. Raises ValueNotAllowed where a share leaves a part without an image of some class."""
        images, labels = digit_images()
        of_digits = _split_by_class(labels, [f"image of digit {digit}" for digit in range(DIGITS)], recipe, seed)
        blocks, of_blocks = np.empty((0, BLOCK, BLOCK), np.float32), 3 * [np.empty(0, np.intp)]
        if cls.photographs:
            names = [f"block of the photograph {name}" for name in PHOTOGRAPHS]
            blocks = photograph_blocks().reshape(-1, BLOCK, BLOCK)
            numbers = np.repeat(np.arange(len(names)), len(blocks) // len(names))
            of_blocks = _split_by_class(numbers, names, recipe, seed)
        train, validation, test = (
            Sources(images[own], labels[own], own, blocks[cut]) for own, cut in zip(of_digits, of_blocks, strict=True)
        )
        return cls(train, validation, test, how_hard)

    @classmethod
    def sample(cls, how_hard: Strict) -> tuple[Self, np.random.Generator]:
        """What a version is a hash of is drawn from these. They are written out: another default changes no version."""
        return cls.split(Recipe(train_share=0.6, validation_share=0.2), how_hard, 4), np.random.default_rng(4)


def _split_by_class(labels: Labels, names: Sequence[str], recipe: RenderedRecipe, seed: int) -> list[Indices]:
    """Which images each part gets, sorted by class: training and validation their share of each, rounded, and the test
    what is left. labels [N]: indices of ``names``, which are for messages."""
    rng = np.random.default_rng([seed, _SPLIT_STREAM])
    one, other = f"train_share = {recipe.train_share:g}", f"validation_share = {recipe.validation_share:g}"
    causes = {"training": f"{one} leaves", "validation": f"{other} leaves", "the test": f"{one} and {other} leave"}
    parts: list[list[Indices]] = [[] for _ in causes]
    for number, name in enumerate(names):
        images = rng.permutation(np.flatnonzero(labels == number))
        train, validation = (
            int(np.floor(share * len(images) + 0.5)) for share in (recipe.train_share, recipe.validation_share)
        )
        split = np.split(images, (train, train + validation))
        for part, some, (use, cause) in zip(parts, split, causes.items(), strict=True):
            if not len(some):
                raise ValueNotAllowed(f"{cause} no {name} for {use}: each part needs one of the {len(images)}")
            part.append(some)
    return [np.concatenate(part) for part in parts]


def _all_scrambles() -> Indices:
    """Where each pixel of a scrambled sprite comes from, [729, 256]: no quadrant stays, each is mirrored somehow."""
    numbers = np.arange(SPRITE**2).reshape(SPRITE, SPRITE)
    quadrants = [half for rows in np.split(numbers, 2) for half in np.split(rows, 2, axis=1)]
    moved = [order for order in permutations(range(4)) if all(place != source for place, source in enumerate(order))]
    scrambles = []
    for order, flipped in product(moved, product(((0,), (1,), (0, 1)), repeat=4)):
        a, b, c, d = (np.flip(quadrants[source], axes) for axes, source in zip(flipped, order, strict=True))
        scrambles.append(np.block([[a, b], [c, d]]).reshape(-1))
    return np.stack(scrambles).astype(np.intp)


SCRAMBLES = _all_scrambles()


@cache
def digit_images() -> tuple[Pixels, Labels]:
    """All of scikit-learn's digits, enlarged: images [1797, 16, 16], labels [1797]. The values are exact: the weights
    of the enlargement are multiples of 1/4, the scans of 1/16."""
    from sklearn.datasets import load_digits  # takes a second, which processes that decode videos do without

    scans, labels = load_digits(return_X_y=True)
    scans = scans.reshape(-1, 8, 8) / 16
    images = zoom(scans, (1, 2, 2), order=1, mode="nearest", grid_mode=True).astype(np.float32)  # bilinear
    images.flags.writeable = False
    return images, labels.astype(np.int64)


@cache
def photograph_blocks() -> Pixels:
    """All blocks of both photographs [2, 40, 40, 40], halved, in grey, each from 0 to 1; the edges are cut off."""
    from sklearn.datasets import load_sample_image

    photographs = np.stack([load_sample_image(name) for name in PHOTOGRAPHS])  # [2, H, W, 3]
    side = BLOCK * _HALVE
    down, across = photographs.shape[1] // side, photographs.shape[2] // side
    whole = photographs[:, : down * side, : across * side]
    sums = whole.reshape(-1, down, BLOCK, _HALVE, across, BLOCK, _HALVE, 3).sum(axis=(3, 6, 7), dtype=np.int64)
    blocks = sums.swapaxes(2, 3).reshape(len(PHOTOGRAPHS), -1, BLOCK, BLOCK) / (3 * _HALVE**2 * 255)  # exact greys
    darkest, lightest = (extreme(axis=(2, 3), keepdims=True) for extreme in (blocks.min, blocks.max))
    middle, contrast = (darkest + lightest) / 2, np.maximum(lightest - darkest, _LEAST_CONTRAST)
    stretched: Pixels = ((blocks - middle) / contrast + 0.5).astype(np.float32)
    stretched.flags.writeable = False
    return stretched


def version_of(parameters: Any, arrays: Iterable[NDArray[Any]], *, with_types: bool = True) -> str:
    """A short hash of parameters and arrays: runs of the same version and seed saw the same pixels."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for array in arrays:
        digest.update(f"{array.dtype.str if with_types else ''}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:12]  # 48 bits: two versions out of a thousand are the same with a probability of 2e-9
