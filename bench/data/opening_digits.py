"""``opening_digits``: a handwritten digit stands behind a door; which digit, and does the door open or close?

The spatial class is the digit (10). The temporal class is opening (0) or closing (1), the paper's own example: closing
is the frames of opening in reverse order, rendered once, jitter and noise included. A single frame says how far the
door is open, never which way it moves; and as every clip goes the whole way, from (nearly) closed to (nearly) open or
back, so do all its frames together: a network without exchange between frames stays at chance, 50 %.

The door is a piece of a real photograph that fills the canvas. It slides away to one of the four sides, or parts in the
middle in one of two directions. It moves at every step, and by steps of random length.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.data.arrays import Indices, Labels, Pixels
from bench.data.clips import Clips, Frames
from bench.data.digits import DIGITS, SPRITE, DigitPool, split_digits
from bench.data.orders import CHUNK_FRAMES, chunks, in_orders
from bench.data.photographs import Textures, split_photographs
from bench.data.sprites import CANVAS, stamp
from bench.spec.settings import Data, OpeningDigitsData, Recipe

FRAMES = 8
ORDERS: Labels = np.stack([np.arange(FRAMES), np.arange(FRAMES)[::-1]])  # opening, closing
OPEN = CANVAS // 2  # the steps between closed and open: a wing then went 1 px at each of them, a door in one piece 2 px
NEARLY = 1  # a clip begins at most this far from closed and ends at most this far from open
TO_BE_SEEN = 12  # of the sprite's 16 rows, or columns: so much of a digit is not hidden where one frame must show it

_GREY = (0.25, 0.75)  # of the door, from the photographs' black to their white: never as dark as what is behind it


@dataclass(frozen=True)
class Sources:
    """What the frames of one part are made of."""

    digits: DigitPool
    doors: Textures


@dataclass(frozen=True)
class OpeningDigits:
    """The data set: digits and photographs for training, validation and test, disjoint."""

    train: Sources
    validation: Sources
    test: Sources
    how_hard: OpeningDigitsData

    spatial_classes: ClassVar[int] = DIGITS
    temporal_classes: ClassVar[int] = len(ORDERS)
    frames: ClassVar[int] = FRAMES

    @classmethod
    def split(cls, recipe: Recipe, data: Data, seed: int) -> "OpeningDigits":
        """scikit-learn's digits and photographs in the shares of ``recipe``.

        Raises ValueNotAllowed where a part would stay without a digit or without a piece of a photograph.
        """
        shares = (recipe.train_share, recipe.validation_share)
        pairs = zip(split_digits(*shares, seed), split_photographs(*shares, seed), strict=True)
        train, validation, test = (Sources(*pair) for pair in pairs)
        return cls(train, validation, test, data.opening_digits)

    def single_frames(self, rng: np.random.Generator, count: int, hard: bool) -> Frames:
        """Frames [count, 1, 32, 32] with a digit anywhere. Hard: as in the clips, with the door open so far, at
        random, that 12 of the sprite's 16 rows or columns are seen, or all of them."""
        pixels = np.empty((count, 1, CANVAS, CANVAS), np.float32)
        labels = rng.integers(0, DIGITS, count)
        for part in chunks(count, CHUNK_FRAMES):
            scene = self._scene(rng, self.train, labels[part], frames=1)
            if hard:
                openness = rng.integers(_enough(scene), OPEN + 1)
                pixels[part] = self._show(rng, scene, openness)
            else:
                pixels[part] = _upright(stamp(scene.sprites, scene.top, scene.left), scene.turned)
        return Frames(pixels, labels)

    def clips(self, rng: np.random.Generator, count: int) -> Clips:
        """Clips [count, 8, 1, 32, 32] of the training digits and doors, each opening or closing at random."""
        temporal = rng.integers(0, len(ORDERS), (count, 1))
        return self._in_orders(rng, self.train, temporal)

    def validation_clips(self, rng: np.random.Generator, count: int) -> Clips:
        """``count`` base clips of the validation digits and doors, opening, then closing: 2 * count clips."""
        return self._in_orders(rng, self.validation, np.tile(np.arange(len(ORDERS)), (count, 1)))

    def test_clips(self, rng: np.random.Generator, count: int) -> Clips:
        """``count`` base clips of the test digits and doors, each opening, then closing: 2 * count clips."""
        return self._in_orders(rng, self.test, np.tile(np.arange(len(ORDERS)), (count, 1)))

    def _in_orders(self, rng: np.random.Generator, sources: Sources, temporal: Labels) -> Clips:
        spatial = rng.integers(0, DIGITS, len(temporal))
        return in_orders(partial(self._opening, rng, sources), spatial, temporal, ORDERS[temporal])

    def _opening(self, rng: np.random.Generator, sources: Sources, spatial: Labels) -> Pixels:
        """The eight frames of each clip as the door opens, [n, 8, 32, 32]."""
        scene = self._scene(rng, sources, spatial, FRAMES)
        return self._show(rng, scene, _openings(rng, len(spatial)))

    def _scene(self, rng: np.random.Generator, sources: Sources, spatial: Labels, frames: int) -> "_Scene":
        count, jitter = len(spatial), self.how_hard.jitter
        turned = rng.integers(0, 2, count).astype(np.bool_)
        sprites = _upright(sources.digits.draw(rng, spatial, self.how_hard.lowest_contrast), turned)
        place = rng.integers(jitter, CANVAS - SPRITE - jitter + 1, (2, count, 1))  # jittered, it is still on the canvas
        top, left = place + rng.integers(-jitter, jitter + 1, (2, count, frames))
        low, high = _GREY
        door = (low + (high - low) * sources.doors.draw(rng, count, CANVAS)).astype(np.float32)
        return _Scene(sprites, top, left, door, rng.integers(0, len(_SHOWN), count), turned)

    def _show(self, rng: np.random.Generator, scene: "_Scene", openness: Indices) -> Pixels:
        """The scene with its door open by openness [n, F] steps, and noise: [n, F, 32, 32]."""
        rows = _SHOWN[scene.way[:, None], openness]  # [n, F, 32]: the door's row that each canvas row shows
        door = scene.door[np.arange(len(scene.door))[:, None, None], rows]
        visible = np.where((rows == _GONE)[..., None], stamp(scene.sprites, scene.top, scene.left), door)
        frames = rng.standard_normal(visible.shape, dtype=np.float32)
        frames *= self.how_hard.noise
        frames += _upright(visible, scene.turned)
        return frames


@dataclass(frozen=True)
class _Scene:
    """What n clips show, laid so that the door moves up or down; ``turned`` ones are flipped about their diagonal.

    sprites [n, 16, 16], already flipped where the clip will be. top, left [n, F] px. door [n, 32, 32]. way [n]: how
    the door opens, an index of ``_SHOWN``.
    """

    sprites: Pixels
    top: Indices
    left: Indices
    door: Pixels
    way: Indices
    turned: NDArray[np.bool_]


def _upright(images: Pixels, turned: NDArray[np.bool_]) -> Pixels:
    """Those images [n, …, side, side] that are turned flipped about their diagonal, in place."""
    images[turned] = images[turned].swapaxes(-1, -2)
    return images


_GONE = -1  # a canvas row that shows no row of the door


def _all_shown() -> Indices:
    """The door's row that each canvas row shows, [3, 17, 32]: it goes up, goes down or parts, by 0 … 16 steps."""
    row, step = np.arange(CANVAS), np.arange(OPEN + 1)[:, None]
    up, down = row + 2 * step, row - 2 * step
    upper = row < CANVAS // 2
    parting = np.where(upper, row + step, row - step)
    parting = np.where((parting < CANVAS // 2) == upper, parting, _GONE)
    shown = np.stack([np.where(up < CANVAS, up, _GONE), np.where(down >= 0, down, _GONE), parting])
    return shown.astype(np.intp)


_SHOWN = _all_shown()


def _openings(rng: np.random.Generator, count: int) -> Indices:
    """How far each door is open in each frame, [count, 8], from 0 to ``OPEN``: it never rests and never turns back."""
    between = np.arange(NEARLY + 1, OPEN - NEARLY)
    inner = rng.permuted(np.tile(between, (count, 1)), axis=1)[:, : FRAMES - 2]
    first = rng.integers(0, NEARLY + 1, (count, 1))
    last = OPEN - rng.integers(0, NEARLY + 1, (count, 1))
    return np.concatenate([first, np.sort(inner, axis=1), last], axis=1)


def _enough(scene: _Scene) -> Indices:
    """From how many steps on the door hides no more of each digit than it may, [n, F]."""
    free = np.cumsum(_SHOWN == _GONE, axis=2)  # [3, 17, 32]: uncovered canvas rows up to this one
    free = np.concatenate([np.zeros_like(free[..., :1]), free], axis=2)
    way = scene.way[:, None, None]
    steps = np.arange(OPEN + 1)
    seen = free[way, steps, scene.top[..., None] + SPRITE] - free[way, steps, scene.top[..., None]]
    steps_needed: Indices = np.argmax(seen >= TO_BE_SEEN, axis=-1)
    return steps_needed
