"""The tables behind the others, from typed results to columns; rankings of mechanisms."""

import math
from dataclasses import replace
from fractions import Fraction

import pandas as pd
import pytest

from bench.analysis.arms import arms
from bench.analysis.comparisons import compare_controls
from bench.analysis.export import markdown
from bench.analysis.overheads import slopes
from bench.analysis.rankings import rankings
from bench.analysis.results import PanelQuality
from bench.analysis.tables import raw
from bench.spec.cases import Case
from bench.stats.estimators import t_interval
from tests.analysis.synthetic import main_study, overhead
from tests.store.synthetic import (
    BASE,
    PANEL,
    SHIFT,
    counted,
    detection,
    failed_training,
    process,
    shift,
    static,
    timed,
    trained,
    unmeasured,
)

CONCAT, BUFFER = (
    replace(SHIFT, variant=replace(SHIFT.variant, strategy=f"{name}_shift")) for name in ("concat", "buffer")
)


def test_the_fastest_of_a_function_is_chosen_after_seeing_all() -> None:
    values = {SHIFT: [9.0, 9.2, 9.1], BUFFER: [1.0, 1.2, 1.1], CONCAT: [0.9, 1.4, 1.3]}
    elsewhere = overhead([0.1, 0.2], replace(SHIFT, variant=shift("inplace")))
    (found,) = rankings([overhead(own, case) for case, own in values.items()] + [elsewhere])
    assert (found.panel, found.fraction, found.placement) == (PANEL, Fraction(1, 4), "residual")
    assert [one.strategy for one in found.ranked] == ["buffer_shift", "concat_shift", "copy_shift"]
    assert [one.strategy for one in found.tied] == ["concat_shift"] and found.decided
    assert found.ranked[0].gap.mean == found.ranked[0].mde == 0
    gap = t_interval([8.0, 8.0, 8.0 + 1e-3], 1 - 0.05 / 3)  # three pairs at once
    assert found.ranked[2].gap.mean == pytest.approx(gap.mean, abs=1e-3)
    table = raw.ranking_table([found])
    assert list(table["rank"]) == [0, 1, 2] and table.gap_ci_low_pct[1] < 0 < table.gap_ci_low_pct[2]
    (alone,) = rankings([overhead([1.0], SHIFT), overhead([2.0], BUFFER)])
    assert not alone.decided


def test_samples_name_the_records_that_they_come_from() -> None:
    records = [*main_study([3]), trained(detection(), seed=4)]
    both = [*arms(records, "accuracy")[:1], *arms(records, "detection")]
    table = raw.sample_table([overhead([5.0], SHIFT)], both)
    assert list(table.record) == [timed(SHIFT).id, records[0].id, records[-1].id]
    assert (table.overhead_pct[0], table.ms[0]) == pytest.approx((5.0, 1050.0))
    assert (table.temporal_pct[1], table.map_pct[2]) == (25.0, 50.0)
    assert pd.isna(table.overhead_pct[1]) and pd.isna(table.map_pct[1])


def test_slopes() -> None:
    line = {"1/8": [1.0, 1.1], "1": [8.0, 8.2]}
    found = slopes([overhead(own, Case(shift(fraction=fraction), PANEL)) for fraction, own in line.items()])
    (row,) = raw.slope_table(found).itertuples()
    assert (row.strategy, row.fractions) == ("copy_shift", 2)
    assert row.slope_pct == pytest.approx(8 * 7.05 / 7) and row.slope_ci_low_pct < row.slope_pct


def test_copy_bandwidth() -> None:
    records = [
        process(replicate=r, copies={64: [2 * 64 * 2**20 / rate], 1: [1.0]}) for r, rate in enumerate((1e9, 2e9, 3e9))
    ]
    small, large = raw.bandwidth_table(records).itertuples()
    assert (small.mebibytes, large.mebibytes) == (1, 64)
    assert (large.gb_per_s_low, large.gb_per_s, large.gb_per_s_high) == pytest.approx((1.5, 2.0, 2.5))


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


def test_what_failed() -> None:
    lost = failed_training(shift(), 3, "it diverged")
    table = raw.failure_table([timed(), static(), unmeasured(), lost])
    assert list(table.itertuples(index=False, name=None)) == [
        ("latency", unmeasured().id, "failed", "it hung"),
        ("accuracy", lost.id, "failed", "it diverged"),
    ]


def test_comparisons_and_qualities_as_rows() -> None:
    comparisons = compare_controls(arms(main_study(), "accuracy"))
    table = raw.comparison_table(comparisons)
    columns = "control comparison subject measured ci_low ci_high unit mde seeds reference answer"
    assert list(table.columns) == list(raw.comparison_table([]).columns) == columns.split()
    assert table.comparison[0] == f"mixture: {comparisons[0].words}"
    assert (table.measured[0], table.answer[0]) == (comparisons[0].interval.mean, "above")
    counts = {"foreign CPU": 5, "steal": 3}
    quality = PanelQuality(PANEL, 8, 80, 8.75, 7, 12.5, counts, 0.3, 1.2, 1, 0, 0.26, {"threads": 2}, {"celsius": 42.5})
    (row,) = raw.quality_table([quality]).itertuples()
    assert (row.backbone, row.superblocks, row.reasons) == ("resnet50", 80, "foreign CPU in 5, steal in 3")
    assert (row.backend, row.sensors) == ("threads 2", "celsius 42.5")


def test_tables_for_people() -> None:
    frame = pd.DataFrame({"what": ["a|b\nc", None], "value": [1.234, math.nan], "whole": [2.0, 3.0]})
    lines = markdown(frame).splitlines()
    assert lines == ["| what | value | whole |", "| --- | --- | --- |", "| a\\|b c | 1.23 | 2 |", "|  |  | 3 |"]
