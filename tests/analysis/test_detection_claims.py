"""Verdicts on online detection, on values made for every rule."""

from dataclasses import replace
from fractions import Fraction

import pytest

from bench.analysis.claims import Verdict, judge, load_claims
from bench.analysis.detectors import Form
from bench.analysis.evidence import Evidence
from bench.spec.cases import BASELINE_VARIANT, Condition, Variant

USUAL = Condition(dataset="cluttered_digits", backbone="digits_fcos")
ONLINE = Variant("copy_shift", Fraction(1, 8), "residual", "unidirectional")
OFFLINE = replace(ONLINE, direction="bidirectional")
JITTER = (-0.2, 0.1, 0.0, 0.2, -0.1)  # of the seeds, in points
SAID = {  # gains for slow, medium and fast objects, in points: what is said of the fast ones
    (0.0, 2.0, 5.0): "reproduced",
    (5.0, 2.0, 0.0): "not reproduced",
    (-5.0, -4.0, -1.0): "not reproduced",  # the least loss is no gain
    (2.0, 2.0, 2.0): "not reproduced",  # no more than for others, to less than a point
}


def form(
    variant: Variant, gains: tuple[float, float, float] = (0, 0, 0), condition: Condition = USUAL, spread: float = 1
) -> Form:
    each = [spread * jitter if variant != BASELINE_VARIANT else 0.0 for jitter in JITTER]
    seeds = {}
    for seed, jitter in enumerate(each):
        levels = [0.5 + (gain + jitter * (1 + place)) / 100 for place, gain in enumerate(gains)]
        seeds[seed] = dict(zip(("map_slow", "map_medium", "map_fast"), levels, strict=True))
        seeds[seed]["map"] = sum(levels) / 3
    return Form(variant, condition, seeds)


def verdict(claim: str, *forms: Form, lost: dict[tuple[Variant, Condition], str] | None = None) -> Verdict:
    (found,) = [v for v in judge(load_claims(), Evidence(forms=forms, lost_seeds=lost or {})) if v.claim == claim]
    return found


@pytest.mark.parametrize(("gains", "expected"), SAID.items())
def test_a_gain_is_largest_where_there_is_one(gains: tuple[float, float, float], expected: str) -> None:
    assert verdict("detection-fast", form(BASELINE_VARIANT), form(ONLINE, gains)).verdict == expected


def test_a_wide_spread_decides_nothing() -> None:
    for claim in ("detection-gain", "detection-fast"):
        found = verdict(claim, form(BASELINE_VARIANT), form(ONLINE, (0, 1, 2), spread=20))
        assert found.verdict == "inconclusive" and "would have been found four times in five" in found.why


@pytest.mark.parametrize(
    ("gain", "expected"), [(1.5, "reproduced"), (-1.5, "not reproduced"), (0.0, "not reproduced"), (1.0, "reproduced")]
)
def test_a_gain_for_all_objects(gain: float, expected: str) -> None:
    found = verdict("detection-gain", form(BASELINE_VARIANT), form(ONLINE, (gain, gain, gain)))
    assert found.verdict == expected
    assert found.measured == pytest.approx(gain)


def test_offline_forms_and_candidates_of_a_recipe_are_not_judged() -> None:
    candidate = replace(USUAL, lr_factor=2.0)
    others = [form(BASELINE_VARIANT, condition=candidate), form(ONLINE, (3, 3, 3), candidate)]
    assert (
        verdict("detection-gain", form(BASELINE_VARIANT), form(OFFLINE, (3, 3, 3)), *others).verdict == "not measured"
    )


def test_a_lost_seed_spoils_its_form_and_no_other() -> None:
    lost = {(ONLINE, USUAL): "1 seed failed: it diverged"}
    forms = form(BASELINE_VARIANT), form(ONLINE, (3, 3, 3))
    spoilt = verdict("detection-gain", *forms, lost=lost)
    assert spoilt.verdict == "invalid" and "1 seed failed: it diverged" in spoilt.why
    elsewhere = {(OFFLINE, USUAL): "1 seed failed", (ONLINE, replace(USUAL, length_factor=2.0)): "1 seed failed"}
    assert verdict("detection-gain", *forms, lost=elsewhere).verdict == "reproduced"


def test_forms_without_a_seed_in_common() -> None:
    apart = replace(form(ONLINE), seeds={seed + 100: samples for seed, samples in form(ONLINE).seeds.items()})
    found = verdict("detection-gain", form(BASELINE_VARIANT), apart)
    assert (found.verdict, found.why) == ("not measured", "no seed was trained in both forms")
