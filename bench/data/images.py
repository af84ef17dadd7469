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
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_sample_image

from bench.spec.axes import ValueNotAllowed
from bench.spec.training import TrainingRecipe

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]
Indices = NDArray[np.intp]

DIGITS = 10
SPRITE = 16  # px; the scans are 8x8, and a stroke of one pixel would not survive the network's stride of 2
PHOTOGRAPHS = ("china.jpg", "flower.jpg")
BLOCK = 40  # px of a halved photograph: 40 blocks in each, and room for 81 different textures of 32x32 within a block

_SCAN, _SCAN_MAX = 8, 16.0  # load_digits: 8x8 pixels from 0 to 16
_HALVE = 2  # px averaged each way: a texture of 32 px then shows more than a patch of plain sky
_LEAST_CONTRAST = 0.2  # each block is stretched to the same contrast, but not so far that plain sky turns into grain
_SPLIT_STREAM = 1797  # of random numbers under a seed: its own, far from the small numbers that training counts up
_USES = ("training", "validation", "the test")
_VERSION_LENGTH = 12  # 48 bits: two versions out of a thousand are the same with a probability of 2e-9


@dataclass(frozen=True)
class DigitPool:
    """Digits to draw from: images [N, 16, 16], sorted by class; ``origins`` [N]: their numbers in ``load_digits``."""

    images: Pixels
    labels: Labels
    origins: Indices

    def draw(self, rng: np.random.Generator, classes: Labels, lowest_contrast: float) -> Pixels:
        """A random image of each of ``classes`` [n] at a random contrast, lowest_contrast to 1: [n, 16, 16]."""
        chosen = self._any_of(rng, classes)
        return self.images[chosen] * _contrast(rng, len(chosen), lowest_contrast)

    def draw_scrambled(self, rng: np.random.Generator, classes: Labels, lowest_contrast: float) -> Pixels:
        """As ``draw``, with quadrants moved and flipped: strokes of a digit that is no digit. [n, 16, 16]."""
        chosen = self._any_of(rng, classes)
        which = SCRAMBLES[rng.integers(0, len(SCRAMBLES), len(chosen))]
        flat = self.images.reshape(-1).take((chosen * SPRITE**2)[:, None] + which)
        return flat.reshape(-1, SPRITE, SPRITE) * _contrast(rng, len(chosen), lowest_contrast)

    def _any_of(self, rng: np.random.Generator, classes: Labels) -> Indices:
        first = np.searchsorted(self.labels, np.arange(DIGITS))
        count = np.bincount(self.labels, minlength=DIGITS)
        return (first[classes] + rng.integers(0, count[classes])).astype(np.intp)


@dataclass(frozen=True)
class Sources:
    """What the images of one part are made of; ``blocks`` [B, 40, 40] of photographs, to cut textures from."""

    digits: DigitPool
    blocks: Pixels

    def textures(self, rng: np.random.Generator, count: int, size: int, grey: tuple[float, float]) -> Pixels:
        """Random textures [count, size, size], each within one block; grey: what black and white are shown as."""
        cuts = sliding_window_view(self.blocks, (size, size), axis=(1, 2))
        block, top, left = (rng.integers(0, places, count) for places in cuts.shape[:3])
        low, high = grey
        return (low + (high - low) * cuts[block, top, left]).astype(np.float32)


def split_digits(recipe: TrainingRecipe, seed: int) -> tuple[DigitPool, DigitPool, DigitPool]:
    """The digits for training, validation and the test: split by image, stratified by class.

    Raises ValueNotAllowed where a part would be left without an image of some digit.
    """
    images, labels = digit_images()
    parts = _split_by_class(labels, [f"image of digit {digit}" for digit in range(DIGITS)], recipe, seed)
    train, validation, test = (DigitPool(images[part], labels[part], part) for part in parts)
    return train, validation, test


def split_sources(recipe: TrainingRecipe, seed: int) -> tuple[Sources, Sources, Sources]:
    """Digits as in ``split_digits``; photographs split by block, the same share of both.

    Raises ValueNotAllowed where a part would be left without a digit or a block of either photograph.
    """
    blocks = photograph_blocks()
    names = [f"block of the photograph {name}" for name in PHOTOGRAPHS]
    digits = split_digits(recipe, seed)
    parts = _split_by_class(np.repeat(np.arange(len(names)), blocks.shape[1]), names, recipe, seed)
    flat = blocks.reshape(-1, BLOCK, BLOCK)
    train, validation, test = (Sources(pool, flat[part]) for pool, part in zip(digits, parts, strict=True))
    return train, validation, test


def _split_by_class(labels: Labels, names: Sequence[str], recipe: TrainingRecipe, seed: int) -> list[Indices]:
    """Which images each part gets, sorted by class. labels [N]: indices of ``names``, which are for messages.

    Of n images of a class, training and validation get their share of n, rounded, and the test what is left.
    """
    rng = np.random.default_rng([seed, _SPLIT_STREAM])
    parts: list[list[Indices]] = [[], [], []]
    shares = (recipe.train_share, recipe.validation_share)
    one, other = f"train_share = {shares[0]:g}", f"validation_share = {shares[1]:g}"
    causes = (f"{one} leaves", f"{other} leaves", f"{one} and {other} leave")
    for number, name in enumerate(names):
        images = rng.permutation(np.flatnonzero(labels == number))
        train, validation = (int(np.floor(share * len(images) + 0.5)) for share in shares)
        counts = (train, validation, len(images) - train - validation)
        for use, cause, count in zip(_USES, causes, counts, strict=True):
            if count < 1:
                raise ValueNotAllowed(f"{cause} no {name} for {use}: each part needs one of the {len(images)}")
        for part, some in zip(parts, np.split(images, (train, train + validation)), strict=True):
            part.append(some)
    return [np.concatenate(part) for part in parts]


def _contrast(rng: np.random.Generator, count: int, lowest: float) -> Pixels:
    return (lowest + (1 - lowest) * rng.random((count, 1, 1), dtype=np.float32)).astype(np.float32)


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
    scans, labels = load_digits(return_X_y=True)
    centres = (np.arange(SPRITE) + 0.5) * _SCAN / SPRITE - 0.5
    enlarge = np.stack([np.interp(centres, np.arange(_SCAN), row) for row in np.eye(_SCAN)], axis=1)  # bilinear [16, 8]
    images = (enlarge @ (scans.reshape(-1, _SCAN, _SCAN) / _SCAN_MAX) @ enlarge.T).astype(np.float32)
    images.flags.writeable = False
    return images, labels.astype(np.int64)


@cache
def photograph_blocks() -> Pixels:
    """All blocks of both photographs [2, 40, 40, 40], halved, in grey, each from 0 to 1; the edges are cut off."""
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
    return digest.hexdigest()[:_VERSION_LENGTH]
