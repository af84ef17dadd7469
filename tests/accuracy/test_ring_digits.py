"""The data set keeps its promises: no leak from test to training, and no temporal class that a single frame tells."""

from dataclasses import replace

import numpy as np
import pytest

from bench.accuracy.datasets import MAKERS, open_dataset
from bench.accuracy.ring_digits import NOISE, ORDERS, POSITIONS, STEP, RingDigits
from bench.accuracy.sprites import _SCRAMBLES, BAND, CANVAS, DIGITS, SPRITE, no_band, split_digits, stamp
from bench.axes import DATASETS, ValueNotAllowed

SIX_SIGMA = 6 * NOISE  # what noise alone may reach


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_registry_matches_the_vocabulary() -> None:
    assert set(MAKERS) == set(DATASETS)
    assert open_dataset("ring_digits", 0.75, 0).frames == POSITIONS
    with pytest.raises(ValueNotAllowed, match="ring_digits"):
        open_dataset("no_such", 0.75, 0)


def test_split_is_disjoint_complete_and_stratified() -> None:
    train, test = split_digits(0.75, seed=3)
    assert not set(train.origins) & set(test.origins)
    assert len(set(train.origins) | set(test.origins)) == 1797
    shares = np.bincount(train.labels) / (np.bincount(train.labels) + np.bincount(test.labels))
    assert np.all(np.abs(shares - 0.75) < 0.01)


def test_split_depends_on_the_seed_alone() -> None:
    first, again, other = (split_digits(0.75, seed)[1].origins for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_neither_digit_nor_distractor_of_training_is_a_test_digit(dataset: RingDigits) -> None:
    blind = replace(dataset, train=replace(dataset.train, images=np.zeros_like(dataset.train.images)))
    assert np.abs(blind.clips(rng(), 50).pixels).max() < SIX_SIGMA
    assert np.abs(blind.single_frames(rng(), 50, hard=True).pixels).max() < SIX_SIGMA
    blind = replace(dataset, test=replace(dataset.test, images=np.zeros_like(dataset.test.images)))
    assert np.abs(blind.test_clips(rng(), 50).pixels).max() < SIX_SIGMA


@pytest.mark.parametrize("what", ["easy", "hard", "clips", "test_clips"])
def test_same_generator_same_data(dataset: RingDigits, what: str) -> None:
    def draw(seed: int) -> tuple[np.ndarray, ...]:
        if what in ("easy", "hard"):
            frames = dataset.single_frames(rng(seed), 70, hard=what == "hard")
            return frames.pixels, frames.spatial
        clips = getattr(dataset, what)(rng(seed), 70)
        return clips.pixels, clips.spatial, clips.temporal

    assert all(np.array_equal(a, b) for a, b in zip(draw(5), draw(5), strict=True))
    assert not np.array_equal(draw(5)[0], draw(6)[0])


def test_shapes_and_ranges(dataset: RingDigits) -> None:
    easy, hard = (dataset.single_frames(rng(), 600, hard) for hard in (False, True))
    clips, test = dataset.clips(rng(), 90), dataset.test_clips(rng(), 90)
    assert easy.pixels.shape == hard.pixels.shape == (600, 1, CANVAS, CANVAS)
    assert clips.pixels.shape == (90, POSITIONS, 1, CANVAS, CANVAS)
    assert test.pixels.shape == (360, POSITIONS, 1, CANVAS, CANVAS) and len(test) == 360
    assert all(part.pixels.dtype == np.float32 for part in (easy, hard, clips, test))
    assert easy.pixels.min() == 0 and 0.8 < easy.pixels.max() <= 1
    for part in (hard, clips, test):
        assert -SIX_SIGMA < part.pixels.min() < 0 and 0.8 < part.pixels.max() < 1 + SIX_SIGMA


def test_all_classes_are_equally_likely(dataset: RingDigits) -> None:
    clips = dataset.clips(rng(), 2000)
    assert np.all(np.abs(np.bincount(clips.spatial) / 2000 - 1 / DIGITS) < 0.03)
    assert np.all(np.abs(np.bincount(clips.temporal) / 2000 - 1 / len(ORDERS)) < 0.04)


def test_every_base_clip_is_tested_in_all_orders(dataset: RingDigits) -> None:
    test = dataset.test_clips(rng(), 30)
    assert np.array_equal(test.temporal, np.tile(np.arange(4), 30))
    assert np.array_equal(test.spatial, np.repeat(test.spatial[::4], 4))


def test_temporal_classes_permute_the_same_eight_frames(dataset: RingDigits) -> None:
    test = dataset.test_clips(rng(), 30)
    by_base = test.pixels.reshape(30, 4, POSITIONS, -1)
    for base in by_base:
        assert len({frame.tobytes() for frame in base[0]}) == POSITIONS
        for order, clip in zip(ORDERS, base, strict=True):
            assert np.array_equal(clip, base[0][order * np.arange(POSITIONS) % POSITIONS])


def test_the_digit_walks_the_ring(dataset: RingDigits) -> None:
    """Digit 0 becomes a white square and all others vanish: its columns then tell the ring position."""
    white = dataset.train.labels == 0
    images = np.where(white[:, None, None], np.ones_like(dataset.train.images), 0)
    seen = replace(dataset, train=replace(dataset.train, images=images)).clips(rng(), 200)
    shown = seen.spatial == 0
    columns = seen.pixels[shown][:, :, 0].sum(axis=2)  # [n, T, 32]
    windows = np.stack([np.roll(columns, -STEP * p, axis=2)[..., :SPRITE].sum(axis=2) for p in range(POSITIONS)])
    position = windows.argmax(axis=0)
    assert np.all((position[:, 1:] - position[:, :-1]) % POSITIONS == ORDERS[seen.temporal[shown]][:, None])


def test_no_quadrant_of_a_distractor_stays_where_it_was() -> None:
    half, pixel = SPRITE // 2, np.arange(SPRITE**2)
    quadrant = 2 * (pixel // SPRITE // half) + pixel % SPRITE // half
    assert np.array_equal(np.sort(_SCRAMBLES, axis=1), np.broadcast_to(pixel, _SCRAMBLES.shape))
    assert np.all(quadrant[_SCRAMBLES] != quadrant)


def test_stamp_rolls_round_the_torus_and_erases_a_band() -> None:
    sprite = rng().random((1, SPRITE, SPRITE)).astype(np.float32)
    place = np.array([[0, 5, 30, -1]])
    plain = stamp(sprite, place, place.T[::-1].T, no_band(place.shape))[0]
    canvas = np.zeros((CANVAS, CANVAS), np.float32)
    canvas[:SPRITE, :SPRITE] = sprite[0]
    for frame, top, left in zip(plain, place[0], place.T[::-1].T[0], strict=True):
        assert np.array_equal(frame, np.roll(canvas, (top, left), axis=(0, 1)))
    erased = stamp(sprite, place * 0, place * 0, np.array([[0, 4, SPRITE - BAND, 7]]))[0]
    for frame, band in zip(erased, (0, 4, SPRITE - BAND, 7), strict=True):
        expected = canvas.copy()
        expected[band : band + BAND] = 0
        assert np.array_equal(frame, expected)
