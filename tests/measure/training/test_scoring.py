"""Average precision on cases whose answer is known; empty frames, odd boxes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.detection import MeanAveragePrecision

from bench.data.cluttered_digits import Scenes
from bench.measure.training.detection import score, targets_of, truth_of
from bench.models import Found

STILL, FAST = [10.0, 10, 26, 26], [[4.0 * t, 40, 4.0 * t + 16, 56] for t in range(8)]
pytestmark = pytest.mark.filterwarnings("ignore")  # torchmetrics' own


def two_objects() -> Scenes:
    """One clip, eight frames: a still 3 and a fast 7."""
    boxes = np.array([[STILL] * 8, FAST], np.float32)
    return Scenes(
        np.zeros((1, 8, 1, 64, 64), np.float32),
        np.zeros(2, np.intp),
        np.array([3, 7]),
        boxes,
        np.ones((2, 8), np.float32),
    )


def found(*per_frame: list[tuple[list[float], int, float]]) -> Found:
    return [
        {
            "boxes": torch.tensor([box for box, _, _ in frame]).reshape(-1, 4),
            "labels": torch.tensor([label for _, label, _ in frame], dtype=torch.int64),
            "scores": torch.tensor([value for _, _, value in frame]),
        }
        for frame in per_frame
    ]


def perfect() -> list[list[tuple[list[float], int, float]]]:
    return [[(STILL, 3, 0.9), (FAST[t], 7, 0.8)] for t in range(8)]


def test_all_found_is_one_and_none_is_zero() -> None:
    best = score(two_objects(), found(*perfect()))
    assert (best["asked_slow"], best["asked_medium"], best["asked_fast"]) == (8, 0, 8)
    assert [best[name] for name in ("map", "map_slow", "map_fast")] == pytest.approx([1, 1, 1])
    assert best["map_medium"] is None and best["by_class"] == [None, None, None, 1, None, None, None, 1]
    nothing = score(two_objects(), found(*[[]] * 8))
    assert (nothing["map"], nothing["map_slow"], nothing["map_fast"]) == (0, 0, 0)


def test_what_is_of_another_speed_is_neither_wanted_nor_wrong() -> None:
    only_still = score(two_objects(), found(*[[frame[0]] for frame in perfect()]))
    assert only_still["map"] == pytest.approx(0.5)
    assert only_still["map_slow"] == pytest.approx(1) and only_still["map_fast"] == 0


def test_a_wrong_class_and_a_wrong_place_cost_where_they_come_first() -> None:
    def with_one_more(*more: tuple[list[float], int, float]) -> dict[str, Any]:
        return score(two_objects(), found(*[[*more, *frame] for frame in perfect()]))

    wrong_place = with_one_more(([30.0, 10, 46, 26], 3, 0.95))
    assert wrong_place["map"] < 0.8 and wrong_place["map_slow"] < 0.6
    assert with_one_more((STILL, 7, 0.95))["map"] < 0.8
    assert with_one_more((STILL, 3, 0.5))["map"] == pytest.approx(1)  # found twice, less surely


def test_speeds_of_one_class_are_told_apart() -> None:
    both = replace(two_objects(), labels=np.array([3, 3]))
    frames = [[(STILL, 3, 0.9), (FAST[t], 3, 0.8)] for t in range(8)]
    assert score(both, found(*frames))["map_slow"] == pytest.approx(1)
    without_fast = score(both, found(*[frame[:1] for frame in frames]))
    assert without_fast["map_slow"] == pytest.approx(1) and without_fast["map_fast"] == 0
    found_twice = score(both, found(*[[*frame, (FAST[0], 3, 0.95)] for frame in frames]))
    assert found_twice["map_fast"] < 1


def test_the_faster_implementation_gives_what_pycocotools_gives() -> None:
    rng = np.random.default_rng(1)
    boxes = rng.uniform(0, 40, (12, 8, 4)).astype(np.float32)
    boxes[..., 2:] = boxes[..., :2] + rng.uniform(6, 20, (12, 8, 2))
    scenes = Scenes(
        np.zeros((4, 8, 1, 64, 64), np.float32),
        np.repeat(np.arange(4), 3),
        rng.integers(0, 3, 12),
        boxes,
        rng.uniform(0, 1, (12, 8)).astype(np.float32),
    )
    searched = []
    for clip in range(4):
        for t in range(8):
            near = boxes[scenes.objects(clip), t] + rng.normal(0, 2, (3, 4))
            picked = zip(near.tolist(), rng.integers(0, 3, 3).tolist(), rng.uniform(0, 1, 3).tolist(), strict=True)
            searched.append(list(picked))
    fast = average_precision(scenes, found(*searched), "faster_coco_eval")
    assert fast == average_precision(scenes, found(*searched), "pycocotools")
    assert 0 < fast == score(scenes, found(*searched))["map"]


def average_precision(scenes: Scenes, searched: Found, backend: str) -> float:
    metric = MeanAveragePrecision(iou_thresholds=[0.5], backend=backend)
    metric.update(searched, truth_of(scenes, scenes.asked))
    return float(metric.compute()["map"])


def test_what_can_hardly_be_seen_is_not_asked_for() -> None:
    hidden = two_objects()
    seen = hidden.seen.copy()
    seen[1, :4] = 0.1
    hidden = replace(hidden, seen=seen)
    half = [[frame[0]] if t < 4 else frame for t, frame in enumerate(perfect())]
    for searched in (half, perfect()):
        assert score(hidden, found(*searched))["map"] == pytest.approx(1)
    assert score(hidden, found(*perfect()))["asked_fast"] == 4


def test_frames_that_hold_nothing_are_no_error() -> None:
    empty = Scenes(
        np.zeros((1, 8, 1, 64, 64), np.float32),
        np.zeros(0, np.intp),
        np.zeros(0, np.int64),
        np.zeros((0, 8, 4), np.float32),
        np.zeros((0, 8), np.float32),
    )
    targets = targets_of(empty)
    assert len(targets) == 8 and all(t["boxes"].shape == (0, 4) and t["labels"].shape == (0,) for t in targets)
    assert score(empty, found(*[[]] * 8))["map"] is None


def test_boxes_outside_the_frame_and_of_no_area_are_left_out() -> None:
    boxes = np.array([[[-5, -5, 8, 8]] * 8, [[70, 70, 80, 80]] * 8, [[5, 5, 5, 30]] * 8], np.float32)
    odd = Scenes(
        np.zeros((1, 8, 1, 64, 64), np.float32), np.zeros(3, np.intp), np.arange(3), boxes, np.ones((3, 8), np.float32)
    )
    assert [t["boxes"].tolist() for t in targets_of(odd)] == [[[0, 0, 8, 8]]] * 8
    assert [t["labels"].tolist() for t in targets_of(odd)] == [[0]] * 8


def test_another_number_of_frames_is_told() -> None:
    with pytest.raises(ValueError, match="7 frames were searched and 8 shown"):
        score(two_objects(), found(*perfect()[:7]))
