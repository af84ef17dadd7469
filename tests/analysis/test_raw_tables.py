"""The tables behind the others, from typed results to columns; rankings of mechanisms."""

import math
from dataclasses import replace
from fractions import Fraction

import pandas as pd
import pytest

from bench.analysis.overheads import rankings
from bench.analysis.run import markdown
from bench.analysis.tables import raw
from bench.stats.estimators import mean
from tests.analysis.synthetic import overhead
from tests.store.synthetic import (
    BASE,
    PANEL,
    SHIFT,
    counted,
    shift,
)

CONCAT, BUFFER = (
    replace(SHIFT, variant=replace(SHIFT.variant, strategy=f"{name}_shift")) for name in ("concat", "buffer")
)


def test_the_fastest_of_a_function_is_chosen_after_seeing_all() -> None:
    values = {SHIFT: [9.0, 9.4, 9.5], BUFFER: [1.0, 1.2, 1.1], CONCAT: [0.9, 1.4, 1.3]}
    elsewhere = overhead([0.1, 0.2], replace(SHIFT, variant=shift("inplace")))
    (found,) = rankings([overhead(own, case) for case, own in values.items()] + [elsewhere])
    assert (found.panel, found.fraction, found.placement) == (PANEL, Fraction(1, 4), "residual")
    assert [one.strategy for one in found.ranked] == ["buffer_shift", "concat_shift", "copy_shift"]
    assert [one.strategy for one in found.tied] == ["concat_shift"] and found.decided
    assert found.ranked[0].gap.mean == found.ranked[0].mde == 0
    gap = mean([8.0, 8.2, 8.4]).interval(1 - 0.05 / 3)  # three pairs at once
    assert (found.ranked[2].gap.low, found.ranked[2].gap.high) == pytest.approx((gap.low, gap.high))
    table = raw.ranking_table([found])
    assert list(table["rank"]) == [0, 1, 2] and table.gap_ci_low_pct[1] < 0 < table.gap_ci_low_pct[2]
    (alone,) = rankings([overhead([1.0], SHIFT), overhead([2.0], BUFFER)])
    assert not alone.decided


def test_what_a_runtime_executes_beyond_the_baselines_nodes() -> None:
    base = counted(executed={"Conv": (53, 0.1), "Identity": (1, 0.001)})
    own = counted(executed={"Conv": (53, 0.11), "Slice": (48, 0.03)})
    unprofiled = counted(executed={"Conv": (60, None)})
    other = replace(SHIFT, variant=shift("inplace"))
    table = raw.graph_table({BASE: base, SHIFT: own, other: unprofiled, CONCAT: counted()})
    residual = table[table.placement == "residual"]
    assert list(residual.kind) == ["Slice", "Conv", "Identity"]  # what takes longest first
    assert list(residual.nodes) == [48, 53, 0] and list(residual.extra_nodes) == [48, 0, -1]
    assert list(residual.extra_profiled_ms) == pytest.approx([30.0, 10.0, -1.0])
    inplace = table[table.placement == "inplace"].set_index("kind")
    assert inplace.extra_nodes["Conv"] == 7 and pd.isna(inplace.profiled_ms["Conv"])
    assert raw.graph_table({SHIFT: own}).empty


def test_tables_for_people() -> None:
    frame = pd.DataFrame({"what": ["a|b\nc", None], "value": [1.234, math.nan], "whole": [2.0, 3.0]})
    lines = markdown(frame).splitlines()
    assert lines == ["| what | value | whole |", "| --- | --- | --- |", "| a\\|b c | 1.23 | 2 |", "|  |  | 3 |"]
