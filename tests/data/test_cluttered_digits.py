"""What is rendered is what the labels say, disjoint, and the same for a seed."""

import numpy as np
import pytest

from bench.data.cluttered_digits import (
    SEEN,
    SIZE,
    ClutteredDigits,
    Scenes,
    data_version,
    motion_iou,
)
from bench.spec.training import ClutteredDigitsData, DetectionRecipe
from bench.store.samples import SPEEDS

USUAL = ClutteredDigitsData()
PLAIN = ClutteredDigitsData(clutter=0, bars=0, exposure=0.0, defocus=0.0, noise=0.0, lowest_contrast=1.0, objects=1)


def scenes(data: ClutteredDigitsData = USUAL, count: int = 40, seed: int = 0, part: str = "test") -> Scenes:
    return ClutteredDigits.split(DetectionRecipe(), data, 1).scenes(np.random.default_rng(seed), count, part)


def test_shapes_and_ranges() -> None:
    shown = scenes()
    assert shown.pixels.shape == (40, 8, 1, SIZE, SIZE) and shown.pixels.dtype == np.float32
    assert np.isfinite(shown.pixels).all()
    objects = len(shown.labels)
    assert shown.boxes.shape == (objects, 8, 4) and shown.seen.shape == shown.asked.shape == (objects, 8)
    assert set(shown.clip) == set(range(40)) and np.bincount(shown.clip).max() == 3
    assert ((shown.boxes >= 0) & (shown.boxes <= SIZE)).all()
    assert (shown.boxes[..., 2:] > shown.boxes[..., :2]).all()
    assert shown.seen.min() < SEEN < shown.seen.mean() < 1 == shown.seen.max()


def test_a_box_holds_the_ink_and_nothing_else_does() -> None:
    for clip, picture in enumerate((bright := scenes(PLAIN, 10)).pixels):
        (number,) = bright.objects(clip)
        dark = scenes(PLAIN.model_copy(update={"lowest_contrast": 1e-6}), 1).pixels  # a background of its own
        assert dark.max() < 1
        for t in (0, 7):
            left, top, right, bottom = bright.boxes[number, t]
            inside = picture[t, 0, int(top) : int(np.ceil(bottom)), int(left) : int(np.ceil(right))]
            assert inside.max() > 0.8
            outside = picture[t, 0].copy()
            outside[
                max(0, int(top) - 1) : int(np.ceil(bottom)) + 1, max(0, int(left) - 1) : int(np.ceil(right)) + 1
            ] = 0
            assert outside.max() < 0.65


def test_all_speeds_are_there_and_told_by_how_boxes_move() -> None:
    shown = scenes(count=200)
    counts = np.bincount(shown.speeds, minlength=3) / len(shown.speeds)
    assert len(SPEEDS) == 3 and (counts > 0.2).all()
    way = np.abs(np.diff(shown.boxes[:, :, 0])).max(axis=1)
    assert np.median(way[shown.speeds == 0]) < np.median(way[shown.speeds == 1]) < np.median(way[shown.speeds == 2])


def moving_to(*widths: float) -> Scenes:
    """Objects of 10 px that are seen in a second frame too, so narrow that this is their IoU in tenths."""
    boxes = np.array([[[0, 0, 10, 1], [0, 0, width, 1]] for width in widths], np.float32)
    count = len(widths)
    pixels, seen = np.zeros((1, 2, 1, SIZE, SIZE), np.float32), np.ones((count, 2), np.float32)
    return Scenes(pixels, np.zeros(count, np.intp), np.zeros(count, np.int64), boxes, seen)


def test_motion_iou() -> None:
    still = np.tile(np.array([10, 10, 20, 20], np.float32), (1, 8, 1))
    far = still + 100 * np.arange(8, dtype=np.float32)[None, :, None]
    assert motion_iou(np.concatenate([still, far])) == pytest.approx([1, 0])
    assert list(moving_to(9.5, 9, 8, 7, 6.9).speeds) == [0, 1, 1, 1, 2]
    assert motion_iou(still[:, :1]) == pytest.approx([1])
    whole, half, empty = [0, 0, 2, 1], [1, 0, 3, 1], [1, 0, 1, 1]
    assert motion_iou(np.array([[whole, half], [whole, empty]], np.float32)) == pytest.approx([1 / 3, 0])
    assert motion_iou(np.array([[empty, empty]], np.float32)) == pytest.approx([0])


def test_motion_blur_smears_and_bars_hide() -> None:
    sharp = scenes(PLAIN, 60)
    blurred = scenes(PLAIN.model_copy(update={"exposure": 1.0}), 60)
    fast = sharp.speeds == 2
    assert (sharp.labels == blurred.labels).all() and fast.any() and not fast.all()
    changed = np.abs(sharp.pixels - blurred.pixels).mean(axis=(1, 2, 3, 4))  # one object in each clip
    assert changed[fast].mean() > 3 * changed[~fast].mean()
    assert (sharp.seen == 1).all()
    assert (scenes(PLAIN.model_copy(update={"bars": 2})).seen < SEEN).any()


def test_the_same_seed_shows_the_same_and_parts_share_no_digit() -> None:
    assert np.array_equal(scenes(count=3).pixels, scenes(count=3).pixels)
    assert not np.array_equal(scenes(count=3).pixels, scenes(count=3, seed=1).pixels)
    data = ClutteredDigits.split(DetectionRecipe(), ClutteredDigitsData(), 1)
    origins = [set(part.origins) for part in (data.train, data.validation, data.test)]
    assert not origins[0] & origins[1] and not origins[0] & origins[2] and not origins[1] & origins[2]
    assert sum(map(len, origins)) == 1797


def test_the_version_knows_the_parameters() -> None:
    assert data_version(ClutteredDigitsData()) == data_version(ClutteredDigitsData())
    assert data_version(ClutteredDigitsData()) != data_version(ClutteredDigitsData(noise=0.2))


def test_batches_keep_what_belongs_together() -> None:
    shown = scenes(count=5)
    parts = list(shown.batches(2))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert np.array_equal(np.concatenate([part.boxes for part in parts]), shown.boxes)
    for first, part in zip((0, 2, 4), parts, strict=True):
        assert np.array_equal(part.clip + first, shown.clip[(shown.clip >= first) & (shown.clip < first + 2)])


@pytest.mark.parametrize("data", [{"noise": -1}, {"objects": 0}, {"fastest": 0}, {"exposure": 1.5}, {"nonsense": 1}])
def test_a_parameter_outside_its_range(data: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(data))):
        ClutteredDigitsData.model_validate(data)
