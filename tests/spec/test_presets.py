"""The presets that the suite comes with."""

import pytest

from bench.plugins.discovery import infos_of, strategy_files
from bench.spec.axes import DETECTORS
from bench.spec.cases import Chosen, StrategyInfo
from bench.spec.expansion import Machine, expand, with_parameters
from bench.spec.parameters import plain
from bench.spec.settings import load_preset, preset_names, preset_strategies
from tests.spec.test_expansion import CPU, OURS


@pytest.fixture(scope="module")
def strategies() -> list[StrategyInfo]:
    """As their files say."""
    return [info for file in strategy_files() for info in infos_of(file) if info.name in preset_strategies()]


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_valid_and_every_section_that_they_ask_for_has_something_to_do(
    name: str, strategies: list[StrategyInfo]
) -> None:
    settings = load_preset(name)
    videos = settings.video.data.model_copy(update={"path": "/videos"})
    settings = settings.model_copy(update={"video": settings.video.model_copy(update={"data": videos})})
    known = with_parameters(strategies, settings, Chosen())
    found = expand(settings, known, Chosen(), Machine(("cpu", "cuda"), 2))
    networks = {*settings.online.backbones, *(n for panel in settings.online.panels for n in panel.backbones or ())}
    asked = {"detection" if network in DETECTORS else "online" for network in networks} & set(settings.sections)
    assert bool(found.panels_of("online")) == bool(settings.online.groups and asked)
    assert bool(found.panels_of("latency")) == ("latency" in settings.sections)
    trained = {training.section for training in found.trainings}
    assert ("accuracy" in trained) == ("accuracy" in settings.sections)
    assert ("detection" in trained) == ("detection" in settings.sections and bool(settings.detection.groups))
    assert ("video" in trained) == ("video" in settings.sections)
    assert set(map(plain, found.strategies)) <= preset_strategies()
    assert all(found.variants(strategy) for strategy in found.strategies)


def test_the_family_learns_from_videos_as_the_plain_shift_does() -> None:
    """Arms are paired with it, and those that verdicts speak of have the five seeds that one needs."""
    plain, family = (load_preset(name).video for name in ("utd-mhad", "family-video"))
    assert (family.backbone, family.recipe) == (plain.backbone, plain.recipe)
    asked = {"questions": (plain.data.question("pairs"),), "path": "/videos"}
    assert family.data.model_copy(update={"path": "/videos"}) == plain.data.model_copy(update=asked)
    settings = load_preset("family-video")
    with_videos = family.model_copy(update={"data": family.data.model_copy(update={"path": "/videos"})})
    (training,) = expand(settings.model_copy(update={"video": with_videos}), OURS, Chosen(), CPU).trainings
    seeds: dict[str, list[int]] = {}
    for trial in training.trials:
        seeds.setdefault(trial.variant.strategy, []).append(trial.seed)
    digits = {name for group in load_preset("family").accuracy.groups for name in group.strategies}
    assert seeds == {name: [0, 1, 2, 3, 4] for name in ("no_shift", *digits)}
    first = [trial.variant.strategy for trial in training.trials[:25]]
    assert set(first) == {"no_shift", "copy_shift", "gate_shift", "tam", "tea"}
    assert {trial.seed for trial in training.trials[25:49]} == {0, 1, 2}
