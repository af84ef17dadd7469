"""Real handwritten digits as 16x16 sprites, their scrambled doubles, and how sprites are stamped on a torus.

Pixels are float32 in 0…1. Everything is gathered by index, many frames at once, because the data must cost next to
nothing beside the training of a very small network.
"""

from dataclasses import dataclass
from itertools import permutations, product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from bench.accuracy.clips import Labels, Pixels

DIGITS = 10
SPRITE = 16  # px; the scans are 8x8, and a stroke of one pixel would not survive the network's stride of 2
CANVAS = 32  # px; two sprites fit one above the other without hiding each other
BAND = 3  # px erased: hides part of a stroke, never a whole digit
CONTRAST = (0.6, 1.0)  # so that brightness tells nothing of which sprite is the digit

_SCAN, _SCAN_MAX = 8, 16.0  # load_digits: 8x8 pixels from 0 to 16
_NO_BAND = -BAND  # a band that lies above the sprite erases nothing

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class DigitPool:
    """Digits to draw from: images [N, 16, 16], sorted by class; ``origins`` [N]: their numbers in ``load_digits``."""

    images: Pixels
    labels: Labels
    origins: Indices

    def draw(self, rng: np.random.Generator, classes: Labels) -> Pixels:
        """A random image of each of ``classes`` [n] at random contrast: [n, 16, 16]."""
        chosen = self._any_of(rng, classes)
        return self.images[chosen] * _contrast(rng, len(chosen))

    def draw_scrambled(self, rng: np.random.Generator, classes: Labels) -> Pixels:
        """As ``draw``, with quadrants moved and flipped: strokes of a digit that is no digit. [n, 16, 16]."""
        chosen = self._any_of(rng, classes)
        which = _SCRAMBLES[rng.integers(0, len(_SCRAMBLES), len(chosen))]
        flat = self.images.reshape(-1).take((chosen * SPRITE**2)[:, None] + which)
        return flat.reshape(-1, SPRITE, SPRITE) * _contrast(rng, len(chosen))

    def _any_of(self, rng: np.random.Generator, classes: Labels) -> Indices:
        first = np.searchsorted(self.labels, np.arange(DIGITS))
        count = np.bincount(self.labels, minlength=DIGITS)
        return (first[classes] + rng.integers(0, count[classes])).astype(np.intp)


def _contrast(rng: np.random.Generator, count: int) -> Pixels:
    low, high = CONTRAST
    return (low + (high - low) * rng.random((count, 1, 1), dtype=np.float32)).astype(np.float32)


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


def split_digits(train_share: float, seed: int) -> tuple[DigitPool, DigitPool]:
    """The training and the test digits: split by image, stratified by class."""
    scans, labels = load_digits(return_X_y=True)
    parts = train_test_split(np.arange(len(labels)), train_size=train_share, stratify=labels, random_state=seed)
    centres = (np.arange(SPRITE) + 0.5) * _SCAN / SPRITE - 0.5
    enlarge = np.stack([np.interp(centres, np.arange(_SCAN), row) for row in np.eye(_SCAN)], axis=1)  # bilinear [16, 8]
    images = (enlarge @ (scans.reshape(-1, _SCAN, _SCAN) / _SCAN_MAX) @ enlarge.T).astype(np.float32)
    train, test = (part[np.argsort(labels[part], kind="stable")] for part in parts)
    return tuple(DigitPool(images[part], labels[part].astype(np.int64), part) for part in (train, test))  # type: ignore[return-value]


def no_band(shape: tuple[int, ...]) -> Indices:
    """Nothing is erased."""
    return np.full(shape, _NO_BAND)


def stamp(sprites: Pixels, top: Indices, left: Indices, band: Indices) -> Pixels:
    """Sprites [n, 16, 16], each into F frames of its own on a torus: [n, F, 32, 32], zero elsewhere.

    top, left, band: [n, F] px; where the sprite begins, and the first of the sprite's rows that are erased.
    """
    count = len(sprites)
    rows = np.zeros((count, SPRITE + 1, 2 * CANVAS), np.float32)  # one blank row below, each row twice around the torus
    rows[:, :SPRITE, :SPRITE] = sprites
    rows[:, :SPRITE, CANVAS : CANVAS + SPRITE] = sprites
    row = (np.arange(CANVAS) - top[..., None]) % CANVAS  # [n, F, 32]: the sprite's row that each canvas row shows
    erased = (row >= band[..., None]) & (row < band[..., None] + BAND)
    row = np.where(erased, SPRITE, np.minimum(row, SPRITE))
    sprite = np.arange(count).reshape(count, 1, 1)
    start = (sprite * (SPRITE + 1) + row) * 2 * CANVAS + (-left % CANVAS)[..., None]
    return sliding_window_view(rows.reshape(-1), CANVAS)[start]
