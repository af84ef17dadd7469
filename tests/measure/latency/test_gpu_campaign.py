"""The GPU path from plan to overheads, on a simulated GPU: three regimes, cycles, heat, a device that goes."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure

from bench.analysis.overheads import overheads
from bench.analysis.two_runs import compare_runs
from bench.cli.run import Request
from bench.measure.latency import builder
from bench.measure.latency.campaign import Campaign
from bench.measure.latency.process import PanelProcesses
from bench.plugins.discovery import strategy_files
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Chosen, StrategyInfo, Variant
from bench.spec.expansion import Machine, expand
from bench.spec.panel import Panel
from bench.spec.settings import Latency, load_preset, preset_strategies
from bench.store.journal import Run
from bench.store.records import SCHEMA, ProcessRecord, Record, StaticRecord, TimedRecord
from tests.measure.latency import in_process
from tests.measure.latency.simulated_gpu import Bus, SimulatedGpu
from tests.measure.latency.test_campaign import measured, processes, reasons
from tests.store.synthetic import timed

PANEL = Panel("resnet18", "cuda", "eager", "fp32", "nchw", 1, 2, 32, 1)
GRAPH = replace(PANEL, runtime="cudagraph")
STREAMS = replace(GRAPH, frames=3, streams=2)
SETTINGS = Latency(min_replicates=2, max_replicates=2, max_superblocks=2, largest_copy_mib=2)


def cases(panel: Panel, *names: str) -> list[Case]:
    direction = "unidirectional" if panel.streams else "bidirectional"
    shifts = [Variant(name, parse_fraction("1"), "residual", direction) for name in ("copy_shift", *names)]
    return [
        Case(BASELINE_VARIANT, panel),
        Case(BASELINE_VARIANT, panel, aa=True),
        *(Case(shift, panel) for shift in shifts),
    ]


def campaign(
    panel: Panel, known: Sequence[Record] = (), names: Sequence[str] = (), folder: Path | None = None, **behaviour: Any
) -> Campaign:
    bus = Bus()
    stream = partial(in_process.stream, device_for=lambda name: SimulatedGpu(bus=bus, **behaviour))
    own = PanelProcesses(panel, cases(panel, *names), strategy_files(folder), 0, stream=stream)
    return Campaign(own, SETTINGS, 40.0, known)


@pytest.fixture(autouse=True)
def _few_replays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulated one takes milliseconds, and is always the same."""
    monkeypatch.setattr(builder, "_REPLAYED", 2)


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
        assert process.backend["fp32_products"] in (
            "tf32",
            process.backend["fp32_convolutions"],
        )  # one rounding for all
        assert all(reading["throttled"] == 1.0 for reading in process.disturbance)
        assert all(reading["sm_mhz"] > 0 for reading in process.sensors)
    alone = [r.samples.alone_seconds for r in records if isinstance(r, TimedRecord)]
    assert all(bool(own) is (panel is GRAPH) for own in alone)  # a replay by itself, beside the mean of several
    again = campaign(panel, records)
    assert not list(again.count()) and not list(processes(again)) and again.widest() == own.widest()


def test_a_device_that_goes_midway_keeps_what_was_measured() -> None:
    first = campaign(PANEL, lost_after=14)
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


def test_a_run_on_it_and_one_on_a_processor_stand_in_one_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eager beside eager; what a processor has no counterpart of is said."""
    processor, graph = replace(PANEL, device="cpu"), campaign(GRAPH)
    own = [timed(case, number, [0.1, 0.11]) for number in range(2) for case in cases(processor)]
    runs = {
        "cpu": own,
        "gpu": [record for one in (campaign(PANEL), graph) for each in processes(one) for record in each],
    }
    for name, records in runs.items():
        with Run(tmp_path / name) as run:
            run.write_header({"schema_version": SCHEMA, "environment": {"cpu": "Some processor"}, "sweep": {}})
            run.append(*records)
    shown = list[Figure]()
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: shown.append(figure))
    text = compare_runs(tmp_path / "cpu", tmp_path / "gpu")
    assert f"A: {tmp_path / 'cpu'} on Some processor\n" in text and "with Simulated GPU\n" in text
    assert "only in B: 1 cases, as in resnet18 2x32 batch 1 cudagraph" in text and "only in A" not in text
    (row,) = pd.read_csv(tmp_path / "compare-cpu-gpu" / "comparison.csv").itertuples()
    assert row.a == pytest.approx(0.0) and row.b > 0 and row.b_ci_low <= row.b <= row.b_ci_high
    values, differences = shown[0].axes
    drawn = [float(line.get_xdata()[0]) for line in values.lines if line.get_marker() == "o"]
    assert drawn == pytest.approx([row.a, row.b])
    assert differences.lines[0].get_xdata()[0] == pytest.approx(row.difference)
    assert [text.get_text() for text in values.get_yticklabels()] == ["copy_shift-residual-1-bidirectional"]


CODE = """
import torch
from bench.strategy import Strategy
from strategies.copy_shift import CopyShift

class Bad(CopyShift):
    name = "{name}"
    same_function_as = {same}

    def shift(self, clip):
        out = super().shift(clip)
        {what}
        return out
"""
BREAKS = """
        from tests.measure.latency.simulated_gpu import SimulatedGpu
        SimulatedGpu.current.cuda.lost = True
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
"""


def write(folder: Path, name: str, what: str, same: str | None = None) -> None:
    (folder / f"{name}.py").write_text(CODE.format(name=name, what=what.strip(), same=repr(same)))


def test_a_case_that_breaks_its_context_is_blamed_and_the_others_go_on(tmp_path: Path) -> None:
    """From inside it looks as if the device were gone; a fresh process finds it."""
    write(tmp_path, "breaks", BREAKS)
    own = campaign(PANEL, names=["breaks"], folder=tmp_path)
    records = measured(own)
    failed = reasons(records, "failed")
    assert set(failed) == {"breaks"} and "broke the device" in failed["breaks"]
    assert "an illegal memory access" in failed["breaks"]
    assert own.device_lost is None and own.replicates_done == 2
    assert {overhead.case for overhead in overheads(records)} == set(cases(PANEL))


def test_a_failed_capture_ends_its_process_and_is_blamed(tmp_path: Path) -> None:
    write(tmp_path, "counts", "out.sum().item()")
    records = measured(campaign(GRAPH, names=["counts"], folder=tmp_path))
    failed = reasons(records, "failed")
    assert set(failed) == {"counts"}
    assert "the process that ran it exited" in failed["counts"] and "it cannot be captured" in failed["counts"]
    assert {overhead.case for overhead in overheads(records)} == set(cases(GRAPH))


@pytest.mark.parametrize("panel", [PANEL, GRAPH], ids=["eager", "replayed"])
def test_what_is_timed_is_proven_in_its_own_shapes(panel: Panel, tmp_path: Path) -> None:
    """A kernel that is wrong for large frames only passes conformance."""
    write(tmp_path, "loses", "out = clip if clip.shape[2] == 256 else out", "copy_shift")
    write(tmp_path, "honest", "pass", "copy_shift")
    failed = reasons(measured(campaign(panel, names=["loses", "honest"], folder=tmp_path)), "failed")
    assert set(failed) == {"loses"}
    assert (
        "loses deviates from copy_shift by" in failed["loses"] and "in layer3.1, on [2, 256, 2, 2]" in failed["loses"]
    )


LEARNS = """
from strategies.tam import TAM

class Same(TAM):
    name = "{name}"
    same_function_as = "tam"

    def module(self, channels, num_segments):
        return TAM({how}).module(channels, num_segments)
"""


def test_the_reference_has_the_same_values_and_the_same_start(tmp_path: Path) -> None:
    for name, how in {"keeps": "kernel=self.kernel", "forgets": ""}.items():
        (tmp_path / f"{name}.py").write_text(LEARNS.format(name=name, how=how))
    names = ["keeps", "keeps[kernel=5]", "forgets", "forgets[kernel=5]"]
    failed = reasons(measured(campaign(PANEL, names=names, folder=tmp_path)), "failed")
    assert set(failed) == {"forgets[kernel=5]"}
    assert "deviates from tam[kernel=5] by" in failed["forgets[kernel=5]"]


def panels(preset: str, *devices: str) -> list[Panel]:
    names = ("no_shift", "copy_shift", "concat_shift", "buffer_shift", "triton_shift", "triton_conv", "placed_shift")
    infos = [StrategyInfo(name, f"{name}.py", True) for name in names]
    settings = load_preset(preset).model_copy(update={"sections": ("latency",)})
    return [planned.panel for planned in expand(settings, infos, Chosen(), Machine(devices, 2)).panels]


def test_presets_have_the_three_regimes_of_a_gpu() -> None:
    with_gpu = [(panel.device, panel.runtime, panel.batch) for panel in panels("standard", "cpu", "cuda")]
    assert with_gpu[2:5] == [("cuda", "eager", 1), ("cuda", "cudagraph", 1), ("cuda", "eager", 32)]
    assert {panel.batch for panel in panels("standard", "cpu")} == {1}
    crossed = panels("gpu", "cpu", "cuda")
    assert {panel.device for panel in crossed} == {"cuda"}
    assert len(crossed) == len(set(crossed))
    assert {(panel.runtime, panel.batch) for panel in crossed} == {
        ("eager", 1),
        ("eager", 32),
        ("cudagraph", 1),
        ("cudagraph", 8),
        ("cudagraph", 32),
        ("compile", 1),
    }
    assert {(panel.backbone, panel.batch) for panel in crossed if panel.runtime == "cudagraph"} >= {
        ("folded:resnet50", 1),
        *product(("resnet50", "mobilenet_v2", "timm:tf_efficientnet_lite0"), (1, 8, 32)),
    }
    with pytest.raises(ValueError, match="cuda"):
        panels("gpu", "cpu")


START, STATIC = 40.0, 30.0  # seconds, of a process and of the static pass; the arithmetic of the preset


def test_a_panel_of_the_gpus_preset_holds_its_fewest_processes() -> None:
    settings = load_preset("gpu").latency
    each = settings.budget / (len(panels("gpu", "cpu", "cuda")) + 1)  # one counts twice
    assert each > STATIC + settings.min_replicates * 1.25 * START


@pytest.mark.parametrize("preset", ["standard", "gpu", "smoke", "paper"])
def test_regimes_of_a_gpu_are_none_of_a_processors(preset: str) -> None:
    """Asked for the processor on a machine that has both, by an option or by what there is."""
    asked = Request(preset=preset, device="cpu").settings().model_copy(update={"sections": ("latency",)})
    infos = [StrategyInfo(name, f"{name}.py", True) for name in sorted(preset_strategies())]
    if preset == "gpu":
        with pytest.raises(ValueError, match="no panel is left on cpu"):
            expand(asked, infos, Chosen(), Machine(("cpu", "cuda"), 2))
        return
    found = [planned.panel for planned in expand(asked, infos, Chosen(), Machine(("cpu", "cuda"), 2)).panels]
    assert found and {panel.device for panel in found} == {"cpu"}
    assert not {panel.batch for panel in found} & {8, 32}


def test_a_preset_varies_axes_one_at_a_time() -> None:
    centre, *others = panels("axes", "cpu")
    apart = [sum(a != b for a, b in zip(vars(panel).values(), vars(centre).values(), strict=True)) for panel in others]
    assert set(apart) == {1, 2}
    assert apart.count(2) == 1  # bf16 in channels_last, where matrix units are fed best
