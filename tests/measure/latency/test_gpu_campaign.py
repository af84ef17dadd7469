"""The GPU path from plan to tables, on a simulated GPU: three regimes, cycles, throttling, a device that goes."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.analysis.overheads import overheads
from bench.analysis.tables.latency import latency_table
from bench.analysis.tables.quality import quality_table
from bench.measure.latency.campaign import Campaign
from bench.plugins.discovery import strategy_files
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Chosen, Panel, StrategyInfo, Variant
from bench.spec.expansion import resolve
from bench.spec.settings import Latency, load_preset, validate
from bench.store.records import Record
from tests.measure.latency.simulated_gpu_worker import BEHAVIOUR

PANEL = Panel("resnet18", "cuda", "eager", "fp32", "nchw", 2, 2, 32, 1)
SETTINGS = Latency(min_replicates=2, max_replicates=2, target_half_width_points=0.01, largest_copy_mib=2)


def cases(panel: Panel) -> list[Case]:
    shift = Variant("copy_shift", parse_fraction("1"), "residual", "bidirectional")
    return [Case(BASELINE_VARIANT, panel), Case(BASELINE_VARIANT, panel, aa=True), Case(shift, panel)]


def measure(
    panel: Panel, monkeypatch: pytest.MonkeyPatch, count: bool = True, **behaviour: Any
) -> tuple[Campaign, list[Record]]:
    monkeypatch.setenv(BEHAVIOUR, json.dumps(behaviour))
    campaign = Campaign(
        panel, cases(panel), strategy_files(), SETTINGS, 400.0, 0, module="tests.measure.latency.simulated_gpu_worker"
    )
    counted = list(campaign.count()) if count else []
    return campaign, [*counted, *(record for replicate in campaign.replicates() for record in replicate)]


def test_time_and_cycles_reach_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock falls with the work (power), so that in time the shift costs more than in cycles."""
    _, records = measure(replace(PANEL, runtime="cudagraph"), monkeypatch, power=0.5, throttled_from=0)
    table = latency_table(records, overheads(records)).set_index(["strategy", "aa"])
    shift, base = table.loc[("copy_shift", False)], table.loc[("no_shift", False)]
    assert shift.overhead_pct > shift.overhead_cycles_pct > 0
    assert shift.sm_mhz < base.sm_mhz
    assert shift.peak_memory_mb > 0
    assert "disturbed" in shift["flags"]  # it was throttled all the time
    quality = quality_table(records, overheads(records)).iloc[0]
    assert "GPU throttled" in quality.reasons
    assert "cudnn_benchmark False" in quality.backend
    assert "sm_mhz" in quality.sensors


def test_a_device_that_goes_midway_keeps_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    campaign, records = measure(PANEL, monkeypatch, count=False, lost_after=8, gone=str(gone))
    assert campaign.device_lost is not None and "cuda disappeared" in campaign.device_lost
    statuses = {(record.kind, record.status) for record in records}
    assert ("latency", "failed") not in statuses  # no strategy is to blame
    assert ("replicate", "failed") in statuses
    assert [record.reason for record in records if record.status == "failed"] == [campaign.device_lost]
    assert {o.case for o in overheads(records)} == set(cases(PANEL))  # the superblock before it went
    monkeypatch.setenv(BEHAVIOUR, "{}")  # it is back
    again = Campaign(
        PANEL, cases(PANEL), strategy_files(), SETTINGS, 400.0, 0, records, "tests.measure.latency.simulated_gpu_worker"
    )
    more = [record for replicate in again.replicates() for record in replicate]
    assert again.device_lost is None
    assert {record.replicate for record in more if record.kind == "latency"} == {1}
    assert len({record.id for record in [*records, *more]}) == len(records) + len(more)


def infos() -> list[StrategyInfo]:
    names = ("no_shift", "copy_shift", "concat_shift", "buffer_shift", "triton_shift", "triton_conv")
    return [StrategyInfo(name, f"{name}.py", True) for name in names]


def test_the_standard_preset_has_the_three_regimes_where_there_is_a_gpu() -> None:
    settings = load_preset("standard")
    with_gpu = resolve(settings, infos(), Chosen(), ("cpu", "cuda"), 2)
    regimes = [(panel.device, panel.runtime, panel.batch) for panel, _ in with_gpu.panels]
    assert regimes == [("cuda", "eager", 1), ("cuda", "cudagraph", 1), ("cuda", "eager", 32), ("cpu", "eager", 1)]
    without = resolve(settings, infos(), Chosen(), ("cpu",), 2)
    assert [(panel.device, panel.runtime, panel.batch) for panel, _ in without.panels] == [("cpu", "eager", 1)]


def test_the_gpu_preset_crosses_regimes_dtypes_and_layouts() -> None:
    panels = [panel for panel, _ in resolve(load_preset("gpu"), infos(), Chosen(), ("cpu", "cuda"), 2).panels]
    assert {panel.device for panel in panels} == {"cuda"}
    assert len(panels) == len(set(panels)) == 3 * 3 * 2
    with pytest.raises(ValueError, match="'cuda' is not on this machine"):
        resolve(load_preset("gpu"), infos(), Chosen(), ("cpu",), 2)


def test_axes_one_at_a_time() -> None:
    panels = [panel for panel, _ in resolve(load_preset("axes"), infos(), Chosen(), ("cpu",), 2).panels]
    centre = panels[0]
    apart = [sum(a != b for a, b in zip(vars(panel).values(), vars(centre).values(), strict=True)) for panel in panels]
    assert apart[0] == 0 and set(apart[1:]) == {1, 2}
    assert apart.count(2) == 1  # bf16 in channels_last, where matrix units are fed best


def test_a_graph_on_a_processor_is_a_mistake_told_in_one_line() -> None:
    settings = validate({"latency": {"runtimes": ["cudagraph"]}}, "test")
    with pytest.raises(ValueError, match="needs cuda"):
        resolve(settings, infos(), Chosen(), ("cpu",), 2)
