"""``cluttered_digits``: real handwritten digits that move over real photographs, seen through a poor camera.

To be found: each digit's box and class. Motion blur, a defocus that changes from frame to frame, bars that objects
pass behind, noise and clutter (scrambled digits, which move too and are nothing) make single frames ambiguous, and
several frames less so. Objects are slow, medium and fast in equal parts and are reflected at the edges. Where digits
cross, their ink adds up, and the one that was drawn first counts as hidden.

A box is that of the digit's ink in the middle of the exposure. A digit of which less than ``SEEN`` shows in a frame is
not asked for there: finding it is neither right nor wrong. A frame may hold nothing to be found.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torchvision.ops import box_iou

from bench.data.images import DIGITS, FRAMES, SPRITE, Dataset, Indices, Labels, Pixels, Sources, version_of
from bench.spec.training import ClutteredDigitsData

Boxes = NDArray[np.float32]

SIZE = 64  # px
SEEN = 0.25  # of a digit's ink, to be asked for
SLOW_ABOVE, FAST_BELOW = 0.9, 0.7  # motion IoU

_SLIVER = 1.0  # px: what the edge leaves less of is not asked for
_INK = 0.1  # of the brightest: what counts as part of a digit
_PACES = ((0.0, 0.12), (0.2, 0.45), (1.0, None))  # px a frame: slow, medium and fast boxes of digits; None: fastest
_GREY, _BAR = (0.05, 0.5), (0.2, 0.6)  # background and bars: the photographs' black and white
_BAR_WIDTH = (5, 10)  # px
_SMEAR_STEP = 0.7  # px between two copies of a moving sprite
_FOCUSED = 0.3  # px: a blur below this is none


@dataclass(frozen=True)
class Scenes:
    """Clips [N, T, 1, 64, 64], about 0…1, and what is to be found in them. For each of M objects: clip [M], which it is
    in; labels [M], 0…9; boxes [M, T, 4], x1, y1, x2, y2 in px; seen [M, T], the share of its ink that shows."""

    pixels: Pixels
    clip: Indices
    labels: Labels
    boxes: Boxes
    seen: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def asked(self) -> NDArray[np.bool_]:
        """What is to be found [M, T]: objects that are seen, and lie in the frame with more than a sliver."""
        sides = self.within[..., 2:] - self.within[..., :2]
        there: NDArray[np.bool_] = (sides >= _SLIVER).all(axis=-1) & (self.seen >= SEEN)
        return there

    @property
    def within(self) -> Boxes:
        """The boxes [M, T, 4], cut off at the frame's edges; of no area where an object is outside."""
        height, width = self.pixels.shape[-2:]
        return np.clip(self.boxes, 0, np.array([width, height, width, height], np.float32))

    @property
    def speeds(self) -> NDArray[np.intp]:
        """Of each object [M]: an index of ``store.samples.SPEEDS``."""
        motion = motion_iou(self.boxes)
        return np.where(motion > SLOW_ABOVE, 0, np.where(motion < FAST_BELOW, 2, 1))

    def objects(self, clip: int) -> Indices:
        """The numbers of a clip's objects."""
        return np.flatnonzero(self.clip == clip)

    def batches(self, size: int) -> "Iterator[Scenes]":
        """The same, ``size`` clips at a time."""
        for first in range(0, len(self), size):
            own = (self.clip >= first) & (self.clip < first + size)
            objects = (self.labels[own], self.boxes[own], self.seen[own])
            yield Scenes(self.pixels[first : first + size], self.clip[own] - first, *objects)


@dataclass(frozen=True)
class ClutteredDigits(Dataset):
    """The data set; the parts share no image."""

    how_hard: ClutteredDigitsData

    def scenes(self, rng: np.random.Generator, count: int, part: str = "train", frames: int = FRAMES) -> Scenes:
        """``count`` fresh clips of ``frames`` frames; part: train, validation or test."""
        sources: Sources = getattr(self, part)
        pixels, labels, boxes, seen = zip(*(self._clip(rng, sources, frames) for _ in range(count)), strict=True)
        clip = np.repeat(np.arange(count), [len(own) for own in labels])
        return Scenes(np.stack(pixels)[:, :, None], clip, *map(np.concatenate, (labels, boxes, seen)))

    def _clip(
        self, rng: np.random.Generator, sources: Sources, frames: int
    ) -> tuple[Pixels, Labels, Boxes, NDArray[np.float32]]:
        """Pixels [T, 64, 64], and labels [K], boxes [K, T, 4] and seen [K, T] of what is to be found."""
        how = self.how_hard
        count, extra = int(rng.integers(1, how.objects + 1)), int(rng.integers(0, how.clutter + 1))
        labels = rng.integers(0, DIGITS, count)
        digits = sources.sprites(rng, labels, how.lowest_contrast)
        clutter = sources.sprites(rng, rng.integers(0, DIGITS, extra), how.lowest_contrast, scrambled=True)
        sprites = np.concatenate([clutter, digits])  # clutter hides nothing that is to be found
        paths = [_path(rng, how, frames) for _ in sprites]
        bars, masked = _bars(rng, sources, how.bars)
        pixels = np.repeat(_texture(rng, sources, _GREY)[None], frames, axis=0)
        seen = np.ones((len(sprites), frames), np.float32)
        for t in range(frames):
            inks = [_smeared(sprite, path[0][t], path[-1][t]) for sprite, path in zip(sprites, paths, strict=True)]
            for ink in inks:
                pixels[t] += ink * (1.0 - pixels[t])  # ink is white, as on a slide
            hidden = masked.copy()
            for number, ink in reversed(list(enumerate(inks))):  # what lies above hides what is below
                seen[number, t] = 1.0 - float((ink * hidden).sum() / max(ink.sum(), 1e-6))
                hidden = np.maximum(hidden, np.minimum(2 * ink, 1.0))
            pixels[t] = np.where(masked > 0, bars, pixels[t])
            blur = rng.uniform(0, how.defocus)
            if blur > _FOCUSED:
                pixels[t] = gaussian_filter(pixels[t], blur)
        pixels += how.noise * rng.standard_normal(pixels.shape, dtype=np.float32)
        boxes = np.stack([_boxes(sprite, path[1]) for sprite, path in zip(digits, paths[extra:], strict=True)])
        return pixels, labels, boxes, seen[extra:]


def _path(rng: np.random.Generator, how: ClutteredDigitsData, frames: int) -> list[NDArray[np.float64]]:
    """Where a sprite's corner is, [T, 2] as y, x in px: when the shutter opens, in the middle, when it closes."""
    low, high = _PACES[rng.integers(0, len(_PACES))]
    speed = rng.uniform(low, max(low, how.fastest) if high is None else high)
    way = rng.uniform(0, 2 * np.pi)
    start, velocity = rng.uniform(0, SIZE - SPRITE, 2), speed * np.array([np.sin(way), np.cos(way)])
    times = np.arange(frames)[:, None]
    half, room = how.exposure / 2, SIZE - SPRITE
    endless = (start + velocity * (times + shift) for shift in (-half, 0.0, half))
    return [room - np.abs(place % (2 * room) - room) for place in endless]  # reflected at both ends


def _smeared(sprite: Pixels, before: NDArray[np.float64], after: NDArray[np.float64]) -> Pixels:
    """A sprite on an empty frame [64, 64], averaged along its way while the shutter is open."""
    copies = 1 + int(np.ceil(np.abs(after - before).max() / _SMEAR_STEP))
    ink = np.zeros((SIZE + 1, SIZE + 1), np.float32)
    for y, x in before + (after - before) * np.linspace(0, 1, copies)[:, None]:
        top, left = int(y), int(x)
        down, right = np.float32(y - top), np.float32(x - left)
        for dy, wy in ((0, 1 - down), (1, down)):
            for dx, wx in ((0, 1 - right), (1, right)):
                if wy * wx > 0:
                    ink[top + dy : top + dy + SPRITE, left + dx : left + dx + SPRITE] += wy * wx / copies * sprite
    return ink[:SIZE, :SIZE]


def _boxes(sprite: Pixels, corner: NDArray[np.float64]) -> Boxes:
    """The box of the ink in each frame, [T, 4] as x1, y1, x2, y2; corner: the sprite's [T, 2]."""
    rows, columns = (np.flatnonzero((sprite > _INK * sprite.max()).any(axis=axis)) for axis in (1, 0))
    y, x = corner[:, 0], corner[:, 1]
    return np.stack([x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1], axis=1).astype(np.float32)


def _texture(rng: np.random.Generator, sources: Sources, grey: tuple[float, float]) -> Pixels:
    """A piece of a photograph, enlarged to a frame [64, 64]."""
    piece = sources.textures(rng, 1, SIZE // 2, grey)[0]
    return np.kron(piece, np.ones((2, 2), np.float32))


def _bars(rng: np.random.Generator, sources: Sources, most: int) -> tuple[Pixels, Pixels]:
    """Bars across the frame: what they look like, and where they are (1) [64, 64]."""
    masked = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(int(rng.integers(0, most + 1))):
        width = int(rng.integers(*_BAR_WIDTH))
        first = int(rng.integers(0, SIZE - width))
        lines = masked if rng.integers(0, 2) else masked.T
        lines[first : first + width] = 1
    return _texture(rng, sources, _BAR), masked


def motion_iou(boxes: Boxes) -> NDArray[np.float64]:
    """Of boxes [M, T, 4]: each box's IoU with the object's other boxes, averaged to [M]; 1 for a clip of one frame.
    ImageNet-VID looks at most ten frames either way; a clip has eight. Boxes of no area meet nothing."""
    others = ~np.eye(boxes.shape[1], dtype=np.bool_)
    if not others.any():
        return np.ones(len(boxes))
    of_objects = [box_iou(own, own).nan_to_num().numpy()[others].mean() for own in torch.from_numpy(boxes).double()]
    return np.array(of_objects, np.float64)


def data_version(data: ClutteredDigitsData) -> str:
    """A short hash of parameters and of what is really rendered."""
    dataset, rng = ClutteredDigits.sample(data)
    arrays: list[NDArray[Any]] = []
    for part in ("train", "validation", "test"):
        scenes = dataset.scenes(rng, 6, part)
        pixels, seen = (sums.round(4) for sums in (scenes.pixels, scenes.seen))  # whose last digits differ by processor
        arrays += [pixels, scenes.clip, scenes.labels, scenes.boxes, seen]
    return version_of(data.model_dump(mode="json"), arrays, with_types=False)
