"""What every data set of the accuracy experiment gives: single frames to pre-train on, labelled clips to tell apart.

``shuffled`` and ``one_frame`` take from clips what the controls take away: the order of the frames, and all frames but
one.
"""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from bench.data.arrays import Labels, Pixels


@dataclass(frozen=True)
class Frames:
    """Single frames [N, 1, H, W] and the spatial class of each [N]."""

    pixels: Pixels
    spatial: Labels


@dataclass(frozen=True)
class Clips:
    """Clips [N, T, 1, H, W] and the two classes of each [N]: what is seen, and how it moves."""

    pixels: Pixels
    spatial: Labels
    temporal: Labels

    def __len__(self) -> int:
        return len(self.spatial)


class Dataset(Protocol):
    """A source of fresh frames and clips; all randomness comes from the generator that the caller passes.

    frames: T, the frames in a clip. Training, validation and test share no source image. The clips to judge by come in
    all temporal classes: with K = temporal_classes, clip i * K + k is base clip i in class k, the same frames as in
    every other class.
    """

    spatial_classes: ClassVar[int]
    temporal_classes: ClassVar[int]
    frames: ClassVar[int]

    def single_frames(self, rng: np.random.Generator, count: int, hard: bool) -> Frames:
        """``count`` training frames. ``hard``: as disturbed as a frame of a clip."""
        ...

    def clips(self, rng: np.random.Generator, count: int) -> Clips:
        """``count`` training clips, each of a random class."""
        ...

    def validation_clips(self, rng: np.random.Generator, count: int) -> Clips:
        """``count`` base clips of the validation images, each in all temporal classes: count * K clips."""
        ...

    def test_clips(self, rng: np.random.Generator, count: int) -> Clips:
        """``count`` base clips of the test images, each in all temporal classes: count * K clips."""
        ...


def shuffled(clips: Clips, rng: np.random.Generator, temporal_classes: int) -> Clips:
    """Each base clip once, its frames in a random order, the right one included; the labels stay as they were.

    clips: N = n * temporal_classes of them, as ``Dataset.test_clips`` gives them. Of base clip i the one in class
    i mod temporal_classes is taken, so that all classes are asked for equally often: n clips.
    """
    base = np.arange(len(clips) // temporal_classes)
    chosen = base * temporal_classes + base % temporal_classes
    in_turn = np.arange(clips.pixels.shape[1])
    order = rng.permuted(np.tile(in_turn, (len(base), 1)), axis=1)
    return Clips(clips.pixels[chosen[:, None], order], clips.spatial[chosen], clips.temporal[chosen])


def one_frame(clips: Clips, rng: np.random.Generator) -> Clips:
    """One frame of each clip, every one equally likely, as clips of a single frame [N, 1, 1, H, W]; labels kept."""
    count, frames = clips.pixels.shape[:2]
    chosen = rng.integers(0, frames, count)
    return Clips(clips.pixels[np.arange(count), chosen][:, None], clips.spatial, clips.temporal)
