"""From raw frame times to percentiles, deadlines and verdicts."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from bench import models
from bench.analysis.claims import judge, load_claims
from bench.analysis.evidence import Evidence
from bench.analysis.overheads import overheads, suspicion
from bench.analysis.tables.online import LOAD, FrameTimes, online_table, quantile_table
from bench.spec.cases import BASELINE_VARIANT, Case, StreamPanel, Variant, panel_from_json
from bench.store.records import Record

PANEL = StreamPanel("resnet50", "cpu", "eager", "fp32", "nchw", 2, frames=4, size=224, batch=1, streams=1)
SHIFT = Variant("buffer_shift", Fraction(1, 8), "residual", "unidirectional")
CASES = {Case(BASELINE_VARIANT, PANEL): 1.0, Case(BASELINE_VARIANT, PANEL, aa=True): 1.0, Case(SHIFT, PANEL): 1.02}
INPUTS = {  # of ResNet-50's bottleneck blocks at 224²: [channels, height, width]
    "conv1": [[64, 56, 56], *[[256, 56, 56]] * 3, *[[512, 28, 28]] * 4, *[[1024, 14, 14]] * 6, *[[2048, 7, 7]] * 2],
    "conv2": [
        *([[64, 56, 56]] * 3),
        *([128, 56, 56], *([[128, 28, 28]] * 3)),
        *([256, 28, 28], *([[256, 14, 14]] * 5)),
        *([512, 14, 14], *([[512, 7, 7]] * 2)),
    ],
}
STATE_BYTES = {case: 4 * sum(c // 8 * h * w for c, h, w in INPUTS["conv1"]) for case in CASES if case.variant == SHIFT}


def records(processes: int = 6, blocks: int = 5, spread: float = 0.002) -> list[Record]:
    """A case takes 40 ms a frame, times what CASES says, with a little noise."""
    rng, found = np.random.default_rng(0), list[Record]()
    for case in CASES:
        static = {"state_bytes": STATE_BYTES.get(case, 0), "inputs": INPUTS, "params": 1, "flops": 2, "bytes_moved": 3}
        static |= {"peak_live_bytes": 4, "peak_allocated_bytes": None}
        found.append(Record(id=f"static/{case.label}", kind="static", status="ok", case=case.to_json(), samples=static))
    for replicate in range(processes):
        for case, factor in CASES.items():
            seconds = 0.04 * factor * np.exp(rng.normal(0, spread, (2 * blocks, PANEL.frames)))
            slots: dict[str, Any] = {"superblock": [b for b in range(blocks) for _ in range(2)]}
            slots |= {"seconds": seconds.sum(axis=1).tolist(), "frame_seconds": seconds.tolist()}
            label = f"online/{case.label}/r{replicate}"
            found.append(
                Record(id=label, kind="online", status="ok", case=case.to_json(), replicate=replicate, samples=slots)
            )
        quiet = {"disturbance": [{}] * blocks, "wall": [1.0] * blocks, "copies": {}, "page_seconds": []}
        panel = {name: getattr(PANEL, name) for name in StreamPanel.__dataclass_fields__}
        label = f"replicate/{PANEL.label}/r{replicate}"
        found.append(Record(id=label, kind="replicate", status="ok", case=panel, replicate=replicate, samples=quiet))
    return found


def test_the_table_of_the_contract() -> None:
    table = online_table(records(), overheads(records()), arrival_fps=30.0)
    contract = "strategy fraction backbone device streams frame_ms p95_ms p99_ms overhead_pct overhead_ci_low_pct"
    contract += " overhead_ci_high_pct cache_mb missed_deadline_pct status"
    assert set(contract.split()) <= set(table.columns)
    base, twin, shift = (table.iloc[place] for place in range(3))
    assert (base.frame_ms, shift.frame_ms) == pytest.approx((40, 40.8), rel=0.002)
    assert base.frame_ci_low_ms < base.frame_ms < base.frame_ci_high_ms < base.p95_ms < base.p99_ms
    assert shift.overhead_pct == pytest.approx(2.0, abs=0.2) and 0 < shift.half_width_pct < 0.2
    assert twin.aa and abs(twin.overhead_pct) < 0.2
    assert (base.missed_deadline_pct, base.missed_at_load_pct) == (100, 0), "40 ms against 33 ms; against 50 ms"
    assert base.load_fps == pytest.approx(LOAD / 0.04, rel=0.002)
    assert (base.cache_mb, shift.cache_mb) == (0, pytest.approx(2.81, abs=0.005))
    assert (shift.frames_timed, shift.replicates, shift.status) == (6 * 5 * 2 * 4, 6, "ok")


def test_quantiles_rise() -> None:
    table = quantile_table(records())
    for _, own in table.groupby(["strategy", "aa"]):
        assert own.frame_ms.is_monotonic_increasing and own.quantile_pct.iloc[-1] == 100


def test_deadlines_of_frames_that_wait() -> None:
    times = FrameTimes((np.array([0.25, 0.08, 0.08, 0.02, 0.02]), np.array([0.02, 0.02])))
    assert times.missed(10.0) == pytest.approx(4 / 7), "the queue of one process does not reach into the next"
    assert FrameTimes((np.full(9, 0.11),)).missed(10.0) == 1.0
    assert FrameTimes((np.full(9, 0.1),)).missed(9.9) == 0.0


def test_panels_survive_the_journey_through_json() -> None:
    for case in CASES:
        assert Case.from_json(case.to_json()) == case
        assert panel_from_json(case.to_json()) == PANEL


def verdicts(factor: float = 1.02, **more: Any) -> dict[str, Any]:
    found = [
        record.model_copy(
            update={"samples": record.samples | {"seconds": [s * factor / 1.02 for s in record.samples["seconds"]]}}
        )
        if record.kind == "online" and record.case["strategy"] == "buffer_shift"
        else record
        for record in records(spread=0.02)
    ]
    measured = overheads(found)
    statics = {Case.from_json(r.case): r.samples for r in found if r.kind == "static"}
    evidence = Evidence(
        online=measured,
        online_statics=statics,
        online_suspect=suspicion(measured),
        exact=frozenset({"copy_shift", "buffer_shift"}),
        **more,
    )
    claims = [claim for claim in load_claims() if claim.id in ("online-latency", "cache-size")]
    return {verdict.id: verdict for verdict in judge(claims, evidence)}


@pytest.mark.parametrize(
    ("factor", "verdict"), [(1.01, "reproduced"), (1.04, "not reproduced"), (1.0225, "inconclusive")]
)
def test_the_papers_latency_per_frame(factor: float, verdict: str) -> None:
    found = verdicts(factor)["online-latency/buffer_shift residual"]
    assert found.verdict == verdict and found.measured == pytest.approx(100 * (factor - 1), abs=0.5)


def test_a_case_that_failed_decides_nothing() -> None:
    found = verdicts(online_failed={Case(SHIFT, PANEL): "it hung"})["online-latency/buffer_shift residual"]
    assert (found.verdict, found.measured) == ("invalid", None) and "it hung" in found.why


def test_the_papers_cache_fits_the_narrow_site() -> None:
    found = verdicts()
    conv1, conv2 = found["cache-size/conv1"], found["cache-size/conv2"]
    assert (conv1.verdict, conv1.measured) == ("not reproduced", 2.7)
    assert "2,809,856 bytes, 2.81 MB or 2.68 MiB, held in this run by buffer_shift residual" in conv1.why
    assert (conv2.verdict, conv2.measured) == ("reproduced", 0.9)
    assert "953,344 bytes, 0.95 MB or 0.91 MiB, derived" in conv2.why


def test_what_blocks_read_is_read_from_the_network() -> None:
    import torch

    network = models.build("resnet50", 1)
    found = models.inputs(network, torch.zeros(1, 3, 224, 224))
    assert {site: found[site] for site in INPUTS} == INPUTS


def test_without_streams_nothing_is_judged() -> None:
    claims = [claim for claim in load_claims() if claim.id in ("online-latency", "cache-size")]
    assert {verdict.verdict for verdict in judge(claims, Evidence())} == {"not measured"}
