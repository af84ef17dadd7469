"""Grey textures cut from two real photographs that scikit-learn ships: a Chinese pagoda and a dahlia.

The photographs are cut into square blocks, and each block serves training, validation or the test alone: a texture
lies within one block, so no pixel of a test texture was ever seen in training.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import PureWindowsPath

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from sklearn.datasets import load_sample_images

from bench.data.arrays import Pixels
from bench.data.splits import split_by_class

PHOTOGRAPHS = ("china.jpg", "flower.jpg")
BLOCK = 40  # px of a halved photograph: 40 blocks in each, and room for 81 different textures of 32x32 within a block

_HALVE = 2  # px averaged each way: a door of 32 px then shows more than a patch of plain sky

_LEAST_CONTRAST = 0.2  # each block is stretched to the same contrast, but not so far that plain sky turns into grain


@dataclass(frozen=True)
class Textures:
    """Blocks of photographs to cut textures from: [B, 40, 40], 0…1."""

    blocks: Pixels

    def draw(self, rng: np.random.Generator, count: int, size: int) -> Pixels:
        """Random textures [count, size, size], each of them within one block."""
        cuts = sliding_window_view(self.blocks, (size, size), axis=(1, 2))
        block, top, left = (rng.integers(0, places, count) for places in cuts.shape[:3])
        return cuts[block, top, left]


def split_photographs(train_share: float, validation_share: float, seed: int) -> tuple[Textures, Textures, Textures]:
    """Textures for training, for validation and for the test: split by block, the same share of both photographs.

    Raises ValueNotAllowed where a part would be left without a block of either photograph.
    """
    blocks = photograph_blocks()
    flat = blocks.reshape(-1, BLOCK, BLOCK)
    names = [f"block of the photograph {name}" for name in PHOTOGRAPHS]
    labels = np.repeat(np.arange(len(names)), blocks.shape[1])
    train, validation, test = split_by_class(labels, names, train_share, validation_share, seed)
    return Textures(flat[train]), Textures(flat[validation]), Textures(flat[test])


@cache
def photograph_blocks() -> Pixels:
    """All blocks of each photograph [2, 40, 40, 40], from 0 to 1 each; what is left over at the edges is cut off.

    The greys are sums of whole numbers, so the values are the same on every machine.
    """
    bunch = load_sample_images()
    names = [PureWindowsPath(path).name for path in bunch.filenames]  # takes both kinds of slashes
    blocks = np.stack([_blocks(bunch.images[names.index(name)]) for name in PHOTOGRAPHS])
    darkest, lightest = (extreme(axis=(2, 3), keepdims=True) for extreme in (blocks.min, blocks.max))
    middle, contrast = (darkest + lightest) / 2, np.maximum(lightest - darkest, _LEAST_CONTRAST)
    stretched: Pixels = ((blocks - middle) / contrast + 0.5).astype(np.float32)
    stretched.flags.writeable = False
    return stretched


def _blocks(photograph: NDArray[np.uint8]) -> NDArray[np.float64]:
    """A photograph [H, W, 3], halved, in grey and in blocks [B, 40, 40] of 0…1."""
    side = BLOCK * _HALVE
    down, across = photograph.shape[0] // side, photograph.shape[1] // side
    whole = photograph[: down * side, : across * side]
    sums = whole.reshape(down, BLOCK, _HALVE, across, BLOCK, _HALVE, 3).sum(axis=(2, 5, 6), dtype=np.int64)
    greys: NDArray[np.float64] = sums.swapaxes(1, 2).reshape(-1, BLOCK, BLOCK) / (3 * _HALVE**2 * 255)
    return greys
