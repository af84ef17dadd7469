"""How sprites are stamped on a torus.

Everything is gathered by index, many frames at once, because the data must cost next to nothing beside the training of
a very small network.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bench.data.arrays import Indices, Pixels
from bench.data.digits import SPRITE

CANVAS = 32  # px; two sprites fit one above the other without hiding each other


def stamp(sprites: Pixels, top: Indices, left: Indices, first_erased: Indices | int = 0, erased: int = 0) -> Pixels:
    """Sprites [n, 16, 16], each into F frames of its own on a torus: [n, F, 32, 32], zero elsewhere.

    top, left, first_erased: broadcast to [n, F] px; where the sprite begins, and the first of the ``erased`` rows of
    the sprite that are missing.
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
