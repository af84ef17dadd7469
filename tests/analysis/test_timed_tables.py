"""From records of times to the tables of cases, of whole clips and frame by frame."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.analysis.overheads import overheads
from bench.analysis.tables.timed import LOAD, FrameTimes, latency_table, online_table, quantile_table
from bench.spec.cases import BASELINE_VARIANT, Case
from bench.store.records import Record
from tests.store.synthetic import BASE, PANEL, SHIFT, STREAM, TWIN, checked, process, shift, static, timed, unmeasured

BLOCKS, MEBI = 5, 1 << 20


def run(
    factors: dict[Case, float], processes: int = 6, seconds: float = 0.1, spread: float = 0.001, **columns: Any
) -> list[Record]:
    """Each case takes a tenth of a second, times its factor, with a little noise."""
    rng, found = np.random.default_rng(0), list[Record]()
    for replicate in range(processes):
        for case, factor in factors.items():
            noisy = seconds * factor * np.exp(rng.normal(0, spread, 2 * BLOCKS))
            found.append(timed(case, replicate, list(noisy), **columns))
        found.append(process(next(iter(factors)).panel, replicate, BLOCKS))
    return found


def latency(records: Sequence[Record]) -> pd.DataFrame:
    return latency_table(records, overheads(records))


def row(records: Sequence[Record], case: Case = SHIFT) -> Any:
    """A case's row of the latency table."""
    table = latency(records)
    return table[table.records == case.key].iloc[0]


def flags(records: Sequence[Record], case: Case = SHIFT) -> set[str]:
    return set(row(records, case)["flags"].split(";")) - {""}


THREE = {BASE: 1.0, TWIN: 1.0, SHIFT: 1.02}


def test_a_case_against_the_baseline_of_its_panel() -> None:
    table = latency([*run(THREE), static(BASE, bytes_moved=10**6), static(SHIFT, bytes_moved=3 * 10**6)])
    contract = "strategy placement fraction direction backbone device runtime dtype memory_format allocator threads"
    contract += " frames size batch streams latency_ms overhead_pct overhead_ci_low_pct overhead_ci_high_pct"
    contract += (
        " extra_traffic_mb predicted_overhead_pct page_faults peak_memory_mb replicates blocks control status flags"
    )
    assert set(contract.split()) <= set(table.columns)
    base, twin, own = (table.iloc[place] for place in range(3))
    assert (base.latency_ms, own.latency_ms) == pytest.approx((100, 102), rel=0.001)
    assert base.overhead_pct == 0 and abs(twin.overhead_pct) < 0.1
    assert own.overhead_ci_low_pct < own.overhead_pct < own.overhead_ci_high_pct
    assert own.overhead_pct == pytest.approx(2.0, abs=0.1) and own.median_overhead_pct == pytest.approx(2.0, abs=0.1)
    assert own.overhead_plain_mean_pct == pytest.approx(own.overhead_pct)  # six processes: nothing is trimmed
    assert set(table.control) == {"certified"}
    assert own.half_width_pct == pytest.approx((own.overhead_ci_high_pct - own.overhead_ci_low_pct) / 2)
    assert (own.overhead_all_pct, own.excluded, own.disturbed_pct) == (own.overhead_pct, 0, 0)
    assert (own.replicates, own.blocks, own.status, own.fraction) == (6, 30, "ok", 0.25)
    assert (own.params, own.extra_params, own.extra_flops, own.extra_traffic_mb) == (100, 0, 0, 2.0)
    assert list(table["flags"]) == ["", "aa", ""] and own["records"] == SHIFT.key
    assert pd.isna([own.page_faults, own.predicted_overhead_pct, own.sm_mhz, own.overhead_cycles_pct]).all()


def test_the_launch_of_a_graph_stands_apart_from_what_the_device_takes() -> None:
    records = [timed(BASE, n, [0.001] * 2, alone_seconds=[0.0015] * 2) for n in range(6)]
    (row,) = latency(records).itertuples()
    assert (row.latency_ms, row.launch_ms) == pytest.approx((1.0, 0.5))


def test_a_prediction_from_bytes_and_page_faults() -> None:
    records: list[Record] = [process(PANEL, 9, copies={1: [0.001], 64: [0.064]}, page_seconds=[1e-6]), static(BASE)]
    records += run({BASE: 1.0, TWIN: 1.0}, faults=[0.0] * 2 * BLOCKS)
    records += [record for record in run({SHIFT: 1.035}, faults=[500.0] * 2 * BLOCKS) if record.kind == "timed"]
    copies_three_times = [*records, static(operations={2 * MEBI: 3})]
    own = row(copies_three_times)
    assert (own.page_faults, own.extra_faults) == (500, 500)
    assert (own.predicted_traffic_pct, own.predicted_faults_pct) == pytest.approx((3.0, 0.5), rel=0.01)
    assert own.predicted_overhead_pct == pytest.approx(own.predicted_traffic_pct + own.predicted_faults_pct)
    assert flags(copies_three_times) == set()
    assert pd.isna(own.predicted_overhead_ci_low_pct)  # one process priced the copies
    again = [process(PANEL, 10, copies={1: [0.002], 64: [0.128]}, page_seconds=[1e-6]), *copies_three_times]
    assert row(again).predicted_traffic_pct == pytest.approx(4.5, rel=0.01)
    assert row(again).predicted_traffic_ci_low_pct < 3.0 < 6.0 < row(again).predicted_traffic_ci_high_pct
    assert flags([*records, static(operations={2 * MEBI: 1})]) == {"prediction_off"}


def test_what_a_case_costs_beyond_its_layer_computed_in_the_same_way() -> None:
    owning, still = (Case(shift(fraction=fraction, strategy="view_matmul"), PANEL) for fraction in ("1/4", "0"))
    records = run(THREE | {owning: 1.05, still: 1.03})
    own = row(records, owning)
    assert own.over_layer_baseline_pct == pytest.approx(100 * (1.05 / 1.03 - 1), abs=0.1)
    assert own.over_layer_baseline_ci_low_pct < own.over_layer_baseline_pct < own.over_layer_baseline_ci_high_pct
    assert latency(records).over_layer_baseline_pct.notna().sum() == 1


def test_cases_that_failed_or_were_skipped_are_rows_with_their_reason() -> None:
    lost, skipped = Case(shift("inplace"), PANEL), Case(shift("inplace", "1"), PANEL)
    table = latency([*run(THREE), unmeasured(SHIFT), unmeasured(lost), unmeasured(skipped, "skipped", "no bottleneck")])
    assert list(table["status"]) == ["ok", "ok", "failed", "failed", "skipped"]
    assert list(table.reason) == ["", "", "it hung", "it hung", "no bottleneck"]
    assert list(table.replicates) == [6, 6, 6, 0, 0] and table.overhead_pct.isna().sum() == 2
    assert list(latency_table([], []).columns) == list(table.columns)


def disturbed(*blocks: int, reading: str = "foreign") -> list[Record]:
    """Six processes in which these superblocks were disturbed."""
    readings = [{reading: 4.0 if block in blocks else 0.0} for block in range(BLOCKS)]
    return [process(PANEL, replicate, BLOCKS, disturbance=readings) for replicate in range(6)]


def test_flags_say_what_was_odd() -> None:
    quiet = run(THREE)
    assert flags(quiet) == set() and flags(quiet, TWIN) == {"aa"}
    assert flags(run(THREE, processes=4)) == {"few_replicates"}
    assert flags([*quiet, *disturbed(1)]) == set()
    assert flags([*quiet, *disturbed(1, 2)]) == {"disturbed"}
    assert flags([*quiet, *disturbed(1, reading="throttled")]) == {"throttled"}
    assert flags([*quiet, static(SHIFT, fallbacks=["slower, as the layer has groups"])]) == {"fallback"}
    assert flags([*quiet, checked(flags=("memory_format",))]) == set()
    last = {
        replace(case, panel=replace(PANEL, memory_format="channels_last")): factor for case, factor in THREE.items()
    }
    assert flags([*run(last), checked(flags=("memory_format",))], list(last)[2]) == {"loses_channels_last"}


def test_a_shift_that_is_not_quantised_through_is_flagged_with_how_often() -> None:
    nodes = {"QLinearConv": (20, 0.1), "QuantizeLinear": (1, None), "DequantizeLinear": (1, None)}
    plain, more = static(BASE, executed=nodes), {**nodes, "QuantizeLinear": (9, None), "DequantizeLinear": (9, None)}
    own = row([*run(THREE), plain, static(SHIFT, executed=more)])
    assert (own["flags"], own.reason) == ("islands", "18 nodes convert between bytes and fp32, without a shift 2")
    assert flags([*run(THREE), plain, static(SHIFT, executed=nodes)]) == set()
    on_bytes = {"Convolution": (20, 0.1)}
    some = {"Convolution": (36, 0.1), "Convolution in fp32": (16, 0.1)}
    own = row([*run(THREE), static(BASE, executed=on_bytes), static(SHIFT, executed=some)])
    assert (own["flags"], own.reason) == ("islands", "16 convolutions compute in fp32, without a shift 0")


def test_an_estimate_that_hangs_on_what_is_left_out_is_flagged() -> None:
    logs = [[0.1 * factor for factor in (1.01, 1.06, 1.02, 1.03, 1.04) for _ in (0, 1)]] * 6
    records = [record for record in run({BASE: 1.0, TWIN: 1.0}, spread=0.0) if record.kind == "timed"]
    records += [timed(SHIFT, replicate, seconds) for replicate, seconds in enumerate(logs)]
    own = row([*records, *disturbed(1)])
    assert (own.overhead_pct, own.excluded, own.blocks) == (pytest.approx(2.5, abs=0.01), 6, 24)
    assert own.overhead_all_pct == pytest.approx(3.0, abs=0.01) and "estimates_differ" in own["flags"]


# --- frame by frame ---------------------------------------------------------------------------------------------------

FRAME = Case(shift(fraction="1/8", direction="unidirectional"), STREAM)
FRAME_BASE, FRAME_TWIN = (Case(BASELINE_VARIANT, STREAM, aa) for aa in (False, True))


def stream_run() -> list[Record]:
    """40 ms a frame, with a little noise."""
    rng, found = np.random.default_rng(0), list[Record]()
    for case, factor in {FRAME_BASE: 1.0, FRAME_TWIN: 1.0, FRAME: 1.02}.items():
        found.append(static(case, state_bytes=0 if case == FRAME_BASE else 2_809_856))
        for replicate in range(6):
            frames = 0.04 * factor * np.exp(rng.normal(0, 0.002, (2 * BLOCKS, STREAM.frames)))
            found.append(timed(case, replicate, frames.sum(axis=1).tolist(), frame_seconds=frames.tolist()))
    return [*found, *(process(STREAM, replicate, BLOCKS) for replicate in range(6))]


def test_frames_of_a_stream() -> None:
    records = stream_run()
    table = online_table(records, overheads(records), arrival_fps=30.0)
    contract = "strategy fraction backbone device streams frame_ms p95_ms p99_ms overhead_pct overhead_ci_low_pct"
    contract += " overhead_ci_high_pct cache_mb missed_deadline_pct status"
    assert set(contract.split()) <= set(table.columns)
    base, twin, own = (table.iloc[place] for place in range(3))
    assert (base.frame_ms, own.frame_ms) == pytest.approx((40, 40.8), rel=0.002)
    assert base.frame_ci_low_ms < base.frame_ms < base.frame_ci_high_ms < base.p95_ms < base.p99_ms
    assert own.overhead_pct == pytest.approx(2.0, abs=0.2) and 0 < own.half_width_pct < 0.2
    assert twin.aa and abs(twin.overhead_pct) < 0.2
    assert (base.missed_deadline_pct, base.missed_at_load_pct) == (100, 0)  # 40 ms against 33 ms; against 50 ms
    assert base.load_fps == pytest.approx(LOAD / 0.04, rel=0.002)
    assert own.fps == pytest.approx(1 / 0.0408, rel=0.002)
    assert (base.cache_mb, own.cache_mb) == (0, pytest.approx(2.81, abs=0.005))
    assert (own.frames_timed, own.replicates, own.status) == (6 * BLOCKS * 2 * 4, 6, "ok")
    assert latency_table(records, overheads(records)).empty


def test_quantiles_rise() -> None:
    for _, own in quantile_table(stream_run()).groupby(["strategy", "aa"]):
        assert own.frame_ms.is_monotonic_increasing and own.quantile_pct.iloc[-1] == 100


def test_deadlines_of_frames_that_wait() -> None:
    times = FrameTimes((np.array([0.25, 0.08, 0.08, 0.02, 0.02]), np.array([0.02, 0.02])))
    assert times.missed(10.0) == pytest.approx(4 / 7), "the queue of one process does not reach into the next"
    assert FrameTimes((np.full(9, 0.11),)).missed(10.0) == 1.0
    assert FrameTimes((np.full(9, 0.1),)).missed(9.9) == 0.0
