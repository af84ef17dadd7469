"""The measuring part of a process: what it emits, the quiet gate, copies, pages and memory. Real calls, tiny ones."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.measure.latency.bandwidth import CopyCurve, page_seconds
from bench.measure.latency.clocks import CpuClock
from bench.measure.latency.devices import CpuDevice
from bench.measure.latency.memory import resident_peak
from bench.measure.latency.process_records import replicate_records
from bench.measure.latency.sampling import Slot
from bench.measure.latency.timing import Gate, Order, healthy, measure
from bench.spec.cases import BASELINE_VARIANT, Case, Panel

PANEL = Panel("resnet18", "cpu", "eager", "fp32", "nchw", 1, 2, 32, 1)


def measured(calls: dict[int, Any], superblocks: int = 3) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    measure(calls, events.append, Order(1, time.monotonic() + 60, superblocks, copy_mebibytes=(1, 2)), CpuDevice())
    return events


def test_each_superblock_says_what_it_measured_and_what_went_on() -> None:
    x = torch.randn(64, 64)
    events = measured({0: lambda: x @ x, 1: lambda: x + 1})
    assert [event["event"] for event in events] == ["superblock"] * 3
    for event in events:
        assert sorted((row[0], row[1]) for row in event["slots"]) == sorted(
            (row[0], 3 - row[1]) for row in event["slots"]
        )
        assert all(len(row) == len(Slot.COLUMNS) for row in event["slots"])
        assert set(event["copies"]) == {"1", "2"} and min(event["copies"].values()) > 0
        assert event["waited"] == 0.0 or event["disturbance"]["foreign"] >= 0
        assert event["wall"] > 0 and event["page_seconds"] >= 0


def test_records_of_a_process() -> None:
    x = torch.randn(64, 64)
    blocks = measured({4: lambda: x @ x, 7: lambda: x + 1}, superblocks=2)
    cases = [(4, Case(BASELINE_VARIANT, PANEL)), (7, Case(BASELINE_VARIANT, PANEL, aa=True))]
    ready = {"startup_seconds": 1.0, "warm_up_seconds": 0.1, "backend": {"threads": 1}}
    records = replicate_records(PANEL, cases, 3, blocks, ready, "now", 2.0)
    assert [record.kind for record in records] == ["latency", "latency", "replicate"]
    samples = records[0].samples
    assert samples["superblock"] == [0, 0, 1, 1]
    assert {"seconds", "cpu_seconds", "switches", "faults", "steal", "foreign"} <= set(samples)
    assert "mhz" not in samples  # a processor does not tell
    assert len(records[-1].samples["copies"]["2"]) == len(records[-1].samples["wall"]) == 2


def test_a_case_that_fails_costs_itself_and_its_superblock() -> None:
    x, calls = torch.randn(8), [0]

    def soon() -> torch.Tensor:
        calls[0] += 1
        return x if calls[0] < 4 else x * math.nan

    events = measured({0: lambda: x, 1: soon}, superblocks=4)
    failed = [event for event in events if event["event"] == "failed"]
    assert [(event["case"], event["reason"]) for event in failed] == [(1, "the output is not finite")]
    assert [len(event["slots"]) for event in events if event["event"] == "superblock"] == [4, 2, 2, 2]


def test_health_is_about_tensors() -> None:
    assert healthy(None) and healthy(torch.ones(2))
    assert not healthy(torch.tensor([1.0, math.inf]))


@pytest.mark.parametrize(("busy", "waited"), [([0.0], 0.2), ([1.0, 0.0], 0.4), ([1.0] * 99, 1.0)])
def test_the_gate_waits_for_quiet_as_long_as_it_may(busy: list[float], waited: float) -> None:
    looks = iter(busy)
    gate = Gate(1.05, look=lambda seconds: next(looks))
    assert gate.wait() == pytest.approx(waited)
    assert gate.left == pytest.approx(1.05 - waited)


def test_a_gate_without_allowance_stays_open() -> None:
    assert Gate(0.0, look=lambda seconds: 9.0).wait() == 0.0


def test_larger_copies_take_longer() -> None:
    seconds = CopyCurve("cpu", (1, 64)).measure(CpuClock())
    assert seconds["64"] > 4 * seconds["1"]


def test_a_fresh_page_costs_something() -> None:
    assert 0 <= page_seconds() < 1e-3


def test_resident_peak_sees_a_buffer_that_is_gone_afterwards() -> None:
    def hold() -> None:
        torch.ones(64 << 20, dtype=torch.uint8)

    peak, without = resident_peak(hold), resident_peak(lambda: None)
    if peak is None or without is None:
        pytest.skip("this system has no resident high-water mark")
    assert peak - without == pytest.approx(64 << 20, rel=0.1)
    assert resident_peak(hold) == pytest.approx(peak, rel=0.02)


def test_without_proc_the_resident_peak_is_unknown(tmp_path: Path) -> None:
    assert resident_peak(lambda: None, tmp_path) is None
