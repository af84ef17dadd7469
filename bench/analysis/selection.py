"""Selectors: which cases and arms a comparison speaks of, as ``comparisons.toml`` and ``claims.toml`` write them.

A selector is a table of fields: those of a variant with those of a panel (cases) or of a condition (arms). A field that
is not named may have any value; ``"any"`` says so where a default would hold. ``strategy = "exact"`` stands for all
that compute the published function, ``strategy = "shifting"`` for all but the baseline. What a case or arm is held
against is the same with some fields replaced, or the ``"baseline"``.
"""

from collections.abc import Mapping
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

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

_VARIANT = {field.name for field in fields(Variant)}
USUAL = {"accuracy": Condition(), "detection": Condition(dataset=DETECTION_DATASET, backbone=TRAINED_DETECTOR)}
"""The condition under which each section's arms are judged unless a selector says otherwise."""


def case_fields(case: Case) -> dict[str, Any]:
    """All that a selector can ask of a case."""
    return {**vars(case.variant), **vars(case.panel)}


def arm_fields(key: ArmKey) -> dict[str, Any]:
    """All that a selector can ask of an arm."""
    return {**vars(key[0]), **vars(key[1])}


def selects_case(selector: Selector, case: Case, exact: frozenset[str]) -> bool:
    """The case has the fields that are asked for; a twin is never meant."""
    return not case.aa and _matches(selector, case_fields(case), exact)


def selects_arm(selector: Selector, arm: Arm, exact: frozenset[str]) -> bool:
    """The arm has the fields that are asked for, and is trained as usual in all others."""
    return _matches({**vars(USUAL[arm.section]), **selector}, arm_fields(arm.key), exact)


def _matches(selector: Selector, own: Mapping[str, Any], exact: frozenset[str]) -> bool:
    return all(_allowed(name, wanted, own[name], exact) for name, wanted in selector.items())


def _allowed(name: str, wanted: Any, own: Any, exact: frozenset[str]) -> bool:
    if wanted == ANY:
        return True
    if name == "strategy" and wanted in (EXACT, SHIFTING):
        return own in exact if wanted == EXACT else own != BASELINE
    return bool(own == (Fraction(wanted) if name == "fraction" else wanted))


def replaced_case(case: Case, change: Selector | str) -> Case:
    """The case with some fields replaced, or its baseline."""
    if change == THE_BASELINE:
        return case.baseline
    assert not isinstance(change, str)
    variant, panel = _split(change)
    return Case(replace(case.variant, **variant), replace(case.panel, **panel))


def replaced_arm(key: ArmKey, change: Selector | str) -> ArmKey:
    """The arm with some fields replaced, or the network without a shift under its condition."""
    if change == THE_BASELINE:
        return BASELINE_VARIANT, key[1]
    assert not isinstance(change, str)
    variant, condition = _split(change)
    return replace(key[0], **variant), replace(key[1], **condition)


def named_arm(selector: Selector, section: str) -> ArmKey | None:
    """The one arm that a selector names in full, trained or not; None where it leaves a choice."""
    if selector == {"strategy": BASELINE} or selector.get("strategy") == BASELINE:
        variant: Variant = BASELINE_VARIANT
    elif not set(selector) >= _VARIANT or selector["strategy"] in (EXACT, SHIFTING) or ANY in selector.values():
        return None
    else:
        variant = Variant.from_json(selector)
    return variant, replace(USUAL[section], **_split(selector)[1])


def _split(change: Selector) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields of a variant, and the others."""
    variant = {name: value for name, value in change.items() if name in _VARIANT}
    if "fraction" in variant:
        variant["fraction"] = Fraction(variant["fraction"])
    return variant, {name: value for name, value in change.items() if name not in _VARIANT}


def variant_text(variant: Variant) -> str:
    """An arm in words; the usual direction is not named."""
    if variant == BASELINE_VARIANT:
        return variant.strategy
    text = f"{variant.strategy} {variant.placement} {variant.fraction} {variant.direction}"
    return text.removesuffix(" bidirectional")


def panel_difference(panel: Panel, others: list[Panel]) -> str:
    """`` (threads 2, runtime compile)``: what tells a panel from the others; empty where nothing does."""
    differing = [
        f"{name} {value}" for name, value in vars(panel).items() if any(getattr(o, name) != value for o in others)
    ]
    return f" ({', '.join(differing)})" if differing else ""
