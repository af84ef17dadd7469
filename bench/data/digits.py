"""Real handwritten digits as 16x16 sprites, and their scrambled doubles. Pixels are float32 in 0…1."""

from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

import numpy as np
from sklearn.datasets import load_digits

from bench.data.arrays import Indices, Labels, Pixels
from bench.data.splits import split_by_class

DIGITS = 10
SPRITE = 16  # px; the scans are 8x8, and a stroke of one pixel would not survive the network's stride of 2
BRIGHTEST = 1.0  # the highest contrast; the lowest is a parameter of each data set

_SCAN, _SCAN_MAX = 8, 16.0  # load_digits: 8x8 pixels from 0 to 16


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
        which = _SCRAMBLES[rng.integers(0, len(_SCRAMBLES), len(chosen))]
        flat = self.images.reshape(-1).take((chosen * SPRITE**2)[:, None] + which)
        return flat.reshape(-1, SPRITE, SPRITE) * _contrast(rng, len(chosen), lowest_contrast)

    def _any_of(self, rng: np.random.Generator, classes: Labels) -> Indices:
        first = np.searchsorted(self.labels, np.arange(DIGITS))
        count = np.bincount(self.labels, minlength=DIGITS)
        return (first[classes] + rng.integers(0, count[classes])).astype(np.intp)


def _contrast(rng: np.random.Generator, count: int, lowest: float) -> Pixels:
    return (lowest + (BRIGHTEST - lowest) * rng.random((count, 1, 1), dtype=np.float32)).astype(np.float32)


def _all_scrambles() -> Indices:
    """Where each pixel of a scrambled sprite comes from, [729, 256]: no quadrant stays, each is mirrored somehow."""
    numbers = np.arange(SPRITE**2).reshape(SPRITE, SPRITE)
    quadrants = [half for rows in np.split(numbers, 2) for half in np.split(rows, 2, axis=1)]
    flips = (np.flipud, np.fliplr, lambda quadrant: quadrant[::-1, ::-1])
    moved = [order for order in permutations(range(4)) if all(place != source for place, source in enumerate(order))]
    scrambles = []
    for order, turned in product(moved, product(flips, repeat=4)):
        a, b, c, d = (flip(quadrants[source]) for flip, source in zip(turned, order, strict=True))
        scrambles.append(np.block([[a, b], [c, d]]).reshape(-1))
    return np.stack(scrambles).astype(np.intp)


_SCRAMBLES = _all_scrambles()


def split_digits(train_share: float, validation_share: float, seed: int) -> tuple[DigitPool, DigitPool, DigitPool]:
    """The digits for training, for validation and for the test: split by image, stratified by class.

    Raises ValueNotAllowed where a part would be left without an image of some digit.
    """
    images, labels = digit_images()
    names = [f"image of digit {digit}" for digit in range(DIGITS)]
    parts = split_by_class(labels, names, train_share, validation_share, seed)
    train, validation, test = (DigitPool(images[part], labels[part], part) for part in parts)
    return train, validation, test


@cache
def digit_images() -> tuple[Pixels, Labels]:
    """All of scikit-learn's digits, enlarged: images [1797, 16, 16], labels [1797].

    The weights of the enlargement are multiples of 1/4 and the scans of 1/16, so the values are exact.
    """
    scans, labels = load_digits(return_X_y=True)
    centres = (np.arange(SPRITE) + 0.5) * _SCAN / SPRITE - 0.5
    enlarge = np.stack([np.interp(centres, np.arange(_SCAN), row) for row in np.eye(_SCAN)], axis=1)  # bilinear [16, 8]
    images = (enlarge @ (scans.reshape(-1, _SCAN, _SCAN) / _SCAN_MAX) @ enlarge.T).astype(np.float32)
    images.flags.writeable = False
    return images, labels.astype(np.int64)
