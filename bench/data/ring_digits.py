"""``ring_digits``: a handwritten digit walks round a ring of eight positions; which digit, and in which order?

The spatial class is the digit (10). The temporal class is k in {1, 3, 5, 7} (4): frame t shows ring position
(s + k * t) mod 8. k is odd, so a clip of eight frames visits every position once, and all classes are permutations of
the same frames: a network without exchange between frames stays at chance, 25 %.

The distractor, a scrambled digit on the opposite row, walks the ring in an order of its own (its k is independent of
the digit's), so that its motion says nothing either: a network has to see *what* it is that moves.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.data.clips import CANVAS, ClipDataset, stamp
from bench.data.images import DIGITS, FRAMES, SPRITE, Indices, Labels, Pixels, Sources
from bench.spec.training import RingDigitsData

POSITIONS = FRAMES  # on the ring, so that a clip shows each of them once
STEP = CANVAS // POSITIONS  # 4 px: more than the jitter can hide
ORDERS: Labels = np.array([1, 3, 5, 7])  # the steps that are coprime to 8; their index is the temporal class


@dataclass(frozen=True)
class RingDigits(ClipDataset):
    """The data set: the same part's digits serve as target and distractor."""

    how_hard: RingDigitsData

    photographs: ClassVar[bool] = False
    temporal_classes: ClassVar[int] = len(ORDERS)

    def _single(self, rng: np.random.Generator, labels: Labels, hard: bool) -> Pixels:
        """A digit anywhere. Hard: with distractor, erasure and noise as in the clips."""
        top, left, other = (rng.integers(0, CANVAS, (len(labels), 1)) for _ in range(3))
        if hard:
            return self._render(rng, self.train, labels, top, left, other)
        return stamp(self.train.sprites(rng, labels, self.how_hard.lowest_contrast), top, left)

    def _order(self, rng: np.random.Generator, temporal: Labels) -> Indices:
        start = rng.integers(0, POSITIONS, (len(temporal), 1, 1))
        position: Indices = (start + ORDERS[temporal][..., None] * np.arange(POSITIONS)) % POSITIONS
        return position

    def _base(self, rng: np.random.Generator, part: Sources, spatial: Labels) -> Pixels:
        """The frames by ring position."""
        one, ring = (len(spatial), 1), np.arange(POSITIONS)
        top, left = rng.integers(0, CANVAS, one), STEP * ring
        other_start, other_order = rng.integers(0, POSITIONS, one), ORDERS[rng.integers(0, len(ORDERS), one)]
        return self._render(rng, part, spatial, top, left, STEP * (other_start + other_order * ring))

    def _render(
        self, rng: np.random.Generator, sources: Sources, spatial: Labels, top: Indices, left: Indices, other: Indices
    ) -> Pixels:
        """Digit and distractor with jitter, a band erased in each, maximum of the two, noise: [n, F, 32, 32].

        top [n, 1], left [n, F] or [F]: the digit's place in px. other: the distractor's left, half a torus further
        down. Without the distractor all else stays the same: it is drawn, but not shown.
        """
        how = self.how_hard
        shape = (len(spatial), np.broadcast_shapes(top.shape, left.shape)[1])
        foreign = (spatial + rng.integers(1, DIGITS, len(spatial))) % DIGITS  # of another class than the digit
        digit = sources.sprites(rng, spatial, how.lowest_contrast)
        distractor = sources.sprites(rng, foreign, how.lowest_contrast, scrambled=True)
        layers = []
        for sprite, y, x in ((digit, top, left), (distractor, top + CANVAS // 2, other)):
            jitter = rng.integers(-how.jitter, how.jitter + 1, (2, *shape))
            band = rng.integers(0, SPRITE - how.band + 1, shape)
            layers.append(stamp(sprite, y + jitter[0], x + jitter[1], band, how.band))
        frames = rng.standard_normal(layers[0].shape, dtype=np.float32)
        frames *= how.noise
        frames += np.maximum(*layers) if how.distractor else layers[0]
        return frames
