"""What ``opening_digits`` shows, and what its parameters do. What holds for every data set: ``test_datasets``."""

from dataclasses import replace

import numpy as np
import pytest

from bench.data import open_dataset
from bench.data.clips import CANVAS, Clips
from bench.data.images import SPRITE, Pixels, Sources
from bench.data.opening_digits import FRAMES, GREY, OPEN, TO_BE_SEEN, OpeningDigits
from bench.spec.training import Data, OpeningDigitsData, Recipe

PLAIN = OpeningDigitsData(jitter=0, noise=0, lowest_contrast=1)
PARTS = ("train", "validation", "test")


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def opening() -> OpeningDigits:
    return open_dataset("opening_digits", Recipe(), Data(), seed=1)


def digits_like(sources: Sources, image: Pixels | float) -> Sources:
    """Every digit looks like ``image``."""
    return replace(sources, digits=np.zeros_like(sources.digits) + np.asarray(image, np.float32))


def painted(sources: Sources, value: float) -> Sources:
    """Every door is plain."""
    return replace(sources, blocks=np.full_like(sources.blocks, value))


def empty_rooms(opening: OpeningDigits, count: int) -> Clips:
    """Opening, then closing, count times, with no digit and no noise: what is not door is 0."""
    return replace(opening, test=digits_like(opening.test, 0), how_hard=PLAIN).judged(rng(), count, "test")


def squares(opening: OpeningDigits, count: int, **parameters: float) -> Pixels:
    """Opening clips [count, 8, 32, 32] in which every digit is a white square, and all doors are darker."""
    white = replace(opening, test=digits_like(opening.test, 1), how_hard=PLAIN.model_copy(update=parameters))
    return white.judged(rng(), count, "test").pixels[::2, :, 0]


def test_closing_is_opening_backwards(opening: OpeningDigits) -> None:
    clips = opening.judged(rng(), 40, "test").pixels
    assert np.array_equal(clips[1::2], clips[::2, ::-1])


def test_training_clips_open_in_class_0_and_close_in_class_1(opening: OpeningDigits) -> None:
    clips = replace(opening, train=digits_like(opening.train, 0), how_hard=PLAIN).clips(rng(), 100)
    grows = np.diff((clips.pixels == 0).sum(axis=(2, 3, 4)), axis=1)
    assert np.all(np.sign(grows) == np.where(clips.temporal == 0, 1, -1)[:, None])


def test_a_door_opens_at_every_step_from_nearly_closed_to_nearly_open(opening: OpeningDigits) -> None:
    steps = (empty_rooms(opening, 400).pixels == 0).sum(axis=(2, 3, 4)) / (2 * CANVAS)  # 2 rows or columns a step
    assert np.array_equal(steps, np.round(steps))
    opens, closes = steps[::2], steps[1::2]
    assert np.all(np.diff(opens, axis=1) >= 1) and np.all(np.diff(closes, axis=1) <= -1)
    assert set(opens[:, 0]) == {0, 1} and set(opens[:, -1]) == {OPEN - 1, OPEN}
    assert len({tuple(one) for one in np.diff(opens, axis=1)}) > 300  # steps are of random length


def test_openness_is_as_far_from_open_as_its_mirror_image_from_closed(opening: OpeningDigits) -> None:
    """Frame t and the frame as far from the end: their mean openness adds up to open, within 5 standard errors."""
    steps = (empty_rooms(opening, 600).pixels[::2] == 0).sum(axis=(2, 3, 4)) / (2 * CANVAS)
    total = steps + steps[:, ::-1]
    assert np.all(np.abs(total.mean(axis=0) - OPEN) < 5 * total.std(axis=0) / np.sqrt(600))


def test_doors_slide_to_four_sides_and_part_in_two_directions(opening: OpeningDigits) -> None:
    half_open = empty_rooms(opening, 200).pixels[::2, FRAMES // 2, 0] != 0
    where = half_open[:, [0, 0, -1, -1, 0, CANVAS // 2], [0, -1, 0, -1, CANVAS // 2, 0]]
    up, down, left, right, apart = (1, 1, 0, 0), (0, 0, 1, 1), (1, 0, 1, 0), (0, 1, 0, 1), (1, 1, 1, 1)
    assert {tuple(one) for one in where[:, :4].astype(int)} == {up, down, left, right, apart}
    both = where[where[:, :4].all(axis=1)]
    assert {tuple(one) for one in both[:, 4:].astype(int)} == {(1, 0), (0, 1)}


def test_a_door_takes_its_texture_along(opening: OpeningDigits) -> None:
    """Each edge of the closed door's wings is found again where the wing went."""
    clips = empty_rooms(opening, 200).pixels[::2, :, 0]
    closed = clips[(clips[:, 0] > 0).all(axis=(1, 2))]
    assert len(closed) > 50
    for clip in closed:
        moves_in_rows = (clip[1] > 0).all(axis=1).any()
        first, *later = clip if moves_in_rows else clip.swapaxes(1, 2)
        for frame in later:
            covered = (frame > 0).all(axis=1)
            top, bottom = covered.argmin(), covered[::-1].argmin()  # rows of door at either edge
            wing = CANVAS // 2 if top and bottom else CANVAS
            assert np.array_equal(frame[:top], first[wing - top : wing])
            assert np.array_equal(frame[CANVAS - bottom :], first[CANVAS - wing :][:bottom])


def test_behind_the_open_door_stands_the_digit_whole_and_upright(opening: OpeningDigits) -> None:
    image = rng(1).uniform(0.1, 1, (SPRITE, SPRITE)).astype(np.float32)
    room = replace(opening, test=digits_like(painted(opening.test, 0), image), how_hard=PLAIN)
    clips = room.judged(rng(), 200, "test").pixels[::2, -1, 0]
    wide_open = clips[np.count_nonzero(clips, axis=(1, 2)) == SPRITE**2]
    assert len(wide_open) > 50
    for frame in wide_open:
        rows, columns = np.flatnonzero(frame.any(axis=1)), np.flatnonzero(frame.any(axis=0))
        assert np.array_equal(frame[rows[0] : rows[0] + SPRITE, columns[0] : columns[0] + SPRITE], image)


def test_easy_frames_are_whole_digits_and_nothing_else(opening: OpeningDigits) -> None:
    white = replace(opening, train=digits_like(opening.train, 1), how_hard=PLAIN)
    easy = white.single_frames(rng(), 500, hard=False)[0][:, 0]
    assert set(np.unique(easy)) == {0, 1} and np.all(easy.sum(axis=(1, 2)) == SPRITE**2)
    for axis in (1, 2):
        assert set(easy.any(axis=axis).argmax(axis=1)) == set(range(CANVAS - SPRITE + 1))


def test_easy_and_hard_frames_are_upright(opening: OpeningDigits) -> None:
    image = rng(1).uniform(0.8, 1, (SPRITE, SPRITE)).astype(np.float32)  # brighter than any door
    room = replace(opening, train=digits_like(opening.train, image), how_hard=PLAIN)
    for hard in (False, True):
        frames = room.single_frames(rng(), 300, hard)[0][:, 0]
        whole = [frame for frame in frames if np.count_nonzero(frame >= 0.8) == SPRITE**2]
        assert len(whole) > 100
        assert all(np.array_equal(frame[frame >= 0.8], image.ravel()) for frame in whole)


def test_hard_frames_show_most_of_the_digit_behind_a_door(opening: OpeningDigits) -> None:
    white = replace(opening, train=digits_like(opening.train, 1), how_hard=PLAIN)
    hard = white.single_frames(rng(), 1000, hard=True)[0][:, 0]
    seen = np.count_nonzero(hard == 1, axis=(1, 2)) / SPRITE
    assert seen.min() == TO_BE_SEEN and seen.max() == SPRITE
    door = (hard > 0) & (hard < 1)
    assert 0.75 < door.any(axis=(1, 2)).mean() < 1 and 0.1 < door.mean() < 0.5


def test_the_door_is_brighter_than_the_room_and_darker_than_white(opening: OpeningDigits) -> None:
    shown = empty_rooms(opening, 200).pixels
    door = shown[shown > 0]
    assert door.min() >= GREY[0] and door.max() <= GREY[1] and door.std() > 0.05


def test_neither_digit_nor_texture_is_of_another_part(opening: OpeningDigits) -> None:
    silent = replace(opening, how_hard=PLAIN)
    for part, draws in {
        "train": (lambda d: d.clips(rng(), 50).pixels, lambda d: d.single_frames(rng(), 50, hard=True)[0]),
        "validation": (lambda d: d.judged(rng(), 50, "validation").pixels,),
        "test": (lambda d: d.judged(rng(), 50, "test").pixels,),
    }.items():
        blank = {name: painted(digits_like(getattr(silent, name), 0), 0) for name in PARTS}
        alone = replace(silent, **{part: blank[part]})
        others = replace(silent, **{name: blank[name] for name in PARTS if name != part})
        for draw in draws:
            assert set(np.unique(draw(alone))) == {0, np.float32(GREY[0])}
            assert np.array_equal(draw(others), draw(silent))
            assert len(np.unique(draw(silent))) > 1000


def test_jitter_moves_each_frame_and_keeps_the_digit_on_the_canvas(opening: OpeningDigits) -> None:
    for jitter in (0, 1, 3):
        frames = squares(opening, 400, jitter=jitter)
        whole = np.count_nonzero(frames == 1, axis=(2, 3)) == SPRITE**2
        top, left = ((frames == 1).any(axis=axis).argmax(axis=2) for axis in (3, 2))
        bottom = CANVAS - 1 - (frames == 1).any(axis=3)[:, :, ::-1].argmax(axis=2)
        assert np.all((bottom - top)[whole] == SPRITE - 1)  # in one piece, not round the torus
        pair = whole[:, -1] & whole[:, -2]
        for place in (top, left):
            away = (place[:, -1] - place[:, -2])[pair]
            assert away.min() == -2 * jitter and away.max() == 2 * jitter


def test_noise_is_the_deviation_from_the_silent_frame(opening: OpeningDigits) -> None:
    silent = squares(opening, 60)
    for noise in (0.05, 0.5):
        assert (squares(opening, 60, noise=noise) - silent).std() == pytest.approx(noise, rel=0.02)


def test_contrast_lies_between_the_lowest_and_one(opening: OpeningDigits) -> None:
    dark = replace(opening, test=painted(opening.test, -0.5))  # a door that is as dark as the room
    for lowest in (0.2, 0.6, 1):
        brightness = squares(dark, 400, lowest_contrast=lowest).max(axis=(1, 2, 3))
        assert lowest <= brightness.min() < lowest + 0.02 and 0.98 < brightness.max() <= 1
