"""Temporal classes as orders of the same frames: a base clip is rendered once, and shown in the order of each class.

So a temporal class differs from another in nothing but the order, jitter and noise included: no function of a single
frame, and none that ignores the order, can tell them apart.
"""

from collections.abc import Callable, Iterator

import numpy as np

from bench.data.arrays import Indices, Labels, Pixels
from bench.data.clips import Clips
from bench.data.sprites import CANVAS

CHUNK_FRAMES = 512  # rendered at once: 2 MB, so that all passes over them stay in the processor's cache


def in_orders(render: Callable[[Labels], Pixels], spatial: Labels, temporal: Labels, shown: Indices) -> Clips:
    """Base clips of the classes spatial [n], each in the orders of the classes temporal [n, k]: n * k clips.

    render: some of ``spatial`` -> their frames [m, T, 32, 32]. shown [n, k, T]: which of them stands at each time.
    """
    count, orders, frames = shown.shape
    pixels = np.empty((count, orders, frames, CANVAS, CANVAS), np.float32)
    for part in chunks(count, CHUNK_FRAMES // frames):
        base = render(spatial[part])
        pixels[part] = base[np.arange(len(base))[:, None, None], shown[part]]
    pixels = pixels.reshape(count * orders, frames, 1, CANVAS, CANVAS)
    return Clips(pixels, np.repeat(spatial, orders), temporal.reshape(-1))


def chunks(count: int, size: int) -> Iterator[slice]:
    """0 … count in pieces of at most ``size``."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
