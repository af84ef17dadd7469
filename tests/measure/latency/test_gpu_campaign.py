"""The GPU path from plan to overheads, on a simulated GPU: three regimes, cycles, heat, a device that goes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from bench.analysis.overheads import overheads
from bench.measure.latency.campaign import Campaign
from bench.measure.latency.process import PanelProcesses
from bench.plugins.discovery import strategy_files
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Chosen, StrategyInfo, Variant
from bench.spec.expansion import Machine, expand
from bench.spec.panel import Panel
from bench.spec.settings import Latency, load_preset
from bench.store.records import ProcessRecord, Record, StaticRecord, TimedRecord
from tests.measure.latency import in_process
from tests.measure.latency.simulated_gpu import SimulatedGpu
from tests.measure.latency.test_campaign import processes

PANEL = Panel("resnet18", "cuda", "eager", "fp32", "nchw", 1, 2, 32, 1)
GRAPH = replace(PANEL, runtime="cudagraph")
STREAMS = replace(GRAPH, frames=3, streams=2)
SETTINGS = Latency(min_replicates=2, max_replicates=2, max_superblocks=2, largest_copy_mib=2)


def cases(panel: Panel) -> list[Case]:
    direction = "unidirectional" if panel.streams else "bidirectional"
    shift = Variant("copy_shift", parse_fraction("1"), "residual", direction)
    return [Case(BASELINE_VARIANT, panel), Case(BASELINE_VARIANT, panel, aa=True), Case(shift, panel)]


def campaign(panel: Panel, known: Sequence[Record] = (), **behaviour: Any) -> Campaign:
    stream = partial(in_process.stream, device_for=lambda name: SimulatedGpu(**behaviour))
    own = PanelProcesses(panel, cases(panel), strategy_files(), 0, stream=stream)
    return Campaign(own, SETTINGS, 40.0, known)


@pytest.mark.parametrize("panel", [GRAPH, STREAMS], ids=["clips", "streams"])
def test_time_cycles_and_heat_are_on_record(panel: Panel) -> None:
    """The clock falls with the work (power), so that in time the shift costs more than in cycles."""
    own = campaign(panel, power=0.5, throttled_from=0)
    records = [*own.count(), *(record for replicate in processes(own) for record in replicate)]
    assert [record.reason for record in records if record.status != "ok"] == []
    assert {r.id.split("/")[0] for r in records if isinstance(r, TimedRecord)} == {panel.section}
    base, twin, shift = overheads(records)
    assert (base.interval().mean, twin.interval().mean) == (0.0, 0.0)
    assert shift.interval().mean > shift.interval_in_cycles().mean > 0
    assert shift.mhz < base.mhz
    assert all(record.samples.peak_bytes > 0 for record in records if isinstance(record, StaticRecord))
    for process in (record.samples for record in records if isinstance(record, ProcessRecord)):
        assert process is not None and process.backend["cudnn_benchmark"] is False
        assert all(reading["throttled"] == 1.0 for reading in process.disturbance)
        assert all(reading["sm_mhz"] > 0 for reading in process.sensors)
    again = campaign(panel, records)
    assert not list(again.count()) and not list(processes(again)) and again.widest() == own.widest()


def test_a_device_that_goes_midway_keeps_what_was_measured() -> None:
    first = campaign(PANEL, lost_after=8)
    records = [record for replicate in processes(first) for record in replicate]
    assert first.device_lost is not None and "cuda disappeared" in first.device_lost
    failed = [record for record in records if record.status == "failed"]
    assert [record.reason for record in failed] == [first.device_lost]
    assert isinstance(failed[0], ProcessRecord)  # no strategy is to blame
    assert {overhead.case for overhead in overheads(records)} == set(cases(PANEL))  # the superblock before it went
    second = campaign(PANEL, records)  # it is back
    more = [record for replicate in processes(second) for record in replicate]
    assert second.device_lost is None
    assert {record.replicate for record in more if isinstance(record, TimedRecord)} == {1}
    assert len({record.id for record in [*records, *more]}) == len(records) + len(more)


def panels(preset: str, *devices: str) -> list[Panel]:
    names = ("no_shift", "copy_shift", "concat_shift", "buffer_shift", "triton_shift", "triton_conv")
    infos = [StrategyInfo(name, f"{name}.py", True) for name in names]
    settings = load_preset(preset).model_copy(update={"sections": ("latency",)})
    return [planned.panel for planned in expand(settings, infos, Chosen(), Machine(devices, 2)).panels]


def test_presets_have_the_three_regimes_of_a_gpu() -> None:
    with_gpu = [(panel.device, panel.runtime, panel.batch) for panel in panels("standard", "cpu", "cuda")]
    assert with_gpu[2:5] == [("cuda", "eager", 1), ("cuda", "cudagraph", 1), ("cuda", "eager", 32)]
    assert {panel.batch for panel in panels("standard", "cpu")} == {1}
    crossed = panels("gpu", "cpu", "cuda")
    assert {panel.device for panel in crossed} == {"cuda"}
    assert len(crossed) == len(set(crossed)) == 3 * 3 * 2
    with pytest.raises(ValueError, match="cuda"):
        panels("gpu", "cpu")


def test_a_preset_varies_axes_one_at_a_time() -> None:
    centre, *others = panels("axes", "cpu")
    apart = [sum(a != b for a, b in zip(vars(panel).values(), vars(centre).values(), strict=True)) for panel in others]
    assert set(apart) == {1, 2}
    assert apart.count(2) == 1  # bf16 in channels_last, where matrix units are fed best
