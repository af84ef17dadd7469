"""``cluttered_digits``: real handwritten digits that move over real photographs, seen through a poor camera.

To be found: each digit's box and class. What makes single frames ambiguous, and several frames less so: motion blur
(an exposure that lasts), a defocus that changes from frame to frame, bars that objects pass behind, noise, and clutter:
scrambled digits, which move too and are nothing. Objects are slow, medium and fast in equal parts and are
reflected at the edges. Where digits cross, their ink adds up, and the one that was drawn first counts as hidden.

A box is that of the digit's ink in the middle of the exposure. A digit of which less than ``SEEN`` shows in a frame is
not asked for there: finding it is neither right nor wrong. A frame may hold nothing to be found.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from bench.data.arrays import Indices, Labels, Pixels
from bench.data.digits import DIGITS, SPRITE, DigitPool, split_digits
from bench.data.photographs import BLOCK, Textures, split_photographs
from bench.data.speed import Boxes, groups_of, motion_iou
from bench.spec.detection_settings import ClutteredDigitsData, DetectionRecipe

SIZE = 64  # px
FRAMES = 8
SEEN = 0.25  # of a digit's ink, to be asked for

_SLIVER = 1.0  # px: what the edge leaves less of is not asked for
_INK = 0.1  # of the brightest: what counts as part of a digit
_PACES = ((0.0, 0.12), (0.2, 0.45), (1.0, None))  # px a frame: slow, medium and fast boxes of digits; None: fastest
_SAMPLE, _SAMPLE_SEED = 6, 4
_ROUNDED = 4  # decimals: a blur is a sum whose last digits differ between processors
_DIGITS_OF_VERSION = 12
_GREY = (0.05, 0.5)  # of the background, from the photographs' black to their white
_BAR = (0.2, 0.6)
_BAR_WIDTH = (5, 10)  # px
_SMEAR_STEP = 0.7  # px between two copies of a moving sprite
_FOCUSED = 0.3  # px: a blur below this is none


@dataclass(frozen=True)
class Scenes:
    """Clips and what is to be found in them. pixels: [N, T, 1, 64, 64], about 0…1.

    For each of M objects: clip [M], the clip that it is in; labels [M], 0…9; boxes [M, T, 4], x1, y1, x2, y2 in px;
    seen [M, T]: the share of its ink that shows.
    """

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
        """Of each object [M]: an index of ``speed.SPEEDS``."""
        return groups_of(motion_iou(self.boxes))

    def objects(self, clip: int) -> Indices:
        """The numbers of a clip's objects."""
        return np.flatnonzero(self.clip == clip)


@dataclass(frozen=True)
class Sources:
    """What the scenes of one part are made of."""

    digits: DigitPool
    textures: Textures


@dataclass(frozen=True)
class ClutteredDigits:
    """The data set: digits and photographs for training, validation and test, disjoint."""

    train: Sources
    validation: Sources
    test: Sources
    how_hard: ClutteredDigitsData

    classes: ClassVar[int] = DIGITS
    frames: ClassVar[int] = FRAMES
    size: ClassVar[int] = SIZE

    @classmethod
    def split(cls, recipe: DetectionRecipe, data: ClutteredDigitsData, seed: int) -> "ClutteredDigits":
        """scikit-learn's digits and photographs in the shares of ``recipe``. Raises ValueNotAllowed for an empty
        part."""
        shares = (recipe.train_share, recipe.validation_share)
        pairs = zip(split_digits(*shares, seed), split_photographs(*shares, seed), strict=True)
        train, validation, test = (Sources(*pair) for pair in pairs)
        return cls(train, validation, test, data)

    def scenes(self, rng: np.random.Generator, count: int, part: str = "train", frames: int = FRAMES) -> Scenes:
        """``count`` fresh clips of ``frames`` frames; part: train, validation or test."""
        sources: Sources = getattr(self, part)
        shown = [self._one(rng, sources, frames) for _ in range(count)]
        return Scenes(
            np.stack([pixels for pixels, _ in shown])[:, :, None],
            np.repeat(np.arange(count), [len(things.labels) for _, things in shown]),
            np.concatenate([things.labels for _, things in shown]),
            np.concatenate([things.boxes for _, things in shown]),
            np.concatenate([things.seen for _, things in shown]),
        )

    def _one(self, rng: np.random.Generator, sources: Sources, frames: int) -> "tuple[Pixels, _Things]":
        how = self.how_hard
        count, clutter = int(rng.integers(1, how.objects + 1)), int(rng.integers(0, how.clutter + 1))
        labels = rng.integers(0, DIGITS, count)
        digits = sources.digits.draw(rng, labels, how.lowest_contrast)
        rubbish = sources.digits.draw_scrambled(rng, rng.integers(0, DIGITS, clutter), how.lowest_contrast)
        sprites = np.concatenate([rubbish, digits])  # clutter hides nothing that is to be found
        paths = [_path(rng, how.fastest, frames, how.exposure) for _ in sprites]
        bars, masked = _bars(rng, sources.textures, how.bars)
        canvas = _between(_GREY, _texture(rng, sources.textures))
        pixels = np.repeat(canvas[None], frames, axis=0)
        seen = np.ones((len(sprites), frames), np.float32)
        for t in range(frames):
            layers = [
                _smeared(sprite, path.before[t], path.after[t]) for sprite, path in zip(sprites, paths, strict=True)
            ]
            for layer in layers:
                pixels[t] += layer * (1.0 - pixels[t])  # ink is white, as on a slide
            hidden = masked.copy()
            for number in reversed(range(len(layers))):  # from the top: what lies above hides what is below
                ink = layers[number]
                seen[number, t] = 1.0 - float((ink * hidden).sum() / max(ink.sum(), 1e-6))
                hidden = np.maximum(hidden, np.minimum(2 * ink, 1.0))
            pixels[t] = np.where(masked > 0, bars, pixels[t])
            blur = rng.uniform(0, how.defocus)
            if blur > _FOCUSED:
                pixels[t] = gaussian_filter(pixels[t], blur)
        pixels += how.noise * rng.standard_normal(pixels.shape, dtype=np.float32)
        boxes = np.stack([_boxes(sprite, path) for sprite, path in zip(digits, paths[clutter:], strict=True)])
        return pixels, _Things(labels, boxes, seen[clutter:])


@dataclass(frozen=True)
class _Things:
    """What is to be found in one clip: labels [K], boxes [K, T, 4], seen [K, T]."""

    labels: Labels
    boxes: Boxes
    seen: NDArray[np.float32]


@dataclass(frozen=True)
class _Path:
    """Where a sprite's corner is, [T, 2] as y, x in px: when the shutter opens, in the middle, when it closes."""

    before: NDArray[np.float64]
    middle: NDArray[np.float64]
    after: NDArray[np.float64]


def _path(rng: np.random.Generator, fastest: float, frames: int, exposure: float) -> _Path:
    """A straight line, reflected at the edges, at a speed of one of the three groups."""
    low, high = _PACES[rng.integers(0, len(_PACES))]
    speed = rng.uniform(low, max(low, fastest) if high is None else high)
    way = rng.uniform(0, 2 * np.pi)
    start, velocity = rng.uniform(0, SIZE - SPRITE, 2), speed * np.array([np.sin(way), np.cos(way)])
    times = np.arange(frames)[:, None]
    half = exposure / 2
    return _Path(*(_reflected(start + velocity * (times + shift)) for shift in (-half, 0.0, half)))


def _reflected(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Into 0 … SIZE - SPRITE, as by mirrors at both ends."""
    room = SIZE - SPRITE
    folded: NDArray[np.float64] = room - np.abs(place % (2 * room) - room)
    return folded


def _smeared(sprite: Pixels, before: NDArray[np.float64], after: NDArray[np.float64]) -> Pixels:
    """A sprite on an empty frame [64, 64], averaged along its way while the shutter is open."""
    copies = 1 + int(np.ceil(np.abs(after - before).max() / _SMEAR_STEP))
    layer = np.zeros((SIZE + 1, SIZE + 1), np.float32)
    for y, x in before + (after - before) * np.linspace(0, 1, copies)[:, None] if copies > 1 else [before]:
        top, left = int(y), int(x)
        down, right = np.float32(y - top), np.float32(x - left)
        for dy, wy in ((0, 1 - down), (1, down)):
            for dx, wx in ((0, 1 - right), (1, right)):
                if wy * wx > 0:
                    layer[top + dy : top + dy + SPRITE, left + dx : left + dx + SPRITE] += wy * wx / copies * sprite
    return layer[:SIZE, :SIZE]


def _boxes(sprite: Pixels, path: _Path) -> Boxes:
    """The box of the ink in each frame, [T, 4] as x1, y1, x2, y2."""
    rows, columns = (np.flatnonzero((sprite > _INK * sprite.max()).any(axis=axis)) for axis in (1, 0))
    y, x = path.middle[:, 0], path.middle[:, 1]
    return np.stack([x + columns[0], y + rows[0], x + columns[-1] + 1, y + rows[-1] + 1], axis=1).astype(np.float32)


def _texture(rng: np.random.Generator, textures: Textures) -> Pixels:
    """A piece of a photograph, enlarged to a frame [64, 64]."""
    cut = BLOCK // 5 * 4
    piece = textures.draw(rng, 1, cut)[0]
    return np.kron(piece, np.ones((SIZE // cut, SIZE // cut), np.float32))


def _between(grey: tuple[float, float], texture: Pixels) -> Pixels:
    low, high = grey
    return (low + (high - low) * texture).astype(np.float32)


def _bars(rng: np.random.Generator, textures: Textures, most: int) -> tuple[Pixels, Pixels]:
    """Bars across the frame: what they look like, and where they are (1) [64, 64]."""
    masked = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(int(rng.integers(0, most + 1))):
        width = int(rng.integers(*_BAR_WIDTH))
        first = int(rng.integers(0, SIZE - width))
        if rng.integers(0, 2):
            masked[first : first + width] = 1
        else:
            masked[:, first : first + width] = 1
    return _between(_BAR, _texture(rng, textures)), masked


def data_version(data: ClutteredDigitsData) -> str:
    """A short hash of the data set: its parameters and what is really rendered, as ``accuracy.datasets`` has it."""
    digest = hashlib.sha256(json.dumps(data.model_dump(mode="json"), sort_keys=True).encode())
    dataset = ClutteredDigits.split(DetectionRecipe(train_share=0.6, validation_share=0.2), data, _SAMPLE_SEED)
    rng = np.random.default_rng(_SAMPLE_SEED)
    for part in ("train", "validation", "test"):
        scenes = dataset.scenes(rng, _SAMPLE, part)
        for array in (
            scenes.pixels.round(_ROUNDED),
            scenes.clip,
            scenes.labels,
            scenes.boxes,
            scenes.seen.round(_ROUNDED),
        ):
            digest.update(f"{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:_DIGITS_OF_VERSION]


def in_batches(scenes: Scenes, clips: int) -> Iterator[Scenes]:
    """The same, so many clips at a time."""
    for first in range(0, len(scenes), clips):
        last = min(first + clips, len(scenes))
        own = (scenes.clip >= first) & (scenes.clip < last)
        yield Scenes(
            scenes.pixels[first:last],
            scenes.clip[own] - first,
            scenes.labels[own],
            scenes.boxes[own],
            scenes.seen[own],
        )
