"""What ``ring_digits`` shows, and what its parameters do. What holds for every data set: ``test_datasets``."""

from dataclasses import replace

import numpy as np
import pytest

from bench.data import open_dataset
from bench.data.clips import CANVAS, stamp
from bench.data.images import SCRAMBLES, SPRITE, Pixels, Sources
from bench.data.ring_digits import ORDERS, POSITIONS, STEP, RingDigits
from bench.spec.training import Data, Recipe, RingDigitsData

PLAIN = RingDigitsData(jitter=0, noise=0, band=0, lowest_contrast=1, distractor=False)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def ring() -> RingDigits:
    return open_dataset("ring_digits", Recipe(), Data(), seed=1)


def all_like(sources: Sources, value: float) -> Sources:
    return replace(sources, digits=np.full_like(sources.digits, value))


def squares(ring: RingDigits, count: int, **parameters: float) -> Pixels:
    """Clips [count, 8, 32, 32] in which every digit is a white square."""
    how_hard = PLAIN.model_copy(update=parameters)
    white = replace(ring, train=all_like(ring.train, 1), how_hard=how_hard)
    return white.clips(rng(), count).pixels[:, :, 0]


def begins(shown: np.ndarray) -> np.ndarray:
    """Where 16 pixels in a row begin on the torus: shown [..., 32] bool -> [...]."""
    windows = np.stack([np.roll(shown, -place, axis=-1)[..., :SPRITE].sum(axis=-1) for place in range(CANVAS)])
    assert np.all(shown.sum(axis=-1) == SPRITE) and np.all(windows.max(axis=0) == SPRITE)
    return windows.argmax(axis=0)


def test_neither_digit_nor_distractor_is_of_another_part(ring: RingDigits) -> None:
    silent = replace(ring, how_hard=RingDigitsData(noise=0))
    for part, draws in {
        "train": (lambda d: d.clips(rng(), 50).pixels, lambda d: d.single_frames(rng(), 50, hard=True)[0]),
        "validation": (lambda d: d.judged(rng(), 50, "validation").pixels,),
        "test": (lambda d: d.judged(rng(), 50, "test").pixels,),
    }.items():
        blind = replace(silent, **{part: all_like(getattr(silent, part), 0)})
        others = replace(
            silent, **{p: all_like(getattr(silent, p), 0) for p in ("train", "validation", "test") if p != part}
        )
        for draw in draws:
            assert not draw(blind).any()
            assert np.array_equal(draw(others), draw(silent)) and draw(silent).any()


def test_temporal_classes_are_steps_round_the_same_ring(ring: RingDigits) -> None:
    for base in ring.judged(rng(), 30, "test").pixels.reshape(30, 4, POSITIONS, -1):
        for order, clip in zip(ORDERS, base, strict=True):
            assert np.array_equal(clip, base[0][order * np.arange(POSITIONS) % POSITIONS])


def test_the_digit_walks_the_ring(ring: RingDigits) -> None:
    clips = replace(ring, train=all_like(ring.train, 1), how_hard=PLAIN).clips(rng(), 200)
    left = begins(clips.pixels[:, :, 0].any(axis=2))
    assert np.all((left[:, 1:] - left[:, :-1]) % CANVAS == STEP * ORDERS[clips.temporal][:, None] % CANVAS)


def test_jitter_moves_each_frame_by_so_many_pixels_either_way(ring: RingDigits) -> None:
    for jitter in (0, 1, 3):
        top = begins(squares(ring, 200, jitter=jitter).any(axis=3))
        away = (top[:, :, None] - top[:, None, :] + CANVAS // 2) % CANVAS - CANVAS // 2  # of any two frames of a clip
        assert away.min() == -2 * jitter and away.max() == 2 * jitter


def test_noise_is_the_deviation_of_an_empty_pixel(ring: RingDigits) -> None:
    for noise in (0, 0.05, 0.5):
        empty = replace(ring, train=all_like(ring.train, 0), how_hard=RingDigitsData(noise=noise))
        assert empty.clips(rng(), 50).pixels.std() == pytest.approx(noise, rel=0.02)


def test_a_band_is_erased_in_every_frame(ring: RingDigits) -> None:
    for band in (0, 3, 8):
        assert np.all(squares(ring, 50, band=band).any(axis=3).sum(axis=2) == SPRITE - band)


def test_contrast_lies_between_the_lowest_and_one(ring: RingDigits) -> None:
    for lowest in (0.2, 0.6, 1):
        brightness = squares(ring, 400, lowest_contrast=lowest).max(axis=(1, 2, 3))
        assert lowest <= brightness.min() < lowest + 0.02 and 0.98 < brightness.max() <= 1


def test_without_the_distractor_all_else_stays_the_same(ring: RingDigits) -> None:
    quiet = RingDigitsData(noise=0)
    shown = replace(ring, how_hard=quiet).clips(rng(), 100).pixels
    hidden = replace(ring, how_hard=quiet.model_copy(update={"distractor": False})).clips(rng(), 100).pixels
    same = (shown == hidden) | (hidden == 0)
    assert same.mean() > 0.99 and np.all(hidden <= shown)  # where jitter makes them touch, the brighter one is seen
    assert np.count_nonzero(shown) > 1.5 * np.count_nonzero(hidden) > 0


def test_easy_frames_are_whole_digits_and_nothing_else(ring: RingDigits) -> None:
    white = replace(ring, train=all_like(ring.train, 1))
    easy = white.single_frames(rng(), 300, hard=False)[0][:, 0] > 0
    assert np.all(easy.sum(axis=(1, 2)) == SPRITE**2)
    assert set(begins(easy.any(axis=1))) == set(begins(easy.any(axis=2))) == set(range(CANVAS))


def test_no_quadrant_of_a_distractor_stays_where_it_was() -> None:
    half, pixel = SPRITE // 2, np.arange(SPRITE**2)
    quadrant = 2 * (pixel // SPRITE // half) + pixel % SPRITE // half
    assert np.array_equal(np.sort(SCRAMBLES, axis=1), np.broadcast_to(pixel, SCRAMBLES.shape))
    assert np.all(quadrant[SCRAMBLES] != quadrant)


def test_stamp_rolls_round_the_torus_and_erases_a_band() -> None:
    sprite = rng().random((1, SPRITE, SPRITE)).astype(np.float32)
    top = np.array([[0, 5, 30, -1]])
    left = top[:, ::-1]
    canvas = np.zeros((CANVAS, CANVAS), np.float32)
    canvas[:SPRITE, :SPRITE] = sprite[0]
    for frame, y, x in zip(stamp(sprite, top, left)[0], top[0], left[0], strict=True):
        assert np.array_equal(frame, np.roll(canvas, (y, x), axis=(0, 1)))
    first = np.array([[0, 4, SPRITE - 3, 7]])
    for frame, band in zip(stamp(sprite, top * 0, top * 0, first, erased=3)[0], first[0], strict=True):
        expected = canvas.copy()
        expected[band : band + 3] = 0
        assert np.array_equal(frame, expected)
