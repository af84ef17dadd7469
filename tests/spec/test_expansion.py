"""From settings to cases."""

import json
from fractions import Fraction
from typing import Literal

import pytest

from bench.plugins.discovery import settle_names
from bench.spec.axes import DETECTORS, ValueNotAllowed
from bench.spec.cases import BASELINE_VARIANT, Case, Chosen, Condition, StrategyInfo
from bench.spec.expansion import resolve
from bench.spec.schema import parse_duration
from bench.spec.settings import Accuracy, Group, Latency, Panels, Recipe, Settings, load_preset, preset_names, validate


def info(name: str, *, builtin: bool = True, **declared: object) -> StrategyInfo:
    values = {"placements": ("residual", "inplace"), "directions": ("bidirectional", "unidirectional"), **declared}
    return StrategyInfo(name, f"/{name}.py", builtin, **values)  # type: ignore[arg-type]


BUILTIN = [
    info("no_shift", fractions=(0.0,), placements=("residual",)),
    info("copy_shift"),
    info("concat_shift", same_function_as="copy_shift"),
    info("buffer_shift", same_function_as="copy_shift"),
    info("temporal_conv", fractions=(1.0,)),
    info("native_shift", same_function_as="copy_shift"),
    info("view_matmul", same_function_as="copy_shift", placements=("residual",), owns_layer=True),
    info("native_matmul", same_function_as="copy_shift", placements=("residual",), owns_layer=True),
    info("parted_shift", same_function_as="copy_shift", owns_layer=True),
    info("placed_shift", same_function_as="copy_shift", owns_layer=True),
    info("inner_shift", placements=("residual",)),
    info("triton_shift", same_function_as="copy_shift"),
    info("triton_conv", same_function_as="copy_shift", placements=("residual",), owns_layer=True),
    *(
        info(name, same_function_as="copy_shift")
        for name in ("frame_concat_shift", "pad_slice_shift", "gather_shift", "depthwise_shift")
    ),
    *(
        info(name, same_function_as="copy_shift", placements=("residual",))
        for name in ("split_input_shift", "split_output_shift", "aligned_split_shift")
    ),
]
ONE = Settings(
    latency=Latency(groups=(Group(strategies=("copy_shift", "buffer_shift"), fractions=("1/8", "1")),)),  # type: ignore[arg-type]
    accuracy=Accuracy(groups=(Group(strategies=("copy_shift", "buffer_shift")),), seeds=2),
)


NOTHING_CHOSEN = Chosen()


def labels(settings: Settings, infos: list[StrategyInfo], chosen: Chosen = NOTHING_CHOSEN, cores: int = 2) -> list[str]:
    sweep = resolve(settings, infos, chosen, ["cpu"], cores)
    return [f"{case.variant.label}{'+aa' if case.aa else ''}" for _, cases in sweep.panels for case in cases]


def test_who_owns_a_layer_is_measured_with_nothing_moved_too() -> None:
    groups = (Group(strategies=("copy_shift", "view_matmul"), fractions=("1/8", "1")),)  # type: ignore[arg-type]
    settings = ONE.model_copy(update={"latency": Latency(groups=groups)})
    assert labels(settings, BUILTIN) == [
        *("no_shift-residual-0-bidirectional", "no_shift-residual-0-bidirectional+aa"),
        *("copy_shift-residual-1/8-bidirectional", "copy_shift-residual-1-bidirectional"),
        *("view_matmul-residual-1/8-bidirectional", "view_matmul-residual-1-bidirectional"),
        "view_matmul-residual-0-bidirectional",
    ]


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
    networks = {*settings.online.backbones, *(n for panel in settings.online.panels for n in panel.backbones or ())}
    asked = {"detection" if network in DETECTORS else "online" for network in networks} & set(settings.sections)
    assert bool(sweep.online) == bool(settings.online.groups and asked)
    assert bool(sweep.arms) == ("accuracy" in settings.sections)
    assert bool(sweep.panels) == ("latency" in settings.sections)


STREAMS = {
    "backbones": ["resnet18"],
    "streams": [1, 4],
    "groups": [{"strategies": ["copy_shift"], "fractions": ["1/8"], "directions": ["unidirectional"]}],
}


def online(chosen: Chosen = NOTHING_CHOSEN, infos: list[StrategyInfo] = BUILTIN, **more: object) -> list[str]:
    settings = validate({"sections": ["online"], "online": STREAMS | more}, "a test")
    return [case.label for case in resolve(settings, infos, chosen, ["cpu"], 2).cases]


def test_streams_have_panels_of_their_own() -> None:
    labels_of_all = online()
    assert len(labels_of_all) == 2 * 3 and len(set(labels_of_all)) == 6
    assert labels_of_all[5] == "resnet18-online-8x224-s4-cpu-eager-fp32-nchw-2t/copy_shift-residual-1/8-unidirectional"


def test_only_what_takes_from_the_past_alone_can_stream() -> None:
    dropped_in = [info(name, builtin=False, directions=(f"{name}directional",)) for name in ("bi", "uni")]
    found = online(infos=[*BUILTIN, *dropped_in])
    assert [label for label in found if "/bi-" in label] == [] and len([lab for lab in found if "/uni-" in lab]) == 2
    with pytest.raises(ValueNotAllowed, match=r"a stream has no next frame.*direction unidirectional"):
        online(Chosen(directions=("bidirectional",)))
    with pytest.raises(ValueNotAllowed, match=r"unknown backbone of the online section 's3d'; there are: resnet18"):
        online(backbones=["s3d"])


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), (45, 45)])
def test_durations(text: str | int, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0s", "10 minutes", "nan"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(ValueNotAllowed, match="duration"):
        parse_duration(text)


MAIN_GROUP = Group(strategies=("copy_shift",), placements=("residual", "inplace"))


def studied(**study: object) -> Settings:
    """The main study with one seed, and a further one."""
    data = {
        "sections": ["accuracy"],
        "accuracy": {
            "groups": [MAIN_GROUP.model_dump(mode="json")],
            "seeds": 1,
            "studies": [{"name": "more", "groups": [MAIN_GROUP.model_dump(mode="json")], **study}],
        },
    }
    return validate(data, "a test")


def conditions(settings: Settings, chosen: Chosen = NOTHING_CHOSEN) -> list[str]:
    return [arm.label for arm in resolve(settings, BUILTIN, chosen, ["cpu"], 2).arms]


def test_what_two_studies_share_is_trained_once() -> None:
    alone = conditions(studied(seeds=1))
    assert len(alone) == 3
    assert conditions(studied(seeds=2))[:3] == alone and len(conditions(studied(seeds=2))) == 6


def test_a_study_crosses_its_factors_and_can_go_without_a_baseline() -> None:
    found = conditions(studied(lr_factors=[0.5, 1], length_factors=[1, 2], baseline=False, first_seed=7))
    assert len(found) == 3 + 2 * 4
    assert "ring_digits-digits_resnet-lr×0.5-length×2/copy_shift-inplace-1/4-bidirectional/seed7" in found
    assert len(set(found)) == len(found)


def test_a_cohort_keeps_a_repetition_apart() -> None:
    again = [label for label in conditions(studied(cohort="again", first_seed=9)) if "again" in label]
    assert len(again) == 3 and all(label.endswith("seed9") for label in again)


def test_a_network_that_exchanges_frames_by_itself_takes_no_shift() -> None:
    found = [label for label in conditions(studied(backbones=["digits_r3d"])) if "digits_r3d" in label]
    assert found == ["ring_digits-digits_r3d/no_shift-residual-0-bidirectional/seed0"]


def test_studies_are_chosen_by_name() -> None:
    settings = studied(cohort="again")
    assert len(conditions(settings)) == 6
    assert len(conditions(settings, Chosen(studies=("main",)))) == 3
    with pytest.raises(ValueNotAllowed, match=r"unknown study 'nonsense'; this preset has: main, more"):
        conditions(settings, Chosen(studies=("nonsense",)))


@pytest.mark.parametrize(
    ("study", "complaint"),
    [
        ({"name": "main"}, "two studies are called 'main'"),
        ({"backbones": ["resnet18"]}, "unknown backbone of the accuracy section 'resnet18'"),
        ({"objectives": ["taste"]}, "objectives"),
        ({"lr_factors": [0]}, "greater than 0"),
        ({"seeds": 0}, "greater than or equal to 1"),
        ({"nonsense": 1}, "unknown key"),
    ],
)
def test_a_study_that_makes_no_sense_is_one_line(study: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueNotAllowed, match=complaint) as caught:
        studied(**study)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("recipe", "complaint"),
    [
        ({"train_share": 0.8, "validation_share": 0.2}, "leave no images for the test"),
        ({"validation_share": 0}, "greater than 0"),
        ({"judged_on": "training"}, "judged_on"),
        ({"device": "tpu"}, "device"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_one_line(recipe: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueNotAllowed, match=complaint):
        validate({"accuracy": {"recipe": recipe}}, "a test")


@pytest.mark.parametrize("data", [{"noise": -0.1}, {"noise": 2}, {"jitter": 9}, {"band": 17}, {"lowest_contrast": 0}])
def test_a_data_parameter_outside_its_range_is_one_line(data: dict[str, object]) -> None:
    with pytest.raises(ValueNotAllowed, match=next(iter(data))):
        validate({"accuracy": {"data": {"ring_digits": data}}}, "a test")


def test_training_takes_the_gpu_where_there_is_one() -> None:
    for devices, device in ((["cpu"], "cpu"), (["cpu", "cuda"], "cuda")):
        assert resolve(studied(), BUILTIN, Chosen(), devices, 2).recipe.device == device
    wanted = studied().model_copy(update={"accuracy": Accuracy(recipe=Recipe(device="cuda"))})
    with pytest.raises(ValueNotAllowed, match="device 'cuda' is not on this machine"):
        resolve(wanted, BUILTIN, Chosen(), ["cpu"], 2)


def test_arms_survive_the_journey_through_json() -> None:
    for arm in resolve(studied(cohort="again", lr_factors=[0.5]), BUILTIN, Chosen(), ["cpu"], 2).arms:
        assert Condition.from_json(json.loads(json.dumps(arm.to_json()))) == arm.condition


def test_panels_share_the_budget_by_weight_and_3d_networks_take_no_shift() -> None:
    data = {
        "latency": {"groups": [MAIN_GROUP.model_dump(mode="json")], "panels": [{"backbones": ["s3d"]}, {"weight": 9}]}
    }
    sweep = resolve(validate({"sections": ["latency"], **data}, "a test"), BUILTIN, Chosen(), ["cpu"], 2)
    assert [(panel.backbone, len(cases)) for panel, cases in sweep.panels] == [("s3d", 2), ("resnet50", 4)]
    assert sweep.weights == (1, 9)


@pytest.mark.parametrize(
    ("devices", "cpu_bf16", "asked", "bf16"),
    [
        (["cpu"], True, "auto", True),
        (["cpu"], False, "auto", False),
        (["cpu", "cuda"], False, "auto", True),
        (["cpu"], False, True, True),
        (["cpu"], True, False, False),
    ],
)
def test_training_in_bf16_where_the_device_computes_in_it(
    devices: list[str], cpu_bf16: bool, asked: bool | Literal["auto"], bf16: bool
) -> None:
    settings = studied().model_copy(update={"accuracy": Accuracy(recipe=Recipe(bf16=asked))})
    assert resolve(settings, BUILTIN, Chosen(), devices, 2, cpu_bf16).recipe.bf16 is bf16


def test_a_panel_may_name_its_strategies() -> None:
    groups = (Group(strategies=("copy_shift", "buffer_shift", "view_matmul"), fractions=("1/8",)),)  # type: ignore[arg-type]
    narrow = Panels(runtimes=("eager",), strategies=("copy_shift",))
    latency = Latency(groups=groups, panels=(narrow, Panels(threads=(1,))))
    dropped = info("mine", builtin=False)
    sweep = resolve(ONE.model_copy(update={"latency": latency}), [*BUILTIN, dropped], Chosen(), ["cpu"], 2)
    first, second = ({case.variant.strategy for case in cases} for _, cases in sweep.panels)
    assert first == {"no_shift", "copy_shift", "mine"}
    assert second == {"no_shift", "copy_shift", "buffer_shift", "view_matmul", "mine"}
    wrong = Latency(groups=groups, panels=(Panels(strategies=("nobody",)),))
    with pytest.raises(ValueNotAllowed, match="unknown strategy 'nobody'"):
        resolve(ONE.model_copy(update={"latency": wrong}), BUILTIN, Chosen(), ["cpu"], 2)
