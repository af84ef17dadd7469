"""``ring_digits``: a handwritten digit walks round a ring of eight positions; which digit, and in which order?

The spatial class is the digit (10). The temporal class is k in {1, 3, 5, 7} (4): frame t shows ring position
(s + k * t) mod 8. k is odd, so a clip of eight frames visits every position once: all classes are permutations of
the same eight frames, which are rendered once, distractor, jitter, erasure and noise included. No single frame
and no order-blind consensus can tell k: a network without exchange between frames stays at chance, 25 %.

The distractor, a scrambled digit on the opposite row, walks the ring in an order of its own (its k is independent of
the digit's), so that its motion tells nothing either: a network has to see *what* it is that moves.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from bench.data.arrays import Indices, Labels, Pixels
from bench.data.clips import Clips, Frames
from bench.data.digits import DIGITS, SPRITE, DigitPool, split_digits
from bench.data.orders import CHUNK_FRAMES, chunks, in_orders
from bench.data.sprites import CANVAS, stamp
from bench.spec.settings import Data, Recipe, RingDigitsData

POSITIONS = 8  # on the ring; as many as a clip has frames, so that a clip shows each of them once
STEP = CANVAS // POSITIONS  # 4 px: more than the jitter can hide
ORDERS: Labels = np.array([1, 3, 5, 7])  # the steps that are coprime to 8; their index is the temporal class


@dataclass(frozen=True)
class RingDigits:
    """The data set: digits for training, validation and test, disjoint, for target and distractor alike."""

    train: DigitPool
    validation: DigitPool
    test: DigitPool
    how_hard: RingDigitsData

    spatial_classes: ClassVar[int] = DIGITS
    temporal_classes: ClassVar[int] = len(ORDERS)
    frames: ClassVar[int] = POSITIONS

    @classmethod
    def split(cls, recipe: Recipe, data: Data, seed: int) -> "RingDigits":
        """scikit-learn's digits in the shares of ``recipe``. Raises ValueNotAllowed where a part would stay empty."""
        return cls(*split_digits(recipe.train_share, recipe.validation_share, seed), data.ring_digits)

    def single_frames(self, rng: np.random.Generator, count: int, hard: bool) -> Frames:
        """Frames [count, 1, 32, 32] with a digit anywhere. Hard: distractor, erasure and noise as in the clips."""
        pixels = np.empty((count, 1, CANVAS, CANVAS), np.float32)
        labels = rng.integers(0, DIGITS, count)
        for part in chunks(count, CHUNK_FRAMES):
            one = (len(labels[part]), 1)
            top, left, other = (rng.integers(0, CANVAS, one) for _ in range(3))
            if hard:
                pixels[part] = self._render(rng, self.train, labels[part], top, left, other)
            else:
                pixels[part] = stamp(self.train.draw(rng, labels[part], self.how_hard.lowest_contrast), top, left)
        return Frames(pixels, labels)

    def clips(self, rng: np.random.Generator, count: int) -> Clips:
        """Clips [count, 8, 1, 32, 32] of the training digits, each in a random order."""
        temporal = rng.integers(0, len(ORDERS), (count, 1))
        return self._in_orders(rng, self.train, temporal)

    def validation_clips(self, rng: np.random.Generator, count: int) -> Clips:
        """``count`` base clips of the validation digits, each in all four orders, one after the other."""
        return self._in_orders(rng, self.validation, np.tile(np.arange(len(ORDERS)), (count, 1)))

    def test_clips(self, rng: np.random.Generator, count: int) -> Clips:
        """``count`` base clips of the test digits, each in all four orders, one after the other: 4 * count clips."""
        return self._in_orders(rng, self.test, np.tile(np.arange(len(ORDERS)), (count, 1)))

    def _in_orders(self, rng: np.random.Generator, pool: DigitPool, temporal: Labels) -> Clips:
        """A base clip for each row of temporal [n, k], in the k orders that stand there."""
        spatial = rng.integers(0, DIGITS, len(temporal))
        start = rng.integers(0, POSITIONS, (len(temporal), 1, 1))
        shown = (start + ORDERS[temporal][..., None] * np.arange(POSITIONS)) % POSITIONS
        return in_orders(partial(self._ring, rng, pool), spatial, temporal, shown)

    def _ring(self, rng: np.random.Generator, pool: DigitPool, spatial: Labels) -> Pixels:
        """The eight frames of each clip by ring position, [n, 8, 32, 32]: what the temporal classes permute."""
        one, ring = (len(spatial), 1), np.arange(POSITIONS)
        top, left = rng.integers(0, CANVAS, one), STEP * ring
        other_start, other_order = rng.integers(0, POSITIONS, one), ORDERS[rng.integers(0, len(ORDERS), one)]
        return self._render(rng, pool, spatial, top, left, STEP * (other_start + other_order * ring))

    def _render(
        self, rng: np.random.Generator, pool: DigitPool, spatial: Labels, top: Indices, left: Indices, other: Indices
    ) -> Pixels:
        """Digit and distractor with jitter, a band erased in each, maximum of the two, noise: [n, F, 32, 32].

        top [n, 1], left [n, F] or [F]: the digit's place in px. other: the distractor's left, half a torus further
        down. Without the distractor everything else stays the same: it is drawn, but not shown.
        """
        how = self.how_hard
        shape = (len(spatial), np.broadcast_shapes(top.shape, left.shape)[1])
        foreign = (spatial + rng.integers(1, DIGITS, len(spatial))) % DIGITS  # of another class than the digit
        digit = pool.draw(rng, spatial, how.lowest_contrast)
        distractor = pool.draw_scrambled(rng, foreign, how.lowest_contrast)
        layers = []
        for sprite, y, x in zip((digit, distractor), (top, top + CANVAS // 2), (left, other), strict=True):
            jitter = rng.integers(-how.jitter, how.jitter + 1, (2, *shape))
            band = rng.integers(0, SPRITE - how.band + 1, shape)
            layers.append(stamp(sprite, y + jitter[0], x + jitter[1], band, how.band))
        frames = rng.standard_normal(layers[0].shape, dtype=np.float32)
        frames *= how.noise
        frames += np.maximum(*layers) if how.distractor else layers[0]
        return frames
