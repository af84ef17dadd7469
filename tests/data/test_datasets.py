"""What holds for every data set: no class that a single frame tells, no image in two parts, nothing but the seed."""

import math
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.data import ring_digits
from bench.data.clips import Clips, Dataset, one_frame, shuffled
from bench.data.datasets import MAKERS, data_version, open_dataset
from bench.data.digits import DIGITS, split_digits
from bench.data.photographs import BLOCK, photograph_blocks, split_photographs
from bench.data.sprites import CANVAS
from bench.spec.axes import DATASETS, ValueNotAllowed
from bench.spec.settings import Data, OpeningDigitsData, Recipe, RingDigitsData, validate

HARDER: dict[str, dict[str, Any]] = {
    "ring_digits": {"jitter": 2, "noise": 0.1, "band": 4, "lowest_contrast": 0.5, "distractor": False},
    "opening_digits": {"jitter": 2, "noise": 0.1, "lowest_contrast": 0.5},
}
MODELS = {"ring_digits": RingDigitsData, "opening_digits": OpeningDigitsData}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module", params=sorted(DATASETS))
def data_set(request: pytest.FixtureRequest) -> Dataset:
    return open_dataset(request.param, Recipe(), Data(), seed=1)


@pytest.fixture(scope="module")
def tested(data_set: Dataset) -> Clips:
    return data_set.test_clips(rng(), 30)


# The registry


def test_registry_matches_the_vocabulary_and_the_settings() -> None:
    assert set(MAKERS) == set(DATASETS) == set(Data.model_fields)


def test_an_unknown_name_is_refused_with_those_that_there_are() -> None:
    for ask in (lambda: open_dataset("no_such", Recipe(), Data(), 0), lambda: data_version("no_such", Data())):
        with pytest.raises(ValueNotAllowed, match=r"'no_such'; there are: ring_digits, opening_digits$"):
            ask()


# Splits


@pytest.mark.parametrize(("train", "validation"), [(0.6, 0.15), (0.75, 0.05), (0.2, 0.3)])
def test_digits_are_split_by_image_and_stratified(train: float, validation: float) -> None:
    parts = split_digits(train, validation, seed=3)
    assert sorted(np.concatenate([part.origins for part in parts])) == list(range(1797))
    whole = sum(np.bincount(part.labels, minlength=DIGITS) for part in parts)
    for part, share in zip(parts, (train, validation, 1 - train - validation), strict=True):
        assert np.all(np.abs(np.bincount(part.labels) - share * whole) <= 1)
        assert np.all(np.diff(part.labels) >= 0)


def test_photographs_are_split_by_block_and_stratified() -> None:
    every = photograph_blocks()
    photograph = {block.tobytes(): number for number, blocks in enumerate(every) for block in blocks}
    assert every.shape == (2, 40, BLOCK, BLOCK) and len(photograph) == 80
    parts = split_photographs(0.6, 0.15, seed=3)
    assert sorted(block.tobytes() for part in parts for block in part.blocks) == sorted(photograph)
    counts = [Counter(photograph[block.tobytes()] for block in part.blocks) for part in parts]
    assert counts == [{0: 24, 1: 24}, {0: 6, 1: 6}, {0: 10, 1: 10}]


def test_a_texture_lies_within_one_block() -> None:
    textures = split_photographs(0.6, 0.15, seed=3)[0]
    numbered = replace(textures, blocks=np.arange(len(textures.blocks))[:, None, None] + np.zeros_like(textures.blocks))
    cut = numbered.draw(rng(), 500, CANVAS)
    assert cut.shape == (500, CANVAS, CANVAS)
    assert np.all(cut == cut[:, :1, :1]) and set(cut[:, 0, 0]) == set(range(48))


def test_splits_depend_on_the_seed_alone() -> None:
    for split, what in ((split_digits, "origins"), (split_photographs, "blocks")):
        first, again, other = ([getattr(part, what) for part in split(0.6, 0.15, seed)] for seed in (3, 3, 4))
        assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
        assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (
            0.6,
            0.002,
            r"validation_share = 0\.002 leaves no image of digit 0 for validation: each part needs one of the 178",
        ),
        (0.002, 0.15, r"train_share = 0\.002 leaves no image of digit 0 for training"),
        (0.8, 0.199, r"train_share = 0\.8 and validation_share = 0\.199 leave no image of digit 1 for the test"),
    ],
)
@pytest.mark.parametrize("name", sorted(DATASETS))
def test_a_part_without_images_is_refused(name: str, train: float, validation: float, message: str) -> None:
    recipe = Recipe(train_share=train, validation_share=validation)
    with pytest.raises(ValueNotAllowed, match=message) as refused:
        open_dataset(name, recipe, Data(), 0)
    assert "\n" not in str(refused.value)


def test_a_part_without_a_piece_of_a_photograph_is_refused() -> None:
    recipe = Recipe(validation_share=0.01)  # two images of each digit, but not one of 40 blocks
    assert open_dataset("ring_digits", recipe, Data(), 0).frames == 8
    with pytest.raises(ValueNotAllowed, match=r"validation_share = 0\.01 leaves no block of the photograph china\.jpg"):
        open_dataset("opening_digits", recipe, Data(), 0)


# Frames and clips


@pytest.mark.parametrize("what", ["easy", "hard", "clips", "validation_clips", "test_clips"])
def test_same_generator_same_data(data_set: Dataset, what: str) -> None:
    def draw(seed: int) -> list[np.ndarray]:
        if what in ("easy", "hard"):
            return list(vars(data_set.single_frames(rng(seed), 70, hard=what == "hard")).values())
        return list(vars(getattr(data_set, what)(rng(seed), 70)).values())

    assert all(np.array_equal(a, b) for a, b in zip(draw(5), draw(5), strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(draw(5)[:2], draw(6)[:2], strict=True))


def test_shapes_types_and_ranges(data_set: Dataset) -> None:
    kinds, noise = data_set.temporal_classes, 6 * 0.05  # six deviations: what noise alone may reach
    easy, hard = (data_set.single_frames(rng(), 600, hard) for hard in (False, True))
    clips, validation, test = (
        draw(rng(), 90) for draw in (data_set.clips, data_set.validation_clips, data_set.test_clips)
    )
    assert easy.pixels.shape == hard.pixels.shape == (600, 1, CANVAS, CANVAS)
    assert clips.pixels.shape == (90, data_set.frames, 1, CANVAS, CANVAS)
    assert test.pixels.shape == validation.pixels.shape == (90 * kinds, data_set.frames, 1, CANVAS, CANVAS)
    assert len(test) == 90 * kinds
    for part in (easy, hard, clips, validation, test):
        assert part.pixels.dtype == np.float32 and part.spatial.dtype == np.int64
    assert easy.pixels.min() == 0 and 0.8 < easy.pixels.max() <= 1
    for part in (hard, clips, validation, test):
        assert -noise < part.pixels.min() < 0 and 0.8 < part.pixels.max() < 1 + noise


def test_all_classes_are_equally_likely(data_set: Dataset) -> None:
    clips, kinds = data_set.clips(rng(), 2000), data_set.temporal_classes
    assert np.all(np.abs(np.bincount(clips.spatial) / 2000 - 1 / DIGITS) < 0.03)
    assert np.all(np.abs(np.bincount(clips.temporal) / 2000 - 1 / kinds) < 0.04)


@pytest.mark.parametrize("what", ["validation_clips", "test_clips"])
def test_every_base_clip_is_judged_in_all_temporal_classes(data_set: Dataset, what: str) -> None:
    kinds = data_set.temporal_classes
    clips = getattr(data_set, what)(rng(), 30)
    assert np.array_equal(clips.temporal, np.tile(np.arange(kinds), 30))
    assert np.array_equal(clips.spatial, np.repeat(clips.spatial[::kinds], kinds))


def test_a_single_frame_tells_nothing_of_the_temporal_class(data_set: Dataset, tested: Clips) -> None:
    """Whatever frame is seen, at whatever time: each class shows it equally often. So the classes are permutations."""
    classes: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
    for clip, temporal in zip(tested.pixels, tested.temporal.tolist(), strict=True):
        for frame in clip:
            classes[frame.tobytes()][temporal] += 1
    assert len(classes) == 30 * data_set.frames
    assert all(seen == dict.fromkeys(range(data_set.temporal_classes), 1) for seen in classes.values())


def test_one_permutation_leads_from_class_to_class_in_all_clips(data_set: Dataset, tested: Clips) -> None:
    kinds = data_set.temporal_classes
    orders = set()
    for base in tested.pixels.reshape(30, kinds, data_set.frames, -1):
        time = {frame.tobytes(): t for t, frame in enumerate(base[0])}
        orders.add(tuple(tuple(time[frame.tobytes()] for frame in clip) for clip in base))
    assert len(orders) == 1 and len(set(*orders)) == kinds


def test_an_order_blind_function_is_right_for_one_class_exactly(data_set: Dataset, tested: Clips) -> None:
    """Logits of single frames, by a random layer and a kink, averaged without rounding: all classes get one answer."""
    kinds = data_set.temporal_classes
    weights = rng(1).standard_normal((kinds, CANVAS, CANVAS))
    frames = tested.pixels.reshape(-1, 1, CANVAS, CANVAS).astype(np.float64)
    logits = np.abs((frames * weights).sum(axis=(2, 3))).reshape(len(tested), data_set.frames, kinds)
    consensus = [[math.fsum(clip[:, k]) for k in range(kinds)] for clip in logits]
    answers = np.argmax(consensus, axis=1)
    assert np.array_equal(answers, np.repeat(answers[::kinds], kinds)) and len(set(answers)) > 1
    assert np.mean(answers == tested.temporal) == 1 / kinds


# What controls take away


def test_shuffled_takes_each_base_clip_once_and_loses_nothing_but_the_order(data_set: Dataset, tested: Clips) -> None:
    kinds = data_set.temporal_classes
    mixed = shuffled(tested, rng(), kinds)
    chosen = np.arange(30) * kinds + np.arange(30) % kinds
    assert len(mixed) == 30 and np.array_equal(mixed.temporal, np.arange(30) % kinds)
    assert np.array_equal(mixed.spatial, tested.spatial[chosen])
    for clip, source in zip(mixed.pixels, tested.pixels[chosen], strict=True):
        assert sorted(frame.tobytes() for frame in clip) == sorted(frame.tobytes() for frame in source)
    assert np.array_equal(mixed.pixels, shuffled(tested, rng(), kinds).pixels)
    assert not np.array_equal(mixed.pixels, shuffled(tested, rng(1), kinds).pixels)


def numbered(count: int, frames: int) -> Clips:
    """Clips of one pixel that shows the frame's number."""
    pixels = np.tile(np.arange(frames, dtype=np.float32), (count, 1)).reshape(count, frames, 1, 1, 1)
    return Clips(pixels, np.arange(count), np.arange(count) % 2)


def test_shuffled_draws_every_order_equally_often() -> None:
    seen = Counter(tuple(clip.ravel()) for clip in shuffled(numbered(2 * 12_000, 3), rng(), 2).pixels)
    assert len(seen) == 6
    assert all(abs(times - 2000) < 6 * np.sqrt(2000) for times in seen.values())


def test_one_frame_takes_every_frame_equally_often_and_keeps_the_labels() -> None:
    clips = numbered(16_000, 8)
    single = one_frame(clips, rng())
    assert single.pixels.shape == (16_000, 1, 1, 1, 1)
    assert np.array_equal(single.spatial, clips.spatial) and np.array_equal(single.temporal, clips.temporal)
    for temporal in (0, 1):
        times = np.bincount(single.pixels[single.temporal == temporal].ravel().astype(int))
        assert len(times) == 8 and np.all(np.abs(times - 1000) < 6 * np.sqrt(1000))


def test_one_frame_shows_a_frame_of_its_own_clip(tested: Clips) -> None:
    single = one_frame(tested, rng())
    for frame, clip in zip(single.pixels, tested.pixels, strict=True):
        assert (frame == clip).all(axis=(1, 2, 3)).sum() == 1


# Parameters and versions


def harder(name: str, **parameters: Any) -> Data:
    return Data(**{name: MODELS[name](**parameters)})


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_parameter_changes_the_version(name: str) -> None:
    assert set(HARDER[name]) == set(MODELS[name].model_fields)
    versions = {data_version(name, harder(name, **{key: value})) for key, value in HARDER[name].items()}
    assert len(versions | {data_version(name, Data())}) == len(HARDER[name]) + 1


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_parameter_changes_what_is_seen(name: str) -> None:
    usual = open_dataset(name, Recipe(), Data(), 1).clips(rng(), 20).pixels
    for key, value in HARDER[name].items():
        assert not np.array_equal(
            usual, open_dataset(name, Recipe(), harder(name, **{key: value}), 1).clips(rng(), 20).pixels
        )


def test_the_parameters_of_another_data_set_change_nothing() -> None:
    assert data_version("ring_digits", harder("opening_digits", jitter=2)) == data_version("ring_digits", Data())
    assert data_version("ring_digits", Data()) != data_version("opening_digits", Data())


def test_versions_are_the_same_in_another_process() -> None:
    code = (
        "from bench.accuracy.datasets import MAKERS, data_version; from bench.settings import Data\n"
        "print(*(data_version(name, Data()) for name in sorted(MAKERS)))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.split() == [data_version(name, Data()) for name in sorted(MAKERS)]
    assert all(len(version) == 12 and int(version, 16) >= 0 for version in printed.split())


def test_other_source_images_are_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, maker in list(MAKERS.items()):
        usual = data_version(name, Data())
        *some, last = maker.images()
        other = last.copy()
        other.flat[-1] += 1
        monkeypatch.setitem(MAKERS, name, replace(maker, images=lambda arrays=(*some, other): arrays))
        assert data_version(name, Data()) != usual


def test_other_rendering_is_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = data_version("ring_digits", Data())
    monkeypatch.setattr(ring_digits, "STEP", 5)
    assert data_version("ring_digits", Data()) != usual


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        *((name, "jitter", value) for name in MODELS for value in (-1, 4, 0.5)),
        *((name, "noise", value) for name in MODELS for value in (-0.1, 1.1, "loud")),
        *((name, "lowest_contrast", value) for name in MODELS for value in (0, 1.1)),
        *(("ring_digits", "band", value) for value in (-1, 9)),
        ("ring_digits", "distractor", "two"),
        ("opening_digits", "band", 3),
    ],
)
def test_a_parameter_outside_its_range_is_refused_in_one_line(name: str, key: str, value: object) -> None:
    with pytest.raises(ValueNotAllowed, match=key) as refused:
        validate({"accuracy": {"data": {name: {key: value}}}}, "my.toml")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("ring_digits", {"jitter": 0, "noise": 0, "band": 0, "lowest_contrast": 1}),
        ("ring_digits", {"jitter": 3, "noise": 1, "band": 8, "lowest_contrast": 0.01}),
        ("opening_digits", {"jitter": 0, "noise": 0, "lowest_contrast": 1}),
        ("opening_digits", {"jitter": 3, "noise": 1, "lowest_contrast": 0.01}),
    ],
)
def test_the_ends_of_all_ranges_can_be_rendered(name: str, parameters: dict[str, Any]) -> None:
    data = validate({"accuracy": {"data": {name: parameters}}}, "my.toml").accuracy.data
    some = open_dataset(name, Recipe(), data, 0)
    shown = (some.single_frames(rng(), 9, True), some.single_frames(rng(), 9, False), some.clips(rng(), 9))
    assert all(np.isfinite(part.pixels).all() for part in shown)
