"""How long one case takes over another: paired in a panel, by number across panels."""

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest

from bench.analysis import overheads
from bench.spec.cases import BASELINE_VARIANT, Case, Panel, Variant
from bench.store.records import Record

PANEL = Panel("resnet50", "cpu", "eager", "fp32", "nchw", 2, 8, 224, 1)
BASE = Case(BASELINE_VARIANT, PANEL)
SHIFT = Case(Variant("copy_shift", Fraction(1, 4), "residual", "bidirectional"), PANEL)
OTHER = Case(Variant("temporal_conv", Fraction(1), "residual", "bidirectional"), PANEL)
I3D = Case(BASELINE_VARIANT, replace(PANEL, backbone="i3d_resnet50"))


def latency(case: Case, replicate: int, seconds: Sequence[float]) -> Record:
    """One process: a superblock for each value, its two slots a little apart."""
    samples = {
        "superblock": [block for block in range(len(seconds)) for _ in (0, 1)],
        "position": list(range(2 * len(seconds))),
        "seconds": [value * factor for value in seconds for factor in (0.5, 2.0)],  # their logs' mean is the value's
    }
    name = f"{case.label}/r{replicate}"
    return Record(id=name, kind="latency", status="ok", case=case.to_json(), replicate=replicate, samples=samples)


def test_in_a_panel_the_machines_weather_cancels() -> None:
    """Superblocks that take ten times as long for all cases alike."""
    weather = (1.0, 10.0, 3.0)
    records = [
        latency(case, replicate, [factor * w for w in weather])
        for replicate in (0, 1)
        for case, factor in ((BASE, 1.0), (SHIFT, 1.1), (OTHER, 1.65 + 0.11 * replicate))
    ]
    found = {o.case: o for o in overheads.overheads(records)}
    assert overheads.over_pct(found[OTHER], found[SHIFT]) == pytest.approx([50.0, 60.0])
    assert overheads.over_pct(found[SHIFT], found[BASE]) == pytest.approx(found[SHIFT].per_process_pct)


def test_across_panels_processes_are_paired_by_number() -> None:
    records = [latency(case, r, [s, s]) for r, s in ((0, 1.0), (1, 2.0)) for case in (BASE, SHIFT)]
    records += [latency(I3D, r, [3.0, 3.0]) for r in (0, 1, 2)]
    found = {o.case: o for o in overheads.overheads(records)}
    assert overheads.over_pct(found[I3D], found[SHIFT]) == pytest.approx([200.0, 50.0])
    assert found[I3D].log_seconds_per_process == pytest.approx(dict.fromkeys((0, 1, 2), math.log(3.0)))


def test_what_was_left_out_is_left_out_across_panels_too() -> None:
    case = overheads.Overhead(
        BASE, {}, {0: frozenset({1})}, {}, 1.0, math.nan, math.nan, own={0: {0: 1.0, 1: 9.0, 2: 1.0}}
    )
    assert case.log_seconds_per_process == {0: 1.0}
