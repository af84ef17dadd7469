"""``ring_digits``: a handwritten digit walks round a ring of eight positions; which digit, and in which order?

The spatial class is the digit (10). The temporal class is k in {1, 3, 5, 7} (4): frame t shows ring position
(s + k * t) mod 8. k is odd, so a clip of eight frames visits every position once: all classes are permutations of
the same eight frames, which are rendered once, distractor, jitter, erasure and noise included. No single frame
and no order-blind consensus can tell k: a network without exchange between frames stays at chance, 25 %.

The distractor, a scrambled digit on the opposite row, walks the ring in an order of its own (its k is independent of
the digit's), so that its motion tells nothing either: a network has to see *what* it is that moves.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bench.accuracy.clips import Clips, Frames, Labels, Pixels
from bench.accuracy.sprites import BAND, CANVAS, DIGITS, SPRITE, DigitPool, Indices, no_band, split_digits, stamp

POSITIONS = 8  # on the ring; as many as a clip has frames, so that a clip shows each of them once
STEP = CANVAS // POSITIONS  # 4 px: more than the jitter can hide
ORDERS: Labels = np.array([1, 3, 5, 7])  # the steps that are coprime to 8; their index is the temporal class
JITTER = 1  # px either way, per frame and sprite
NOISE = 0.05  # standard deviation of the pixels, whose sprites reach 0.6 to 1

_CHUNK_FRAMES = 512  # rendered at once: 2 MB, so that all passes over them stay in the processor's cache


@dataclass(frozen=True)
class RingDigits:
    """The data set: training digits and test digits, disjoint, for target and distractor alike."""

    train: DigitPool
    test: DigitPool

    spatial_classes: ClassVar[int] = DIGITS
    temporal_classes: ClassVar[int] = len(ORDERS)
    frames: ClassVar[int] = POSITIONS

    @classmethod
    def split(cls, train_share: float, seed: int) -> "RingDigits":
        """scikit-learn's digits, split by image and stratified by class."""
        return cls(*split_digits(train_share, seed))

    def single_frames(self, rng: np.random.Generator, count: int, hard: bool) -> Frames:
        """Frames [count, 1, 32, 32] with a digit anywhere. Hard: distractor, erasure and noise as in the clips."""
        pixels = np.empty((count, 1, CANVAS, CANVAS), np.float32)
        labels = rng.integers(0, DIGITS, count)
        for part in _chunks(count, _CHUNK_FRAMES):
            one = (len(labels[part]), 1)
            top, left, other = (rng.integers(0, CANVAS, one) for _ in range(3))
            if hard:
                pixels[part] = _render(rng, self.train, labels[part], top, left, other)
            else:
                pixels[part] = stamp(self.train.draw(rng, labels[part]), top, left, no_band(one))
        return Frames(pixels, labels)

    def clips(self, rng: np.random.Generator, count: int) -> Clips:
        """Clips [count, 8, 1, 32, 32] of the training digits, each in a random order."""
        temporal = rng.integers(0, len(ORDERS), (count, 1))
        return _in_order(rng, self.train, count, temporal)

    def test_clips(self, rng: np.random.Generator, count: int) -> Clips:
        """``count`` base clips of the test digits, each in all four orders, one after the other: 4 * count clips."""
        return _in_order(rng, self.test, count, np.tile(np.arange(len(ORDERS)), (count, 1)))


def _in_order(rng: np.random.Generator, pool: DigitPool, count: int, temporal: Labels) -> Clips:
    """``count`` base clips, each shown in the orders temporal [count, orders]: count * orders clips."""
    orders = temporal.shape[1]
    spatial = rng.integers(0, DIGITS, count)
    start = rng.integers(0, POSITIONS, (count, 1, 1))
    shown = (start + ORDERS[temporal][..., None] * np.arange(POSITIONS)) % POSITIONS  # [count, orders, T]
    pixels = np.empty((count, orders, POSITIONS, CANVAS, CANVAS), np.float32)
    for part in _chunks(count, _CHUNK_FRAMES // POSITIONS):
        ring = render_ring(rng, pool, spatial[part])
        pixels[part] = ring[np.arange(len(ring))[:, None, None], shown[part]]
    pixels = pixels.reshape(count * orders, POSITIONS, 1, CANVAS, CANVAS)
    return Clips(pixels, np.repeat(spatial, orders), temporal.reshape(-1))


def render_ring(rng: np.random.Generator, pool: DigitPool, spatial: Labels) -> Pixels:
    """The eight frames of each clip by ring position, [n, 8, 32, 32]: what the temporal classes permute."""
    one, ring = (len(spatial), 1), np.arange(POSITIONS)
    top, left = rng.integers(0, CANVAS, one), STEP * ring
    other_start, other_order = rng.integers(0, POSITIONS, one), ORDERS[rng.integers(0, len(ORDERS), one)]
    return _render(rng, pool, spatial, top, left, STEP * (other_start + other_order * ring))


def _render(
    rng: np.random.Generator, pool: DigitPool, spatial: Labels, top: Indices, left: Indices, other: Indices
) -> Pixels:
    """Digit and distractor with jitter, a band erased in each, maximum of the two, noise: [n, F, 32, 32].

    top [n, 1], left [n, F] or [F]: the digit's place in px. other: the distractor's left, half a torus further down.
    """
    shape = (len(spatial), np.broadcast_shapes(top.shape, left.shape)[1])
    foreign = (spatial + rng.integers(1, DIGITS, len(spatial))) % DIGITS  # of another class than the digit
    sprites = (pool.draw(rng, spatial), pool.draw_scrambled(rng, foreign))
    layers = []
    for sprite, y, x in zip(sprites, (top, top + CANVAS // 2), (left, other), strict=True):
        jitter = rng.integers(-JITTER, JITTER + 1, (2, *shape))
        band = rng.integers(0, SPRITE - BAND + 1, shape)
        layers.append(stamp(sprite, y + jitter[0], x + jitter[1], band))
    frames = rng.standard_normal(layers[0].shape, dtype=np.float32)
    frames *= NOISE
    frames += np.maximum(layers[0], layers[1])
    return frames


def _chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
