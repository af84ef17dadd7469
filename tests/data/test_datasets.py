"""What holds for every data set: no temporal class in a single frame, no image in two parts, nothing but the seed."""

import math
from collections import Counter, defaultdict
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench import data as data_sets
from bench.data import KINDS, cluttered_digits, data_version, open_dataset, ring_digits
from bench.data.clips import CANVAS, ClipDataset, Clips, one_frame, shuffled
from bench.data.images import BLOCK, DIGITS, Sources, digit_images, photograph_blocks
from bench.spec.axes import DATASETS, ValueNotAllowed
from bench.spec.settings import validate
from bench.spec.training import ClutteredDigitsData, Data, OpeningDigitsData, Recipe, RingDigitsData

HARDER: dict[str, dict[str, Any]] = {
    "ring_digits": {"jitter": 2, "noise": 0.1, "band": 4, "lowest_contrast": 0.5, "distractor": False},
    "opening_digits": {"jitter": 2, "noise": 0.1, "lowest_contrast": 0.5},
}
PARTS = ("validation", "test")
MODELS = {"ring_digits": RingDigitsData, "opening_digits": OpeningDigitsData}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture(scope="module", params=sorted(DATASETS))
def data_set(request: pytest.FixtureRequest) -> ClipDataset:
    return open_dataset(request.param, Recipe(), Data(), seed=1)


@pytest.fixture(scope="module")
def tested(data_set: ClipDataset) -> Clips:
    return data_set.judged(rng(), 30, "test")


def test_registry_matches_the_vocabulary_and_the_settings() -> None:
    assert set(KINDS) == set(DATASETS) == set(Data.model_fields)
    for ask in (lambda: open_dataset("no_such", Recipe(), Data(), 0), lambda: data_version("no_such", Data())):
        with pytest.raises(ValueNotAllowed, match=r"'no_such'; there are: ring_digits, opening_digits$"):
            ask()


# Splits


def split_sources(recipe: Recipe, seed: int) -> tuple[Sources, Sources, Sources]:
    data_set = open_dataset("opening_digits", recipe, Data(), seed)
    return data_set.train, data_set.validation, data_set.test


@pytest.mark.parametrize(("train", "validation"), [(0.6, 0.15), (0.75, 0.05), (0.2, 0.3)])
def test_digits_are_split_by_image_and_stratified(train: float, validation: float) -> None:
    parts = split_sources(Recipe(train_share=train, validation_share=validation), seed=3)
    assert sorted(np.concatenate([part.origins for part in parts])) == list(range(1797))
    whole = sum(np.bincount(part.labels, minlength=DIGITS) for part in parts)
    for part, share in zip(parts, (train, validation, 1 - train - validation), strict=True):
        assert np.all(np.abs(np.bincount(part.labels) - share * whole) <= 1)
        assert np.all(np.diff(part.labels) >= 0)


def test_photographs_are_split_by_block_and_stratified() -> None:
    every = photograph_blocks()
    photograph = {block.tobytes(): number for number, blocks in enumerate(every) for block in blocks}
    assert every.shape == (2, 40, BLOCK, BLOCK) and len(photograph) == 80
    parts = split_sources(Recipe(), seed=3)
    assert sorted(block.tobytes() for part in parts for block in part.blocks) == sorted(photograph)
    counts = [Counter(photograph[block.tobytes()] for block in part.blocks) for part in parts]
    assert counts == [{0: 24, 1: 24}, {0: 6, 1: 6}, {0: 10, 1: 10}]


def test_a_texture_lies_within_one_block() -> None:
    sources = split_sources(Recipe(), seed=3)[0]
    numbered = replace(sources, blocks=np.arange(len(sources.blocks))[:, None, None] + np.zeros_like(sources.blocks))
    cut = numbered.textures(rng(), 500, CANVAS, (0.0, 1.0))
    assert cut.shape == (500, CANVAS, CANVAS)
    assert np.all(cut == cut[:, :1, :1]) and set(cut[:, 0, 0]) == set(range(48))


def test_splits_depend_on_the_seed_alone() -> None:
    first, again, other = (split_sources(Recipe(), seed) for seed in (3, 3, 4))
    for one, same, another in zip(first, again, other, strict=True):
        assert np.array_equal(one.origins, same.origins)
        assert np.array_equal(one.blocks, same.blocks)
        assert not np.array_equal(one.origins, another.origins)
        assert not np.array_equal(one.blocks, another.blocks)


@pytest.mark.parametrize(
    ("train", "validation", "message"),
    [
        (
            0.6,
            0.002,
            r"validation_share = 0\.002 leaves no image of digit 0 for validation: each part needs one",
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


def draws(data_set: ClipDataset, seed: int, count: int) -> list[Any]:
    """Everything that a data set can be asked for."""
    singles = [data_set.single_frames(rng(seed), count, hard) for hard in (False, True)]
    frames = [SimpleNamespace(pixels=pixels, spatial=spatial) for pixels, spatial in singles]
    return [*frames, data_set.clips(rng(seed), count), *(data_set.judged(rng(seed), count, p) for p in PARTS)]


def test_same_generator_same_data(data_set: ClipDataset) -> None:
    first, again, other = (draws(data_set, seed, 70) for seed in (5, 5, 6))
    for one, same, another in zip(first, again, other, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(vars(one).values(), vars(same).values(), strict=True))
        assert not np.array_equal(one.pixels, another.pixels) and not np.array_equal(one.spatial, another.spatial)


def test_shapes_types_and_ranges(data_set: ClipDataset) -> None:
    kinds, noise = data_set.temporal_classes, 6 * 0.05  # six deviations: what noise alone may reach
    easy, hard, clips, validation, test = draws(data_set, 0, 90)
    assert easy.pixels.shape == hard.pixels.shape == (90, 1, CANVAS, CANVAS)
    assert clips.pixels.shape == (90, data_set.frames, 1, CANVAS, CANVAS)
    assert test.pixels.shape == validation.pixels.shape == (90 * kinds, data_set.frames, 1, CANVAS, CANVAS)
    for part in (easy, hard, clips, validation, test):
        assert part.pixels.dtype == np.float32 and part.spatial.dtype == np.int64
    assert easy.pixels.min() == 0 and 0.8 < easy.pixels.max() <= 1
    for part in (hard, clips, validation, test):
        assert -noise < part.pixels.min() < 0 and 0.8 < part.pixels.max() < 1 + noise
    for part in (validation, test):
        assert np.array_equal(part.temporal, np.tile(np.arange(kinds), 90))
        assert np.array_equal(part.spatial, np.repeat(part.spatial[::kinds], kinds))


def test_all_classes_are_equally_likely(data_set: ClipDataset) -> None:
    clips, kinds = data_set.clips(rng(), 2000), data_set.temporal_classes
    assert np.all(np.abs(np.bincount(clips.spatial) / 2000 - 1 / DIGITS) < 0.03)
    assert np.all(np.abs(np.bincount(clips.temporal) / 2000 - 1 / kinds) < 0.04)


def test_a_single_frame_says_nothing_of_the_temporal_class(data_set: ClipDataset, tested: Clips) -> None:
    """Whatever frame is seen, at whatever time: each class shows it equally often. So the classes are permutations."""
    classes: defaultdict[bytes, Counter[int]] = defaultdict(Counter)
    for clip, temporal in zip(tested.pixels, tested.temporal.tolist(), strict=True):
        for frame in clip:
            classes[frame.tobytes()][temporal] += 1
    assert len(classes) == 30 * data_set.frames
    assert all(seen == dict.fromkeys(range(data_set.temporal_classes), 1) for seen in classes.values())


def test_one_permutation_leads_from_class_to_class_in_all_clips(data_set: ClipDataset, tested: Clips) -> None:
    kinds = data_set.temporal_classes
    orders = set()
    for base in tested.pixels.reshape(30, kinds, data_set.frames, -1):
        time = {frame.tobytes(): t for t, frame in enumerate(base[0])}
        orders.add(tuple(tuple(time[frame.tobytes()] for frame in clip) for clip in base))
    assert len(orders) == 1 and len(set(*orders)) == kinds


def test_an_order_blind_function_is_right_for_one_class_exactly(data_set: ClipDataset, tested: Clips) -> None:
    """Logits of single frames, by a random layer and a kink, averaged without rounding: all classes get one answer."""
    kinds = data_set.temporal_classes
    weights = rng(1).standard_normal((kinds, CANVAS, CANVAS))
    frames = tested.pixels.reshape(-1, 1, CANVAS, CANVAS).astype(np.float64)
    logits = np.abs((frames * weights).sum(axis=(2, 3))).reshape(len(tested), data_set.frames, kinds)
    consensus = [[math.fsum(clip[:, k]) for k in range(kinds)] for clip in logits]
    answers = np.argmax(consensus, axis=1)
    assert np.array_equal(answers, np.repeat(answers[::kinds], kinds)) and len(set(answers)) > 1
    assert np.mean(answers == tested.temporal) == 1 / kinds


# Controls


def test_shuffled_takes_each_base_clip_once_and_loses_nothing_but_the_order(
    data_set: ClipDataset, tested: Clips
) -> None:
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


def test_one_frame_takes_every_frame_equally_often_and_keeps_the_labels(tested: Clips) -> None:
    clips = numbered(16_000, 8)
    single = one_frame(clips, rng())
    assert single.pixels.shape == (16_000, 1, 1, 1, 1)
    assert np.array_equal(single.spatial, clips.spatial) and np.array_equal(single.temporal, clips.temporal)
    for temporal in (0, 1):
        times = np.bincount(single.pixels[single.temporal == temporal].ravel().astype(int))
        assert len(times) == 8 and np.all(np.abs(times - 1000) < 6 * np.sqrt(1000))
    for frame, clip in zip(one_frame(tested, rng()).pixels, tested.pixels, strict=True):
        assert (frame == clip).all(axis=(1, 2, 3)).sum() == 1


# Parameters and versions


def harder(name: str, **parameters: Any) -> Data:
    return Data(**{name: MODELS[name](**parameters)})


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_parameter_changes_what_is_seen_and_the_version(name: str) -> None:
    assert set(HARDER[name]) == set(MODELS[name].model_fields)
    usual = open_dataset(name, Recipe(), Data(), 1).clips(rng(), 20).pixels
    versions = {data_version(name, Data())}
    for key, value in HARDER[name].items():
        data = harder(name, **{key: value})
        assert not np.array_equal(usual, open_dataset(name, Recipe(), data, 1).clips(rng(), 20).pixels)
        versions.add(data_version(name, data))
    assert len(versions) == len(HARDER[name]) + 1


def test_versions_are_those_of_the_published_runs() -> None:
    assert data_version("ring_digits", Data()) == "acaf01109dc8"
    assert data_version("opening_digits", Data()) == "ed91609e9d5d"
    assert cluttered_digits.data_version(ClutteredDigitsData()) == "409c6d6bc3d9"


def test_a_version_depends_on_its_own_data_set_alone() -> None:
    assert data_version("ring_digits", harder("opening_digits", jitter=2)) == data_version("ring_digits", Data())
    assert data_version("ring_digits", Data()) != data_version("opening_digits", Data())


def test_other_source_images_and_other_rendering_are_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = digit_images()
    digits, blocks = images.copy(), photograph_blocks().copy()
    digits.flat[-1] += 1
    blocks.flat[-1] += 1
    for name, kind in KINDS.items():
        usual = data_version(name, Data())
        for source, other, shown in (
            ("digit_images", (digits, labels), True),
            ("photograph_blocks", blocks, kind.photographs),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(data_sets, source, lambda other=other: other)
                assert (data_version(name, Data()) != usual) is shown
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
    shown = draws(open_dataset(name, Recipe(), harder(name, **parameters), 0), 0, 9)
    assert all(np.isfinite(part.pixels).all() for part in shown)
