"""What every data set of the accuracy section gives: single frames to pre-train on, labelled clips to tell apart.

Temporal classes are orders of the same frames: a base clip is rendered once, jitter and noise included, and shown in
the order of each class. So no function of a single frame, and none that ignores the order, can tell the classes apart.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bench.data.images import DIGITS, SPRITE, Dataset, Indices, Labels, Pixels, Sources

CANVAS = 32  # px; two sprites fit one above the other without hiding each other

_CHUNK_FRAMES = 512  # rendered at once: 2 MB, so that all passes over them stay in the processor's cache


@dataclass(frozen=True)
class Clips:
    """Clips [N, T, 1, H, W] and the two classes of each [N]: what is seen, and how it moves."""

    pixels: Pixels
    spatial: Labels
    temporal: Labels

    def __len__(self) -> int:
        return len(self.spatial)


class ClipDataset(Dataset, ABC):
    """A source of fresh frames and clips; all randomness comes from the generator that the caller passes."""

    spatial_classes: ClassVar[int] = DIGITS
    temporal_classes: ClassVar[int]

    @abstractmethod
    def _single(self, rng: np.random.Generator, labels: Labels, hard: bool) -> Pixels:
        """Training frames of the classes ``labels`` [n]: [n, 1, 32, 32]."""

    @abstractmethod
    def _order(self, rng: np.random.Generator, temporal: Labels) -> Indices:
        """Which frame of a base clip stands at each time in each of the classes temporal [n, k]: [n, k, T]."""

    @abstractmethod
    def _base(self, rng: np.random.Generator, part: Sources, spatial: Labels) -> Pixels:
        """The frames of base clips of the classes spatial [n]: [n, T, 32, 32]."""

    def single_frames(self, rng: np.random.Generator, count: int, hard: bool) -> tuple[Pixels, Labels]:
        """Training frames [count, 1, 32, 32] and their spatial classes. hard: as disturbed as a frame of a clip."""
        pixels = np.empty((count, 1, CANVAS, CANVAS), np.float32)
        labels = rng.integers(0, self.spatial_classes, count)
        for start in range(0, count, _CHUNK_FRAMES):
            some = slice(start, start + _CHUNK_FRAMES)
            pixels[some] = self._single(rng, labels[some], hard)
        return pixels, labels

    def clips(self, rng: np.random.Generator, count: int) -> Clips:
        """Clips [count, T, 1, 32, 32] of the training images, each in a random order."""
        return self._in_orders(rng, self.train, rng.integers(0, self.temporal_classes, (count, 1)))

    def judged(self, rng: np.random.Generator, count: int, part: str) -> Clips:
        """``count`` base clips of ``test`` or ``validation``, each in all K temporal classes: clip i * K + k is base
        clip i in class k."""
        classes = np.tile(np.arange(self.temporal_classes), (count, 1))
        return self._in_orders(rng, getattr(self, part), classes)

    def _in_orders(self, rng: np.random.Generator, part: Sources, temporal: Labels) -> Clips:
        """A base clip for each row of temporal [n, k], in the k orders that stand there: n * k clips."""
        count, orders = temporal.shape
        spatial: Labels = rng.integers(0, self.spatial_classes, (count,))
        order = self._order(rng, temporal)
        pixels = np.empty((count, orders, self.frames, CANVAS, CANVAS), np.float32)
        chunk = _CHUNK_FRAMES // self.frames
        for start in range(0, count, chunk):
            some = slice(start, start + chunk)
            base = self._base(rng, part, spatial[some])
            pixels[some] = base[np.arange(len(base))[:, None, None], order[some]]
        pixels = pixels.reshape(count * orders, self.frames, 1, CANVAS, CANVAS)
        return Clips(pixels, np.repeat(spatial, orders), temporal.reshape(-1))


def stamp(sprites: Pixels, top: Indices, left: Indices, first_erased: Indices | int = 0, erased: int = 0) -> Pixels:
    """Sprites [n, 16, 16], each into F frames of its own on a torus: [n, F, 32, 32], zero elsewhere.

    top, left, first_erased: broadcast to [n, F] px; where the sprite begins, and the first of its ``erased`` rows that
    are missing. Gathered by index: rendering must cost next to nothing beside training a very small network.
    """
    count = len(sprites)
    rows = np.zeros((count, SPRITE + 1, 2 * CANVAS), np.float32)  # one blank row below, each row twice around the torus
    rows[:, :SPRITE, :SPRITE] = sprites
    rows[:, :SPRITE, CANVAS : CANVAS + SPRITE] = sprites
    row = (np.arange(CANVAS) - top[..., None]) % CANVAS  # [n, F, 32]: the sprite's row that each canvas row shows
    first = np.asarray(first_erased)[..., None]
    row = np.where((row >= first) & (row < first + erased), SPRITE, np.minimum(row, SPRITE))
    sprite = np.arange(count).reshape(count, 1, 1)
    start = (sprite * (SPRITE + 1) + row) * 2 * CANVAS + (-left % CANVAS)[..., None]
    return sliding_window_view(rows.reshape(-1), CANVAS)[start]


def shuffled(clips: Clips, rng: np.random.Generator, temporal_classes: int) -> Clips:
    """Control without the order: each base clip of ``judged`` once, its frames in a random order, labels kept. Of base
    clip i the one in class i mod temporal_classes is taken, so that all classes are equally frequent."""
    base = np.arange(len(clips) // temporal_classes)
    chosen = base * temporal_classes + base % temporal_classes
    order = rng.permuted(np.tile(np.arange(clips.pixels.shape[1]), (len(base), 1)), axis=1)
    return Clips(clips.pixels[chosen[:, None], order], clips.spatial[chosen], clips.temporal[chosen])


def one_frame(clips: Clips, rng: np.random.Generator) -> Clips:
    """Control with one frame of each clip, every one equally likely: [N, 1, 1, H, W]; labels kept."""
    count, frames = clips.pixels.shape[:2]
    chosen = rng.integers(0, frames, count)
    return Clips(clips.pixels[np.arange(count), chosen][:, None], clips.spatial, clips.temporal)
