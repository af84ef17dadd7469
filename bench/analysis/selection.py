"""Selectors: which cases and arms a comparison speaks of, as ``comparisons.toml`` and ``claims.toml`` write them.

A selector is a table of fields: those of a variant with those of a panel (cases) or of a condition (arms). A field that
is not named may have any value; ``"any"`` says so where a default would hold. ``strategy = "exact"`` stands for all
that compute the published function, ``strategy = "shifting"`` for all but the baseline. What a case or arm is held
against is the same with some fields replaced, or the ``"baseline"``.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any, TypeVar

from bench.analysis.arms import Arm, ArmKey
from bench.spec.axes import BASELINE, DETECTION_DATASET, TRAINED_DETECTOR
from bench.spec.cases import BASELINE_VARIANT, Case, Condition, Variant
from bench.spec.panel import Panel

PUBLISHED = "copy_shift"
"""The released code's strategy: its function is the paper's, whatever else computes the same is judged beside it."""

EXCHANGE = "temporal_conv"
"""The strategy that puts a learnable 3×1×1 convolution where the shift would be; it has one setting."""

REPLICATION = "replication"
"""The cohort of the arms that were trained again with other seeds."""


ANY, EXACT, SHIFTING, THE_BASELINE = "any", "exact", "shifting", "baseline"

Selector = Mapping[str, Any]
Setting = TypeVar("Setting", Panel, Condition)

_VARIANT = {field.name for field in fields(Variant)}
USUAL = {
    "accuracy": Condition(),
    "detection": Condition(dataset=DETECTION_DATASET, backbone=TRAINED_DETECTOR),
    "video": Condition(dataset=ANY, backbone=ANY),
}
"""The condition under which each section's arms are judged unless a selector says otherwise. Of the video section any:
what is asked of videos, and of which network, is the user's own choice."""


def selects_case(selector: Selector, case: Case, exact: frozenset[str]) -> bool:
    """The case has the fields that are asked for; a twin is never meant."""
    return not case.aa and _matches(selector, {**vars(case.variant), **vars(case.panel)}, exact)


def selects_arm(selector: Selector, arm: Arm, exact: frozenset[str] = frozenset()) -> bool:
    """The arm has the fields that are asked for, and is trained as usual in all others."""
    asked = {**vars(USUAL[arm.section]), **selector}
    return _matches(asked, {**vars(arm.variant), **vars(arm.condition)}, exact)


def _matches(selector: Selector, own: Mapping[str, Any], exact: frozenset[str]) -> bool:
    for name, wanted in selector.items():
        if name == "strategy" and wanted in (EXACT, SHIFTING):
            matches = own[name] in exact if wanted == EXACT else own[name] != BASELINE
        else:
            matches = wanted == ANY or own[name] == (Fraction(wanted) if name == "fraction" else wanted)
        if not matches:
            return False
    return True


def replaced(variant: Variant, setting: Setting, change: Selector | str) -> tuple[Variant, Setting]:
    """A case or an arm with some fields replaced, or the network without a shift in its panel or condition."""
    if change == THE_BASELINE:
        return BASELINE_VARIANT, setting
    assert not isinstance(change, str)
    own, others = _split(change)
    return replace(variant, **own), replace(setting, **others)


def named_arm(selector: Selector, section: str) -> ArmKey | None:
    """The one arm that a selector names in full, trained or not; None where it leaves a choice."""
    variant = BASELINE_VARIANT
    if selector.get("strategy") != BASELINE:
        if not set(selector) >= _VARIANT or selector["strategy"] in (EXACT, SHIFTING) or ANY in selector.values():
            return None
        variant = Variant.from_json(selector)
    condition = replace(USUAL[section], **_split(selector)[1])
    return None if ANY in vars(condition).values() else (variant, condition)


def _split(change: Selector) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a variant, and the others."""
    variant = {name: value for name, value in change.items() if name in _VARIANT}
    if "fraction" in variant:
        variant["fraction"] = Fraction(variant["fraction"])
    return variant, {name: value for name, value in change.items() if name not in _VARIANT}


def panel_difference(panel: Panel, others: list[Panel]) -> str:
    """`` (threads 2, runtime compile)``: what tells a panel from the others; empty where nothing does."""
    differing = [
        f"{name} {value}" for name, value in vars(panel).items() if any(getattr(o, name) != value for o in others)
    ]
    return f" ({', '.join(differing)})" if differing else ""
