"""Parameters: how they are declared, and the names that their values give a strategy."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from bench.spec.axes import ValueNotAllowed
from bench.spec.cases import Case, Chosen, StrategyInfo, Sweep
from bench.spec.expansion import expand, with_parameters
from bench.spec.parameters import Declared, Parameter, alike, described, names_in, parse, spelled_out, values_of
from bench.spec.settings import validate
from tests.spec.test_expansion import BUILTIN, CPU, LATENCY, info

DECLARED: Declared = {
    "kernel": Parameter(3, (3, 5, 7), "frames"),
    "scale": Parameter(0.5, (0.5, 1.0), "of the gate"),
    "gated": Parameter(True, (True, False), "or not"),
    "pool": Parameter("mean", ("mean", "max"), "over space"),
}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a,b", ["a", "b"]),
        ("tam[kernel=3,5],copy_shift", ["tam[kernel=3,5]", "copy_shift"]),
        ("a,tam[kernel=3,5;pool=mean,max],b[k=1]", ["a", "tam[kernel=3,5;pool=mean,max]", "b[k=1]"]),
        ("tam[kernel=3,5", ["tam[kernel=3", "5"]),
    ],
)
def test_commas_part_names_outside_of_brackets_only(text: str, parts: list[str]) -> None:
    assert names_in(text) == parts


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("tam", ["tam"]),
        ("tam[]", ["tam"]),
        ("tam[kernel=3]", ["tam"]),
        ("tam[kernel=3,5]", ["tam", "tam[kernel=5]"]),
        ("tam[kernel=5,5]", ["tam[kernel=5]"]),
        ("tam[ pool = max , mean ]", ["tam[pool=max]", "tam"]),
        ("tam[gated=false,scale=1]", ["tam[scale=1;gated=false]"]),
        ("tam[pool=max;kernel=5,7]", ["tam[kernel=5;pool=max]", "tam[kernel=7;pool=max]"]),
    ],
)
def test_each_combination_has_one_name_and_defaults_are_not_written(asked: str, names: list[str]) -> None:
    assert spelled_out(asked, DECLARED) == names
    for name in names:
        assert spelled_out(name, DECLARED) == [name]
        assert "," not in name  # tables join names with commas


def test_the_values_of_a_name_are_those_that_were_declared() -> None:
    assert values_of("tam[kernel=5;scale=1;gated=false;pool=max]", DECLARED) == {
        **{"kernel": 5, "scale": 1.0, "gated": False, "pool": "max"}
    }
    assert values_of("tam[kernel=3]", DECLARED) == {} == values_of("tam", DECLARED)
    with pytest.raises(ValueNotAllowed, match=r"names 2 strategies; here it must be one: tam, tam\[kernel=5\]"):
        values_of("tam[kernel=3,5]", DECLARED)


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ("tam[kernel=4]", "kernel of tam cannot be '4'; there are: 3, 5, 7"),
        ("tam[kernel=]", "kernel of tam cannot be ''"),
        ("tam[kernel=5.0]", "cannot be '5.0'"),
        ("tam[kernle=3]", r"tam has no parameter 'kernle'; it has kernel \(3, 5, 7\), scale \(0.5, 1\), gated"),
        ("tam[5]", "gives '5' to no parameter; a strategy with parameters is written like"),
        ("tam[kernel=3", "no strategy's name"),
        ("tam[kernel=3]x", "no strategy's name"),
        ("[kernel=3]", "no strategy's name"),
    ],
)
def test_what_is_not_declared_is_one_line(asked: str, complaint: str) -> None:
    with pytest.raises(ValueNotAllowed, match=complaint):
        spelled_out(asked, DECLARED)
    with pytest.raises(ValueNotAllowed, match="it has none"):
        spelled_out("copy_shift[kernel=3]", {})


def test_a_speed_variant_equals_the_strategy_with_its_own_values() -> None:
    declared = {"kernel": DECLARED["kernel"]}
    assert alike("fast[kernel=5;pool=max]", "tam", declared) == "tam[kernel=5]"
    assert alike("fast[kernel=5]", "tam[kernel=7]", declared) == "tam[kernel=7]"
    assert alike("fast", "tam", declared) == "tam" == alike("fast[kernel=5]", "tam", {})


@pytest.mark.parametrize(
    ("default", "allowed", "complaint"),
    [
        (4, (3, 5), "default, 4, is not among its values: 3, 5"),
        (3, (3, 3), "allows a value twice"),
        ("a,b", ("a,b",), "'a,b' must be a number or a word"),
        ("", ("",), "'' must be a number or a word"),
    ],
)
def test_a_declaration_that_cannot_be_written_is_refused(
    default: int | str, allowed: tuple[int | str, ...], complaint: str
) -> None:
    with pytest.raises(ValueNotAllowed, match=complaint):
        Parameter(default, allowed, "anything")


def test_lists_show_default_values_and_help() -> None:
    assert described(DECLARED)[0] == "kernel=3 of 3, 5, 7: frames"
    assert described(DECLARED)[2] == "gated=true of true, false: or not"
    assert parse("tam[kernel=3,5]") == ("tam", {"kernel": ("3", "5")})


# --- in a sweep -------------------------------------------------------------------------------------------------------

TAM = info("tam", parameters={"kernel": DECLARED["kernel"], "pool": DECLARED["pool"]})
FAST = info("fast_tam", same_function_as="tam", parameters={"kernel": DECLARED["kernel"]})
MINE = replace(TAM, name="mine", builtin=False)


def with_values(*infos: StrategyInfo, chosen: Chosen | None = None, **sections: Any) -> Sweep:
    """As a run does: what is named with values of its own is known before cases are made."""
    settings, asked = validate({"sections": list(sections), **sections}, "a test"), chosen or Chosen()
    return expand(settings, with_parameters([*BUILTIN, *infos], settings, asked), asked, CPU)


def names_of(sweep: Sweep) -> list[str]:
    """Of all strategies but the baseline."""
    return [name for name in sweep.strategies if name != "no_shift"]


def test_values_of_parameters_are_swept_under_names_of_their_own() -> None:
    group = {"strategies": ["tam[kernel=3,5]", "copy_shift"], "fractions": ["1"]}
    found = with_values(TAM, latency={"groups": [group]}, accuracy={"groups": [group], "seeds": 1})
    assert names_of(found) == ["tam", "tam[kernel=5]", "copy_shift"]
    assert found.trials[2].label == "ring_digits-digits_resnet/tam[kernel=5]-residual-1-bidirectional/seed0"
    case = found.cases[3]
    assert case.variant.strategy == "tam[kernel=5]" and Case.from_json(case.to_json()) == case


def test_what_the_user_gives_values_takes_the_place_of_the_plain_strategy() -> None:
    groups = [{"strategies": ["tam"], "fractions": ["1/2"]}]
    asked = Chosen(strategies=("tam[kernel=5,7]",))
    found = with_values(TAM, chosen=asked, latency={"groups": groups})
    assert [case.variant.label for case in found.cases[2:]] == [
        f"tam[kernel={kernel}]-residual-1/2-bidirectional" for kernel in (5, 7)
    ]
    unnamed = with_values(TAM, chosen=asked, latency=LATENCY)  # joins as any strategy that is only named
    assert names_of(unnamed) == ["tam[kernel=5]", "tam[kernel=7]"]
    row = {"groups": groups, "panels": [{"strategies": ["tam"]}]}
    assert names_of(with_values(TAM, chosen=asked, latency=row)) == ["tam[kernel=5]", "tam[kernel=7]"]


def test_a_dropped_in_strategy_joins_with_its_defaults_and_with_the_values_that_are_asked_for() -> None:
    assert names_of(with_values(MINE, latency=LATENCY)) == ["copy_shift", "buffer_shift", "mine"]
    group = {"strategies": ["mine[kernel=7]"]}
    found = with_values(MINE, latency=LATENCY, accuracy={"groups": [group], "seeds": 1})
    assert names_of(found) == ["copy_shift", "buffer_shift", "mine", "mine[kernel=7]"]
    assert {case.variant.strategy for case in found.cases} == {"no_shift", "copy_shift", "buffer_shift", "mine"}


def test_accuracy_is_inherited_from_the_strategy_with_the_same_values() -> None:
    group = {"strategies": ["fast_tam[kernel=5]"]}
    found = with_values(TAM, FAST, accuracy={"groups": [group], "seeds": 1})
    assert names_of(found) == ["tam[kernel=5]"]


@pytest.mark.parametrize(
    ("asked", "complaint"),
    [
        ("tam[kernel=4]", "kernel of tam cannot be '4'; there are: 3, 5, 7"),
        ("tam[size=3]", r"tam has no parameter 'size'; it has kernel \(3, 5, 7\), pool"),
        ("copy_shift[kernel=3]", "copy_shift has no parameter 'kernel'; it has none"),
        ("nobody[kernel=3]", "unknown strategy 'nobody'; there are: buffer_shift, concat_shift, copy_shift"),
        ("tam[kernel=3", "is no strategy's name"),
    ],
)
def test_a_value_that_a_strategy_does_not_take_is_one_line(asked: str, complaint: str) -> None:
    with pytest.raises(ValueNotAllowed, match=complaint):
        with_values(TAM, chosen=Chosen(strategies=(asked,)), latency=LATENCY)
    with pytest.raises(ValueNotAllowed, match=complaint):
        with_values(TAM, latency={"groups": [{"strategies": [asked]}]})


def test_what_is_known_of_a_strategy_outlives_a_journey_through_json() -> None:
    assert StrategyInfo.from_json(json.loads(json.dumps(asdict(TAM)))) == TAM
