"""A panel of real processes: strategies that misbehave cost themselves, and what cannot be here is said."""

import itertools
import platform
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.measure.latency.campaign import Campaign, failed_while_measured
from bench.measure.latency.process import PanelProcesses
from bench.models import runtimes
from bench.plugins.discovery import strategy_files
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Variant
from bench.spec.panel import Panel
from bench.spec.schema import ProcessLimits
from bench.spec.settings import Latency
from bench.store.records import Record, StaticRecord, TimedRecord
from bench.system import workers
from tests.measure.latency import in_process
from tests.models.runtimes.small import BRANCHES, FROZEN

PANEL = Panel("resnet18", "cpu", "eager", "fp32", "nchw", 1, 2, 32, 1)
TWICE = Latency(min_replicates=2, max_replicates=2, max_superblocks=6, target_half_width_pp=0.01, largest_copy_mib=1)
ONCE = Latency(min_replicates=1, max_replicates=1, max_superblocks=2, largest_copy_mib=1)

# 8 sites a forward; the static pass runs 7 forwards, a replicate 1 and then 2 in each superblock and 1 before each
# further one. Call 60 is timed, in the third superblock of the second replicate: the first one has two.
EVIL = """
import os, signal, stat, subprocess, threading, time
import torch
from bench.strategy import Strategy

class Evil(Strategy):
    name = "{name}"
    calls = 0

    def shift(self, clip):
        Evil.calls += 1
        if Evil.calls >= {when}:
            {what}
        return clip.clone()
"""
DEEDS = {
    "raises_late": (60, "raise RuntimeError('out of luck')", "out of luck"),
    "nan_late": (60, "return clip * float('nan')", "not finite"),
    "dies_late": (60, "os._exit(0)", "exited with code 0"),
    "crashes_early": (1, "os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
    "sets_threads": (1, "torch.set_num_threads(3)", "the number of threads (1 became 3)"),
    "lingers": (1, "Evil.calls == 1 and threading.Thread(target=time.sleep, args=(999,)).start()", "left a thread"),
}
HARMLESS = {"prints": (1, "print('nonsense' * 100_000)", "")}


def cases(panel: Panel, *names: str) -> list[Case]:
    found = [Case(BASELINE_VARIANT, panel), Case(BASELINE_VARIANT, panel, aa=True)]
    return found + [Case(Variant(name, parse_fraction("1/4"), "residual", "bidirectional"), panel) for name in names]


def processes(campaign: Campaign) -> Iterator[list[Record]]:
    while not campaign.finished:
        yield campaign.process(next(number for number in itertools.count() if not campaign.has(number)))


def measured(campaign: Campaign) -> list[Record]:
    return [*campaign.count(), *(record for records in processes(campaign) for record in records)]


def reasons(records: Sequence[Record], status: str) -> dict[str, str]:
    """{strategy: reason} of the timed records that ended so."""
    timed = [record for record in records if isinstance(record, TimedRecord)]
    return {record.case.variant.strategy: record.reason or "" for record in timed if record.status == status}


def test_evil_costs_itself_only(tmp_path: Path) -> None:
    for name, (when, what, _) in {**DEEDS, **HARMLESS}.items():
        (tmp_path / f"{name}.py").write_text(EVIL.format(name=name, when=when, what=what))
    own = cases(PANEL, "copy_shift", *DEEDS, *HARMLESS)
    records = measured(Campaign(PanelProcesses(PANEL, own, strategy_files(tmp_path), 0), TWICE, 120.0))
    failed = reasons(records, "failed")
    assert set(failed) == set(DEEDS)
    for name, (_, _, reason) in DEEDS.items():
        assert reason in failed[name], name
    assert set(failed_while_measured(records)) == set(DEEDS)
    assert len({record.id for record in records}) == len(records)
    honest = [case for case in own if case.variant.strategy not in DEEDS]
    for replicate in (0, 1):
        slots = {
            record.case: record.samples
            for record in records
            if isinstance(record, TimedRecord) and record.replicate == replicate and record.case in honest
        }
        assert list(slots) == honest
        blocks = {tuple(own.superblock) for own in slots.values()}
        assert len(blocks) == 1, "all in the same superblocks"
        every = blocks.pop()
        positions = sorted(position for own in slots.values() for position in own.position)
        if max(positions) < 2 * len(honest):  # they were alone; on a slow machine some deeds are done in both
            assert positions == sorted(list(range(2 * len(honest))) * (len(every) // 2))
        for block in set(every):
            pairs = [
                [at for at, of in zip(own.position, own.superblock, strict=True) if of == block]
                for own in slots.values()
            ]
            assert len({at for pair in pairs for at in pair}) == 2 * len(honest)
            assert len({sum(pair) for pair in pairs}) == 1, "an order, then its mirror image"


SKIPS = """
import os
from bench.strategy import Strategy

class Skips(Strategy):
    name = "skips"

    def skip(self, backbone, frames):
        return f"not for {backbone} on a heap of {os.environ['MALLOC_TRIM_THRESHOLD_']}" if frames == 2 else None

    def shift(self, clip):
        return clip.clone()
"""


WIDE = """
from bench.strategy import Strategy

class Wide(Strategy):
    name = "wide"

    def refuses(self, channels):
        return "it needs more than 512 channels"

    def shift(self, clip):
        return clip.clone()
"""


def test_a_strategy_may_say_why_it_skips_a_case_or_which_devices_it_is_made_for(tmp_path: Path) -> None:
    """And what it sees of its process: the environment of the panel's allocator."""
    (tmp_path / "skips.py").write_text(SKIPS)
    (tmp_path / "elsewhere.py").write_text(SKIPS.replace('"skips"', '"elsewhere"\n    devices = ("cuda",)'))
    (tmp_path / "wide.py").write_text(WIDE)
    panel = replace(PANEL, allocator="retained")
    own = cases(panel, "skips", "elsewhere", "wide")
    campaign = Campaign(PanelProcesses(panel, own, strategy_files(tmp_path), 0), TWICE, 60.0)
    assert not list(campaign.skip_where_it_cannot_run())
    assert reasons(list(campaign.count()), "skipped") == {
        "skips": f"not for resnet18 on a heap of {1 << 30}",
        "elsewhere": "elsewhere is made for cuda, not for cpu",
        "wide": "wide takes no place of this network: it needs more than 512 channels",
    }


def test_a_network_that_cannot_be_built_is_a_recorded_failure() -> None:
    impossible = replace(PANEL, dtype="fp8")
    records = measured(Campaign(PanelProcesses(impossible, cases(impossible), strategy_files(), 0), TWICE, 5.0))
    assert [record.status for record in records] == ["failed", "failed"]
    assert "fp8" in reasons(records, "failed")["no_shift"]


def test_what_a_runtime_cannot_run_costs_itself_only(tmp_path: Path) -> None:
    panel = replace(PANEL, runtime="onnxruntime")
    if reason := runtimes.why_not(panel.runtime, panel.device):
        pytest.skip(reason)
    for name, code in (("frozen", FROZEN), ("branches", BRANCHES)):
        (tmp_path / f"{name}.py").write_text(code)
    exports = tmp_path / "exports"
    exports.mkdir()
    own = cases(panel, "frozen", "branches")
    processes = PanelProcesses(panel, own, strategy_files(tmp_path), 0, exports, stream=in_process.stream)
    records = measured(Campaign(processes, ONCE, 20.0))
    failed = reasons(records, "failed")
    assert set(failed) == {"frozen", "branches"}
    assert "deviates from eager by 0." in failed["frozen"]
    assert "cannot be exported" in failed["branches"] and "\n" not in failed["branches"]
    assert not failed_while_measured(records)  # they may run in eager
    assert [r.case for r in records if isinstance(r, TimedRecord) and r.status == "ok"] == cases(panel)
    baseline = next(record.samples for record in records if isinstance(record, StaticRecord))
    assert baseline.executed is not None and baseline.executed["Conv"][0] == 20
    assert len(list(exports.glob("*.onnx"))) == 2  # the baseline's, which its twin shares, and the frozen one


@pytest.mark.parametrize(
    ("runtime", "change"), [("onnxruntime", {"frames": 3, "streams": 2}), ("openvino", {"dtype": "int8"})]
)
def test_streams_and_eight_bits_are_timed_where_they_are_deployed(
    runtime: str, change: dict[str, Any], tmp_path: Path
) -> None:
    panel = replace(PANEL, runtime=runtime, **change)
    if reason := runtimes.why_not(panel.runtime, panel.device, panel.dtype):
        pytest.skip(reason)
    direction = "unidirectional" if panel.streams else "bidirectional"
    own = [*cases(panel), Case(Variant("parted_shift", parse_fraction("1/4"), "residual", direction), panel)]
    processes = PanelProcesses(panel, own, strategy_files(), 0, tmp_path, stream=in_process.stream)
    records = measured(Campaign(processes, ONCE, 200.0))
    assert not reasons(records, "failed")
    timed = [record for record in records if isinstance(record, TimedRecord)]
    assert [record.case for record in timed] == own
    assert {len(frames) for record in timed for frames in record.samples.frame_seconds} <= {panel.frames}
    counted = [record.samples for record in records if isinstance(record, StaticRecord)]
    assert len(counted) == 3 and all(samples.executed for samples in counted)
    assert len(list(tmp_path.glob("*.onnx"))) == 2  # the twin shares the baseline's


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize(
    ("change", "silence", "share"),
    [({}, 25.0, 1.0), ({"runtime": "compile"}, 5 * 25.0, None), ({"device": "cuda"}, 25.0, None)],
)
def test_a_process_may_be_silent_and_take_memory_so_far(
    change: dict[str, str], silence: float, share: float | None, silent: bool
) -> None:
    """And what a process took that fell silent is charged: it may be the machine's doing."""
    started: list[dict[str, Any]] = []
    signs: list[bytes] = []

    def dies(job: dict[str, Any], **limits: Any) -> Iterator[dict[str, Any]]:
        if job["mode"] == "present":
            yield {"event": "present", "present": True}
            return
        signs.append(limits.pop("alive")())
        started.append({**limits, "mode": job["mode"]})
        yield {"event": "enter", "case": 2}
        raise workers.WorkerDied("was killed", silent=silent)

    panel, limits = replace(PANEL, **change), ProcessLimits(silence=25.0, memory_gib=2.5)
    processes = PanelProcesses(panel, cases(panel, "one", "two", "three"), [], 0, limits=limits, stream=dies)
    campaign = Campaign(processes, ONCE, 100.0)
    records = [*campaign.process(0), *campaign.drop_strategy("two", "no reason")]
    assert reasons(records, "failed") == {"one": "the process that ran it was killed", "two": "no reason"}
    gate = 0.1 * 100.0  # its share of the budget
    expected = {"silence_limit": silence + gate, "memory_share": share, "memory_gib": 2.5, "env": {}}
    assert started == [{**expected, "mode": "timed"}]
    assert signs == [struct.pack("qq", -1, 0)] and (campaign.spent > 0) == silent


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"runtime": "onnxruntime", "dtype": "fp16"}, "not in fp16"),
        ({"runtime": "openvino"}, "pip install"),
        ({"allocator": "retained"}, "needs glibc"),
    ],
)
def test_a_panel_that_cannot_be_is_skipped_with_the_reason(
    change: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None if name == "openvino" else object())
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    panel = replace(PANEL, **change)
    campaign = Campaign(PanelProcesses(panel, cases(panel, "copy_shift"), strategy_files(), 0), TWICE, 60.0)
    skipped = list(campaign.skip_where_it_cannot_run())
    assert [record.status for record in skipped] == ["skipped"] * 3
    assert all(words in (record.reason or "") for record in skipped)
    assert not measured(campaign)
