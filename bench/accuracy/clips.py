"""What every data set of the accuracy experiment gives: single frames to pre-train on, labelled clips to tell apart."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.float32]
Labels = NDArray[np.int64]


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

    frames: T, the frames in a clip. Training draws and test clips share no source image.
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

    def test_clips(self, rng: np.random.Generator, count: int) -> Clips:
        """``count`` base clips, each in all temporal classes: clip i * temporal_classes + k is base clip i, class k."""
        ...
