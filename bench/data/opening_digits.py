"""``opening_digits``: a handwritten digit stands behind a door; which digit, and does the door open or close?

The spatial class is the digit (10). The temporal class is opening (0) or closing (1), the paper's own example: closing
is the frames of opening in reverse order. A single frame says how far the door is open, never which way it moves; and
as every clip goes the whole way, so do all its frames together: a network without exchange between frames stays at
chance, 50 %.

The door is a piece of a real photograph that fills the canvas. It slides away to one of the four sides, or parts in the
middle in one of two directions. It moves at every step, and by steps of random length.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.data.clips import CANVAS, ClipDataset, stamp
from bench.data.images import FRAMES, SPRITE, Indices, Labels, Pixels, Sources
from bench.spec.training import OpeningDigitsData

ORDERS: Labels = np.stack([np.arange(FRAMES), np.arange(FRAMES)[::-1]])  # opening, closing
OPEN = CANVAS // 2  # the steps between closed and open: a wing then went 1 px at each of them, a door in one piece 2 px
NEARLY = 1  # a clip begins at most this far from closed and ends at most this far from open
TO_BE_SEEN = 12  # of the sprite's 16 rows, or columns: so much of a digit is not hidden where one frame must show it
GREY = (0.25, 0.75)  # of the door, from the photographs' black to their white: never as dark as what is behind it

_Steps = Callable[[Indices, Indices], Indices]
"""How far doors are open [n, F]; given top [n, F], where the digits begin, and way [n], an index of ``_SHOWN``."""


@dataclass(frozen=True)
class OpeningDigits(ClipDataset):
    """The data set: digits behind doors of photographs."""

    how_hard: OpeningDigitsData

    temporal_classes: ClassVar[int] = len(ORDERS)

    def _single(self, rng: np.random.Generator, labels: Labels, hard: bool) -> Pixels:
        """A digit anywhere. Hard: as in the clips, with the door open so far, at random, that enough of it is seen."""
        if not hard:
            return self._render(rng, self.train, labels, 1, None)
        return self._render(rng, self.train, labels, 1, lambda top, way: rng.integers(_enough(top, way), OPEN + 1))

    def _order(self, rng: np.random.Generator, temporal: Labels) -> Indices:
        return ORDERS[temporal].astype(np.intp)

    def _base(self, rng: np.random.Generator, part: Sources, spatial: Labels) -> Pixels:
        """The frames as the door opens."""
        return self._render(rng, part, spatial, FRAMES, lambda top, way: _openings(rng, len(spatial)))

    def _render(
        self, rng: np.random.Generator, sources: Sources, spatial: Labels, frames: int, steps: _Steps | None
    ) -> Pixels:
        """Digits behind doors that are open by ``steps``, with noise; None: without door and noise. [n, F, 32, 32]

        All is laid so that the door moves up or down; ``turned`` ones are flipped about their diagonal.
        """
        how, count = self.how_hard, len(spatial)
        turned = rng.integers(0, 2, count).astype(np.bool_)
        sprites = _upright(sources.sprites(rng, spatial, how.lowest_contrast), turned)
        jitter, room = how.jitter, CANVAS - SPRITE
        place = rng.integers(jitter, room - jitter + 1, (2, count, 1))  # jittered, it is still on the canvas
        top, left = place + rng.integers(-jitter, jitter + 1, (2, count, frames))
        door = sources.textures(rng, count, CANVAS, GREY)
        way = rng.integers(0, len(_SHOWN), count)
        visible = stamp(sprites, top, left)
        if steps is None:
            return _upright(visible, turned)
        rows = _SHOWN[way[:, None], steps(top, way)]  # [n, F, 32]: the door's row that each canvas row shows
        moved = door[np.arange(count)[:, None, None], rows]
        visible = _upright(np.where((rows == _GONE)[..., None], visible, moved), turned)
        noisy = rng.standard_normal(visible.shape, dtype=np.float32)
        noisy *= how.noise
        noisy += visible
        return noisy


def _upright(pictures: Pixels, turned: NDArray[np.bool_]) -> Pixels:
    """Those pictures [n, …, side, side] that are turned flipped about their diagonal, in place."""
    pictures[turned] = pictures[turned].swapaxes(-1, -2)
    return pictures


_GONE = -1  # a canvas row that shows no row of the door


def _all_shown() -> Indices:
    """The door's row that each canvas row shows, [3, 17, 32]: it goes up, goes down or parts, by 0 … 16 steps."""
    row, step = np.arange(CANVAS), np.arange(OPEN + 1)[:, None]
    upper = row < CANVAS // 2
    up, down, parting = row + 2 * step, row - 2 * step, np.where(upper, row + step, row - step)
    there = [up < CANVAS, down >= 0, (parting < CANVAS // 2) == upper]
    return np.where(there, [up, down, parting], _GONE).astype(np.intp)


_SHOWN = _all_shown()


def _openings(rng: np.random.Generator, count: int) -> Indices:
    """How far each door is open in each frame, [count, 8], from 0 to ``OPEN``: it never rests and never turns back."""
    between = np.arange(NEARLY + 1, OPEN - NEARLY)
    inner = rng.permuted(np.tile(between, (count, 1)), axis=1)[:, : FRAMES - 2]
    first = rng.integers(0, NEARLY + 1, (count, 1))
    last = OPEN - rng.integers(0, NEARLY + 1, (count, 1))
    return np.concatenate([first, np.sort(inner, axis=1), last], axis=1)


def _enough(top: Indices, way: Indices) -> Indices:
    """From how many steps on the door leaves ``TO_BE_SEEN`` rows of each digit free, [n, F]."""
    free = np.cumsum(_SHOWN == _GONE, axis=2)  # [3, 17, 32]: uncovered canvas rows up to this one
    free = np.concatenate([np.zeros_like(free[..., :1]), free], axis=2)
    begins = top[..., None]
    before, after = (free[way[:, None, None], np.arange(OPEN + 1), row] for row in (begins, begins + SPRITE))
    steps_needed: Indices = np.argmax(after - before >= TO_BE_SEEN, axis=-1)
    return steps_needed
