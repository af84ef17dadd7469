"""From settings to cases."""

from fractions import Fraction

import pytest

from bench.axes import ValueNotAllowed
from bench.discovery import settle_names
from bench.settings import Accuracy, Group, Latency, Settings, load_preset, parse_duration, preset_names
from bench.sweep import BASELINE_VARIANT, Case, Chosen, StrategyInfo, resolve


def info(name: str, *, builtin: bool = True, **declared: object) -> StrategyInfo:
    values = {"placements": ("residual", "inplace"), "directions": ("bidirectional", "unidirectional"), **declared}
    return StrategyInfo(name, f"/{name}.py", builtin, **values)  # type: ignore[arg-type]


BUILTIN = [
    info("no_shift", fractions=(0.0,), placements=("residual",)),
    info("copy_shift"),
    info("concat_shift", same_function_as="copy_shift"),
    info("buffer_shift", same_function_as="copy_shift"),
]
ONE = Settings(
    latency=Latency(groups=(Group(strategies=("copy_shift", "buffer_shift"), fractions=("1/8", "1")),)),  # type: ignore[arg-type]
    accuracy=Accuracy(groups=(Group(strategies=("copy_shift", "buffer_shift")),), seeds=2),
)


NOTHING_CHOSEN = Chosen()


def labels(settings: Settings, infos: list[StrategyInfo], chosen: Chosen = NOTHING_CHOSEN, cores: int = 2) -> list[str]:
    sweep = resolve(settings, infos, chosen, ["cpu"], cores)
    return [f"{case.variant.label}{'+aa' if case.aa else ''}" for _, cases in sweep.panels for case in cases]


def test_the_baseline_and_its_twin_come_first_in_every_panel() -> None:
    settings = ONE.model_copy(update={"latency": ONE.latency.model_copy(update={"threads": (1, 2)})})
    sweep = resolve(settings, BUILTIN, Chosen(), ["cpu"], 2)
    assert [panel.threads for panel, _ in sweep.panels] == [1, 2]
    for panel, cases in sweep.panels:
        assert cases[:2] == (Case(BASELINE_VARIANT, panel), Case(BASELINE_VARIANT, panel, aa=True))
        assert len(cases) == 6
        assert len({case.label for case in cases}) == 6


def test_a_speed_variant_inherits_its_accuracy() -> None:
    sweep = resolve(ONE, BUILTIN, Chosen(), ["cpu"], 2)
    assert {arm.variant.strategy for arm in sweep.arms} == {"no_shift", "copy_shift"}
    assert {arm.seed for arm in sweep.arms} == {0, 1}


def test_a_speed_variant_alone_is_trained_under_the_name_of_its_function() -> None:
    sweep = resolve(ONE, BUILTIN, Chosen(strategies=("buffer_shift",)), ["cpu"], 2)
    assert {arm.variant.strategy for arm in sweep.arms} == {"no_shift", "copy_shift"}


def test_a_dropped_in_strategy_joins_without_being_named() -> None:
    found = labels(ONE, [*BUILTIN, info("mine", builtin=False)])
    assert [label for label in found if label.startswith("mine")] == [
        "mine-residual-1/8-bidirectional",
        "mine-residual-1-bidirectional",
    ]


def test_what_a_strategy_declares_wins_over_the_preset_but_not_over_the_user() -> None:
    mine = info("mine", builtin=False, fractions=(0.5,), placements=("inplace",))
    assert [label for label in labels(ONE, [*BUILTIN, mine]) if "mine" in label] == ["mine-inplace-1/2-bidirectional"]
    asked = Chosen(fractions=(Fraction(1, 8),))
    assert [label for label in labels(ONE, [*BUILTIN, mine], asked) if "mine" in label] == []


def test_options_narrow_and_replace() -> None:
    chosen = Chosen(strategies=("copy_shift",), fractions=(Fraction(0), Fraction(1, 2)), placements=("inplace",))
    assert labels(ONE, BUILTIN, chosen)[2:] == ["copy_shift-inplace-1/2-bidirectional"]
    named = Chosen(strategies=("concat_shift",))
    assert [label for label in labels(ONE, BUILTIN, named) if "concat" in label] == [
        "concat_shift-residual-1/8-bidirectional",
        "concat_shift-residual-1-bidirectional",
    ]


def test_too_many_threads_name_the_limit() -> None:
    settings = ONE.model_copy(update={"latency": ONE.latency.model_copy(update={"threads": (3,)})})
    with pytest.raises(ValueNotAllowed, match="3 threads are more than this machine's 2 cores"):
        labels(settings, BUILTIN)


def test_cases_survive_the_journey_through_json() -> None:
    for _, cases in resolve(ONE, BUILTIN, Chosen(), ["cpu"], 2).panels:
        assert [Case.from_json(case.to_json()) for case in cases] == list(cases)


def test_a_name_belongs_to_the_first_file() -> None:
    second = StrategyInfo("copy_shift", "/elsewhere/copy_shift.py", False)
    settled = settle_names([*BUILTIN, second])
    assert settled[-1].error == "the name 'copy_shift' is taken by /copy_shift.py"
    assert settled[-1].name != "copy_shift"


@pytest.mark.parametrize("name", preset_names())
def test_presets_are_valid_and_name_real_strategies(name: str) -> None:
    settings = load_preset(name)
    sweep = resolve(settings, BUILTIN, Chosen(), ["cpu", "cuda"], 2)
    assert bool(sweep.arms) == ("accuracy" in settings.sections)
    assert sweep.panels


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (45, 45)])
def test_durations(text: str | int, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0s", "10 minutes", "nan"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueNotAllowed, match="duration"):
        parse_duration(text)
