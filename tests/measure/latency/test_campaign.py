"""A panel with strategies that misbehave only while they are measured: each costs itself, the others are measured."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.measure.latency import campaign as campaign_module
from bench.measure.latency.campaign import Campaign, _copy_sizes
from bench.plugins.discovery import strategy_files
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Panel, Variant
from bench.spec.schema import ProcessLimits
from bench.spec.settings import Latency
from bench.store.records import Record

LIMITS = ProcessLimits(silence=25.0, memory_gib=2.5)
PANEL = Panel("resnet18", "cpu", "eager", "fp32", "nchw", 1, 2, 32, 1)

# 8 sites a forward; the static pass runs 7 forwards, a replicate 2 and then 2 in each superblock. Call 60 is timed.
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
    "hangs_late": (60, "time.sleep(1000)", "no sign of life"),
    "sets_threads": (1, "torch.set_num_threads(3)", "the number of threads (1 became 3)"),
    "lingers": (1, "Evil.calls == 1 and threading.Thread(target=time.sleep, args=(999,)).start()", "left a thread"),
    "scribbles": (
        1,
        "[os.write(int(fd), b'rubbish\\n') for fd in os.listdir('/proc/self/fd') if int(fd) > 2 and "
        "os.path.exists('/proc/self/fd/' + fd) and stat.S_ISFIFO(os.fstat(int(fd)).st_mode)]",
        "something else into the channel",
    ),
}
HARMLESS = {"prints": (1, "print('nonsense' * 100_000)", "")}


def measure(tmp_path: Path, names: tuple[str, ...], budget: float = 120.0) -> list[Record]:
    for name in names:
        if deed := {**DEEDS, **HARMLESS}.get(name):
            when, what, _ = deed
            (tmp_path / f"{name}.py").write_text(EVIL.format(name=name, when=when, what=what))
    cases = [Case(BASELINE_VARIANT, PANEL), Case(BASELINE_VARIANT, PANEL, aa=True)]
    cases += [Case(Variant(name, parse_fraction("1/4"), "residual", "bidirectional"), PANEL) for name in names]
    settings = Latency(min_replicates=2, max_replicates=2, target_half_width_points=0.01, largest_copy_mib=1)
    panel = Campaign(PANEL, cases, strategy_files(tmp_path), settings, budget, 0, limits=LIMITS)
    return [*panel.count(), *(record for records in panel.replicates() for record in records)]


def test_evil_costs_itself_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(campaign_module, "_SLOT_LIMIT", 0.1)
    records = measure(tmp_path, ("copy_shift", *DEEDS, *HARMLESS))
    failed = {record.case["strategy"]: record.reason for record in records if record.status == "failed"}
    assert set(failed) == set(DEEDS)
    for name, (_, _, reason) in DEEDS.items():
        assert reason in (failed[name] or ""), name
    honest = [r for r in records if r.kind == "latency" and r.status == "ok"]
    seen = {(r.case["strategy"], r.case["aa"], r.replicate) for r in honest if r.case["strategy"] not in DEEDS}
    honest_cases = (("no_shift", False), ("no_shift", True), ("copy_shift", False), ("prints", False))
    assert seen == {(strategy, aa, r) for strategy, aa in honest_cases for r in (0, 1)}
    assert len({record.id for record in records}) == len(records)


SKIPS = """
from bench.strategy import Strategy

class Skips(Strategy):
    name = "skips"

    def skip(self, backbone, frames):
        return f"not for {backbone}" if frames == 2 else None

    def shift(self, clip):
        return clip.clone()
"""


def test_a_strategy_may_say_why_it_skips_a_case_or_which_devices_it_is_made_for(tmp_path: Path) -> None:
    (tmp_path / "skips.py").write_text(SKIPS)
    (tmp_path / "elsewhere.py").write_text(SKIPS.replace('"skips"', '"elsewhere"\n    devices = ("cuda",)'))
    records = [r for r in measure(tmp_path, ("skips", "elsewhere"), 1.0) if r.case.get("strategy") != "no_shift"]
    assert [(r.status, r.reason) for r in records if r.kind == "latency"] == [
        ("skipped", "not for resnet18"),
        ("skipped", "elsewhere is made for cuda, not for cpu"),
    ]


def test_a_network_that_cannot_be_built_is_a_recorded_failure(tmp_path: Path) -> None:
    impossible = replace(PANEL, dtype="fp8")
    cases = [Case(BASELINE_VARIANT, impossible), Case(BASELINE_VARIANT, impossible, aa=True)]
    panel = Campaign(impossible, cases, strategy_files(), Latency(), 5.0, 0)
    records = [*panel.count(), *(record for records in panel.replicates() for record in records)]
    assert [r.status for r in records] == ["failed", "failed"]
    assert "fp8" in (records[0].reason or "")


def test_one_replicate_measures_all_its_cases_in_the_same_superblocks(tmp_path: Path) -> None:
    records = [r for r in measure(tmp_path, ("copy_shift", "buffer_shift")) if r.kind == "latency"]
    for replicate in (0, 1):
        blocks = {tuple(r.samples["superblock"]) for r in records if r.replicate == replicate}
        assert len(blocks) == 1
        positions = sorted(p for r in records if r.replicate == replicate for p in r.samples["position"])
        superblocks = len(next(iter(blocks))) // 2
        assert positions == sorted(list(range(8)) * superblocks)


def test_the_copy_curve_leaves_the_memory_to_the_network() -> None:
    assert _copy_sizes(512, 64 << 30) == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert _copy_sizes(512, 1 << 30) == [1, 2, 4, 8, 16, 32, 64, 128]
    assert _copy_sizes(512, 0) == []
    assert _copy_sizes(3, 64 << 30) == [1, 2]
