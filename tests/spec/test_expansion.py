"""From settings to cases and trials."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Literal

import pytest

from bench.cli.run import Request
from bench.spec.axes import ValueNotAllowed
from bench.spec.cases import BASELINE_VARIANT, Case, Chosen, StrategyInfo, Sweep
from bench.spec.expansion import Machine, expand
from bench.spec.settings import preset_names, preset_strategies, validate

CPU = Machine(("cpu",), 2)


def info(name: str, *, builtin: bool = True, **declared: Any) -> StrategyInfo:
    usual = {"placements": ("residual", "inplace"), "directions": ("bidirectional", "unidirectional")}
    return StrategyInfo(name, f"/{name}.py", builtin, **{**usual, **declared})


BUILTIN = [
    info("no_shift", fractions=(0.0,), placements=("residual",)),
    info("copy_shift"),
    info("concat_shift", same_function_as="copy_shift"),
    info("buffer_shift", same_function_as="copy_shift"),
    info("view_matmul", same_function_as="copy_shift", placements=("residual",), owns_layer=True),
]
OURS = [*BUILTIN, *map(info, preset_strategies() - {known.name for known in BUILTIN})]

GROUP = {"strategies": ["copy_shift", "buffer_shift"], "fractions": ["1/8", "1"]}
LATENCY = {"groups": [GROUP]}
TWO_PLACEMENTS = {"strategies": ["copy_shift"], "placements": ["residual", "inplace"]}
STREAMS = {
    "backbones": ["resnet18"],
    "streams": [1, 4],
    "groups": [{"strategies": ["copy_shift"], "fractions": ["1/8"], "directions": ["unidirectional"]}],
}


def sweep(
    infos: Sequence[StrategyInfo] = BUILTIN, chosen: Chosen | None = None, machine: Machine = CPU, **sections: Any
) -> Sweep:
    """Of the sections that are named."""
    settings = validate({"sections": list(sections), **sections}, "a test")
    return expand(settings, infos, chosen or Chosen(), machine)


def variants(*infos: StrategyInfo, chosen: Chosen | None = None, **latency: Any) -> list[str]:
    """Of one panel of the latency section, without the baseline and its twin."""
    found = sweep([*BUILTIN, *infos], chosen, latency=LATENCY | latency)
    return [case.variant.label.removesuffix("-bidirectional") for case in found.cases[2:]]


# --- timed sections ---------------------------------------------------------------------------------------------------


def test_the_baseline_and_its_twin_come_first_in_every_panel() -> None:
    panels = sweep(latency={**LATENCY, "threads": [1, 2]}).panels
    assert [planned.panel.threads for planned in panels] == [1, 2]
    for planned in panels:
        base = Case(BASELINE_VARIANT, planned.panel)
        assert planned.cases[:2] == (base, Case(BASELINE_VARIANT, planned.panel, aa=True))
        assert len({case.label for case in planned.cases}) == len(planned.cases) == 6
        assert {case.baseline for case in planned.cases} == {base}


def test_a_strategy_that_owns_its_layer_is_measured_with_nothing_moved_too() -> None:
    assert variants(groups=[{"strategies": ["copy_shift", "view_matmul"], "fractions": ["1/8", "1"]}]) == [
        *("copy_shift-residual-1/8", "copy_shift-residual-1"),
        *("view_matmul-residual-1/8", "view_matmul-residual-1", "view_matmul-residual-0"),
    ]


def test_a_dropped_in_strategy_joins_without_being_named() -> None:
    assert variants(info("mine", builtin=False))[4:] == ["mine-residual-1/8", "mine-residual-1"]
    named = variants(chosen=Chosen(strategies=("concat_shift",)))
    assert named == ["concat_shift-residual-1/8", "concat_shift-residual-1"]


def test_what_a_strategy_declares_wins_over_the_preset_but_not_over_the_user() -> None:
    mine = info("mine", builtin=False, fractions=(0.5,), placements=("inplace",))
    assert variants(mine)[4:] == ["mine-inplace-1/2"]
    asked = variants(mine, chosen=Chosen(fractions=(Fraction(1, 8),)))
    assert not [label for label in asked if "mine" in label]
    broken = StrategyInfo("broken", "/broken.py", builtin=False, error="SyntaxError")
    assert variants(broken)[4:] == ["broken-residual-1/8", "broken-residual-1"]  # listed as failed under what was asked


def test_options_narrow_and_replace() -> None:
    chosen = Chosen(strategies=("copy_shift",), fractions=(Fraction(0), Fraction(1, 2)), placements=("inplace",))
    assert variants(chosen=chosen) == ["copy_shift-inplace-1/2"]
    assert Chosen.model_validate(chosen.model_dump(mode="json")) == chosen


def test_a_panel_may_name_its_strategies() -> None:
    groups = [{"strategies": ["copy_shift", "buffer_shift", "view_matmul"], "fractions": ["1/8"]}]
    panels = [{"runtimes": ["eager"], "strategies": ["copy_shift"]}, {"threads": [1]}]
    found = sweep([*BUILTIN, info("mine", builtin=False)], latency={"groups": groups, "panels": panels})
    first, second = ({case.variant.strategy for case in planned.cases} for planned in found.panels)
    assert first == {"no_shift", "copy_shift", "mine"}
    assert second == {"no_shift", "copy_shift", "buffer_shift", "view_matmul", "mine"}
    twice = sweep(latency={"groups": groups, "panels": [*panels[:1], {"strategies": ["buffer_shift"]}]})
    assert [case.variant.strategy for case in twice.cases[2:]] == ["copy_shift", "buffer_shift"]
    (planned,) = sweep(latency={"groups": groups, "panels": [panels[0] | {"weight": 3}, {}]}).panels
    assert (len(planned.cases), planned.weight) == (2 + 4, 3)  # what either asks for, with the weight of the first


def test_panels_share_the_budget_by_weight_and_3d_networks_take_no_shift() -> None:
    found = sweep(latency={**LATENCY, "panels": [{"backbones": ["s3d"]}, {"weight": 9}]})
    assert [(p.panel.backbone, len(p.cases), p.weight) for p in found.panels] == [("s3d", 2, 1), ("resnet50", 6, 9)]


def test_a_later_turn_has_groups_of_its_own_and_is_left_out_where_it_adds_no_case() -> None:
    later = {"turn": 2, "groups": [{"strategies": ["buffer_shift"], "placements": ["inplace", "residual"]}]}
    latency = {**LATENCY, "panels": [later, {"threads": [1]}, {}]}
    found = sweep([*BUILTIN, info("mine", builtin=False)], latency=latency).panels
    assert [(planned.turn, planned.panel.threads, len(planned.cases)) for planned in found] == [
        *((1, 1, 2 + 6), (1, 2, 2 + 6), (2, 2, 2 + 2))
    ]
    chosen = Chosen(placements=("residual",), fractions=(Fraction(1, 8),))
    assert {planned.turn for planned in sweep(chosen=chosen, latency=latency).panels} == {1}


@pytest.mark.parametrize("name", preset_names())
def test_what_is_meant_for_a_gpu_is_never_measured_on_a_processor(name: str) -> None:
    """Whether the device is left open or asked for."""
    regimes = []
    for device in ("auto", "cpu"):
        try:
            found = expand(Request(name, device=device).settings(), OURS, Chosen(), CPU)
        except ValueNotAllowed:
            continue  # a preset for a GPU alone
        regimes.append({planned.panel for planned in found.panels})
        assert {planned.panel.device for planned in found.panels} <= {"cpu"}
    assert all(own == regimes[0] for own in regimes)


@pytest.mark.parametrize(
    ("latency", "complaint"),
    [
        ({"threads": [3]}, "3 threads are more than this machine's 2 cores; allowed: 1 to 2"),
        ({"device": "cuda"}, "device 'cuda' is not on this machine; there are: cpu"),
        ({"runtimes": ["cudagraph"]}, "no panel is left on cpu: what is asked for needs cuda"),
        ({"dtypes": ["int8"]}, "int8 exists in the runtimes onnxruntime and openvino, .* not in eager"),
        ({"panels": [{"device": "cuda"}]}, "no panel is left on cpu: what is asked for needs cuda"),
        ({"panels": [{"strategies": ["nobody"]}]}, "unknown strategy 'nobody'; there are: buffer_shift, concat_shift"),
        ({"groups": [{"strategies": ["nobody"]}]}, "unknown strategy 'nobody'"),
    ],
)
def test_what_this_machine_does_not_have_is_one_line(latency: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueNotAllowed, match=complaint):
        sweep(latency={**LATENCY, **latency})
    with pytest.raises(ValueNotAllowed, match="unknown strategy 'nobody'"):
        variants(chosen=Chosen(strategies=("nobody",)))


def test_what_another_device_would_be_needed_for_is_left_out_where_the_device_is_open() -> None:
    runtimes = {**LATENCY, "runtimes": ["eager", "cudagraph", "openvino"]}
    both = sweep(latency=runtimes, machine=Machine(("cpu", "cuda"), 2)).panels
    assert [(p.panel.device, p.panel.runtime) for p in both] == [
        *(("cpu", "eager"), ("cpu", "openvino"), ("cuda", "eager"), ("cuda", "cudagraph"))
    ]
    assert [p.panel.runtime for p in sweep(latency=runtimes).panels] == ["eager", "openvino"]


def test_eight_bits_are_for_runtimes_that_quantise() -> None:
    both = {**LATENCY, "runtimes": ["eager", "openvino"], "dtypes": ["fp32", "int8"]}
    found = [(planned.panel.runtime, planned.panel.dtype) for planned in sweep(latency=both).panels]
    assert found == [("eager", "fp32"), ("openvino", "fp32"), ("openvino", "int8")]


def test_streams_have_panels_of_their_own() -> None:
    labels = [case.label for case in sweep(online=STREAMS).cases]
    assert len(labels) == len(set(labels)) == 2 * 3
    assert labels[5] == "resnet18-online-8x224-s4-cpu-eager-fp32-nchw-2t/copy_shift-residual-1/8-unidirectional"


def test_only_what_takes_from_the_past_alone_can_stream() -> None:
    dropped_in = [info(name, builtin=False, directions=(f"{name}directional",)) for name in ("bi", "uni")]
    names = [case.variant.strategy for case in sweep([*BUILTIN, *dropped_in], online=STREAMS).cases]
    assert (names.count("bi"), names.count("uni")) == (0, 2)
    with pytest.raises(ValueNotAllowed, match=r"a stream has no next frame.*direction unidirectional"):
        sweep(chosen=Chosen(directions=("bidirectional",)), online=STREAMS)


@pytest.mark.parametrize(
    ("sections", "timed"),
    [(("online",), ["resnet18"]), (("detection",), ["digits_fcos"]), (("latency",), [])],
)
def test_detectors_are_timed_where_the_detection_section_is_asked_for(
    sections: tuple[str, ...], timed: list[str]
) -> None:
    settings = {"sections": list(sections), "online": STREAMS | {"backbones": ["resnet18", "digits_fcos"]}}
    found = expand(validate(settings, "a test"), BUILTIN, Chosen(), CPU)
    assert list(dict.fromkeys(planned.panel.backbone for planned in found.panels_of("online"))) == timed


# --- trainings --------------------------------------------------------------------------------------------------------


def studied(chosen: Chosen | None = None, machine: Machine = CPU, **study: Any) -> Sweep:
    """The main study with one seed, and a further one."""
    more = {"name": "more", "groups": [TWO_PLACEMENTS], **study}
    return sweep(chosen=chosen, machine=machine, accuracy={"groups": [TWO_PLACEMENTS], "seeds": 1, "studies": [more]})


def labels_of(found: Sweep) -> list[str]:
    return [trial.label for trial in found.trials]


def test_a_speed_variant_inherits_its_accuracy() -> None:
    chain = info("chain", same_function_as="buffer_shift")
    for names in (("copy_shift", "buffer_shift"), ("chain",)):
        found = sweep([*BUILTIN, chain], accuracy={"groups": [{"strategies": names}], "seeds": 2})
        assert labels_of(found) == [
            f"ring_digits-digits_resnet/{label}-bidirectional/seed{seed}"
            for seed in (0, 1)
            for label in ("no_shift-residual-0", "copy_shift-residual-1/4")
        ]


def test_what_two_studies_share_is_trained_once() -> None:
    alone, again = labels_of(studied(seeds=1)), labels_of(studied(seeds=2))
    assert (len(alone), again[:3], len(again)) == (3, alone, 6)


def test_a_study_crosses_its_factors_and_can_go_without_a_baseline() -> None:
    found = labels_of(studied(lr_factors=[0.5, 1], length_factors=[1, 2], baseline=False, first_seed=7))
    assert len(set(found)) == len(found) == 3 + 2 * 4
    assert "ring_digits-digits_resnet-lr×0.5-length×2/copy_shift-inplace-1/4-bidirectional/seed7" in found


def test_a_cohort_keeps_a_repetition_apart() -> None:
    again = [label for label in labels_of(studied(cohort="again", first_seed=9)) if "again" in label]
    assert len(again) == 3 and all(label.endswith("seed9") for label in again)


def test_a_network_that_exchanges_frames_by_itself_takes_no_shift() -> None:
    found = [label for label in labels_of(studied(backbones=["digits_r3d"])) if "digits_r3d" in label]
    assert found == ["ring_digits-digits_r3d/no_shift-residual-0-bidirectional/seed0"]


def test_studies_are_chosen_by_name() -> None:
    assert len(studied(cohort="again").trials) == 6
    assert len(studied(Chosen(studies=("main",)), cohort="again").trials) == 3
    with pytest.raises(ValueNotAllowed, match=r"unknown study 'nonsense'; this preset has: main, more"):
        studied(Chosen(studies=("nonsense",)))


def test_detectors_are_trained_seed_by_seed_and_only_where_a_group_names_them() -> None:
    group = {"strategies": ["buffer_shift"], "fractions": ["1/8"], "directions": ["unidirectional"]}
    (training,) = sweep(detection={"groups": [group], "seeds": 2, "lr_factors": [1, 2]}).trainings
    assert training.section == "detection"
    assert [(trial.seed, trial.condition.lr_factor, trial.variant.strategy) for trial in training.trials] == [
        (seed, factor, name) for seed in (0, 1) for factor in (1, 2) for name in ("no_shift", "copy_shift")
    ]
    assert not sweep(detection={"seeds": 2}).trainings


@pytest.mark.parametrize(
    ("machine", "recipe", "device", "bf16"),
    [
        (Machine(("cpu",), 2, cpu_bf16=True), {}, "cpu", True),
        (Machine(("cpu",), 2, cpu_bf16=False), {}, "cpu", False),
        (Machine(("cpu", "cuda"), 2, cpu_bf16=False), {}, "cuda", True),
        (Machine(("cpu", "cuda"), 2, cpu_bf16=False), {"device": "cpu"}, "cpu", False),
        (Machine(("cpu",), 2, cpu_bf16=False), {"bf16": True}, "cpu", True),
        (Machine(("cpu",), 2, cpu_bf16=True), {"bf16": False}, "cpu", False),
    ],
)
def test_training_takes_the_gpu_where_there_is_one_and_bf16_where_the_device_computes_in_it(
    machine: Machine, recipe: dict[str, Any], device: Literal["cpu", "cuda"], bf16: bool
) -> None:
    accuracy = {"groups": [TWO_PLACEMENTS], "recipe": recipe}
    resolved = sweep(machine=machine, accuracy=accuracy).trainings[0].recipe
    assert (resolved.device, resolved.bf16) == (device, bf16)
    with pytest.raises(ValueNotAllowed, match="device 'cuda' is not on this machine"):
        sweep(accuracy={**accuracy, "recipe": {"device": "cuda"}})


VIDEO = {"data": {"path": "/videos", "questions": [{"name": "a"}, {"name": "b", "task": "arrow"}]}, "seeds": 2}


def test_every_question_of_videos_is_a_data_set() -> None:
    (training,) = sweep(video=VIDEO).trainings
    arms = ("no_shift-residual-0", "copy_shift-residual-1/4", "copy_shift-inplace-1/4")
    assert [trial.label for trial in training.trials] == [
        f"{name}-timm:tf_efficientnet_lite0/{arm}-bidirectional/seed{seed}"
        for name in "ab"
        for seed in (0, 1)
        for arm in arms
    ]


def test_studies_of_videos_have_questions_and_seeds_of_their_own() -> None:
    causal = {"strategies": ["copy_shift"], "directions": ["unidirectional"]}
    study = {"name": "causal", "datasets": ["a"], "seeds": 1, "groups": [causal]}
    asked = {**VIDEO, "groups": [TWO_PLACEMENTS], "studies": [study]}
    labels = labels_of(sweep(video=asked))
    assert len(labels) == 2 * 2 * 3 + 1 and labels[-1].endswith("copy_shift-residual-1/4-unidirectional/seed0")
    assert len(labels_of(sweep(chosen=Chosen(studies=("causal",)), video=asked))) == 2
    with pytest.raises(ValueNotAllowed, match="unknown study 'main2'; this preset has: main, causal"):
        sweep(chosen=Chosen(studies=("main2",)), video=asked)


def test_weights_are_part_of_how_videos_are_learned_from() -> None:
    assert sweep(video=VIDEO).trainings[0].recipe.weights is None
    settings = validate({"sections": ["video"], "video": VIDEO, "weights": "/my.pth"}, "a test")
    assert expand(settings, BUILTIN, Chosen(), CPU).trainings[0].recipe.weights == "/my.pth"


@pytest.mark.parametrize("sections", [("video",), ("latency", "video")])
def test_a_section_of_videos_that_is_asked_for_needs_some(sections: tuple[str, ...]) -> None:
    with pytest.raises(ValueNotAllowed, match=r"trains on videos of your own, and there are none: .* with --data"):
        expand(validate({"sections": sections}, "a test"), BUILTIN, Chosen(), CPU)
    found = expand(validate({}, "a test"), BUILTIN, Chosen(), CPU).trainings
    assert "video" not in {training.section for training in found}  # of all sections, it is left out
