"""The measuring part of a process: what it emits, the quiet gate, copies, pages and memory. Real calls, tiny ones."""

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.measure.latency.devices import Device, cpu_clock
from bench.measure.latency.process import copy_sizes, replicate_records
from bench.measure.latency.timing import Gate, Order, healthy, measure
from bench.measure.latency.traffic import CopyCurve, page_seconds, resident_peak
from bench.spec.cases import BASELINE_VARIANT, Case
from bench.spec.panel import Panel
from bench.store.records import ProcessRecord, TimedRecord

PANEL = Panel("resnet18", "cpu", "eager", "fp32", "nchw", 1, 2, 32, 1)


def measured(calls: dict[int, Any], superblocks: int) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    measure(calls, events.append, Order(1, time.monotonic() + 60, superblocks, copy_mebibytes=(1, 2)), Device())
    return json.loads(json.dumps(events))


def test_superblocks_become_a_record_for_each_case_and_one_of_the_process() -> None:
    x = torch.randn(64, 64)
    blocks = measured({4: lambda: x @ x, 7: lambda: x + 1}, superblocks=2)
    for block in blocks:
        assert block["event"] == "superblock"
        places = sorted((case, position) for case, position, *_ in block["slots"])
        assert places == sorted((case, 3 - position) for case, position in places)
    cases = [(4, Case(BASELINE_VARIANT, PANEL)), (7, Case(BASELINE_VARIANT, PANEL, aa=True))]
    ready = {"startup_seconds": 1.0, "warm_up_seconds": 0.1, "backend": {"threads": 1}}
    *timed, process = replicate_records(PANEL, cases, 3, blocks, ready, "now", 2.0)
    assert isinstance(process, ProcessRecord) and process.samples is not None
    assert [record.id for record in timed] == [f"latency/{case.label}/r3" for _, case in cases]
    for record in timed:
        assert isinstance(record, TimedRecord)
        columns = vars(record.samples)
        assert columns.pop("superblock") == [0, 0, 1, 1]
        assert {name for name, values in columns.items() if not values} == {"mhz", "frame_seconds"}  # not on a CPU
        assert all(len(values) == 4 for values in columns.values() if values)
    own = process.samples
    assert all(len(values) == 2 for values in (own.wall, own.waited, own.disturbance, own.page_seconds, own.copies[2]))
    assert min(own.wall + own.copies[1] + own.copies[2]) > 0


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


@pytest.mark.parametrize(
    ("allowance", "busy", "waited"),
    [(1.05, [0.0], 0.2), (1.05, [1.0, 0.0], 0.4), (1.05, [1.0] * 99, 1.0), (0.0, [9.0], 0.0)],
)
def test_the_gate_waits_for_quiet_as_long_as_it_may(allowance: float, busy: list[float], waited: float) -> None:
    looks = iter(busy)
    gate = Gate(allowance, look=lambda seconds: next(looks))
    assert gate.wait() == pytest.approx(waited)
    assert gate.left == pytest.approx(allowance - waited)


def test_larger_copies_take_longer_and_a_fresh_page_costs_something() -> None:
    seconds = CopyCurve("cpu", (1, 64)).measure(cpu_clock)
    assert seconds[64] > 4 * seconds[1]
    assert 0 <= page_seconds() < 1e-3


@pytest.mark.parametrize(
    ("largest", "available", "sizes"), [(512, 64 << 30, 10), (512, 1 << 30, 8), (512, 0, 0), (3, 64 << 30, 2)]
)
def test_the_copy_curve_leaves_the_memory_to_the_network(largest: int, available: int, sizes: int) -> None:
    assert copy_sizes(largest, available) == [1 << power for power in range(sizes)]


def test_resident_peak_sees_a_buffer_that_is_gone_afterwards(tmp_path: Path) -> None:
    def hold() -> None:
        torch.ones(64 << 20, dtype=torch.uint8)

    assert resident_peak(hold, tmp_path) is None  # a system that does not tell
    peak, without = resident_peak(hold), resident_peak(lambda: None)
    if peak is None or without is None:
        pytest.skip("this system has no resident high-water mark")
    assert peak - without == pytest.approx(64 << 20, rel=0.1)
    assert resident_peak(hold) == pytest.approx(peak, rel=0.02)
