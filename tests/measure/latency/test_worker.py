"""The real worker in this process: clips and streams, eagerly and as captured graphs, on a simulated GPU."""

import gc
import math
import random
import time
import weakref
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from bench import models
from bench.measure.latency.builder import PanelBuilder, Player
from bench.measure.latency.campaign import Campaign
from bench.measure.latency.devices import device_for
from bench.measure.latency.process import PanelProcesses
from bench.measure.latency.timing import Order
from bench.models import runtimes
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Variant
from bench.spec.panel import Panel
from bench.spec.schema import Stopping
from bench.strategy import Site, Strategy
from tests.measure.latency import in_process
from tests.measure.latency.simulated_gpu import SimulatedGpu
from tests.models.runtimes.small import network

CLIPS = Panel("resnet18", "cuda", "eager", "fp32", "nchw", 1, 2, 32, 1)
STREAMS = replace(CLIPS, frames=3, streams=2)
GRAPH = {"runtime": "cudagraph"}
SHORT = Stopping(max_superblocks=2, largest_copy_mib=1)


def events(panel: Panel, gpu: SimulatedGpu, mode: str = "timed") -> list[dict[str, Any]]:
    """What the worker says of the baseline and a shift."""
    direction = "unidirectional" if panel.streams else "bidirectional"
    shift = Variant("buffer_shift" if panel.streams else "copy_shift", parse_fraction("1/4"), "residual", direction)
    job = {
        "mode": mode,
        "panel": asdict(panel),
        "cases": [[i, Case(variant, panel).to_json()] for i, variant in enumerate((BASELINE_VARIANT, shift))],
        "files": [str(file) for file in strategy_files()],
        "exports": None,
        "export_seconds": 60.0,
        "prove": True,
        "seed": 1,
        "order": asdict(Order(seed=1, deadline=math.inf, superblocks=2)),
    }
    return list(in_process.stream(job, lambda name: gpu))


@pytest.mark.parametrize("panel", [CLIPS, replace(CLIPS, **GRAPH), replace(STREAMS, **GRAPH)], ids=lambda p: p.label)
def test_clips_and_streams_are_timed_eagerly_and_as_graphs(panel: Panel) -> None:
    gpu = SimulatedGpu()
    said = events(panel, gpu)
    assert [event["event"] for event in said] == ["enter", "enter", "ready", "superblock", "superblock"]
    assert said[2]["backend"]["device_name"] == "Simulated GPU"
    for block in said[3:]:
        for slot in block["slots"]:
            frames = slot[-2]
            assert (frames is None) == (panel.streams == 0)
            assert frames is None or (len(frames) == panel.frames and sum(frames) == pytest.approx(slot[2]))
        base, shifted = (sum(slot[2] for slot in block["slots"] if slot[0] == case) for case in (0, 1))
        assert shifted > base  # it moves bytes
    assert gpu.cuda.told.count("capture") == (2 if panel.runtime == "cudagraph" else 0)
    assert ("replay" in gpu.cuda.told) == (panel.runtime == "cudagraph")


def test_what_is_counted_is_counted_eagerly_as_a_graph_would_hide_it() -> None:
    gpu = SimulatedGpu()
    baseline, shifted = (
        event["samples"] for event in events(replace(CLIPS, **GRAPH), gpu, "static") if "samples" in event
    )
    assert shifted["bytes_moved"] > baseline["bytes_moved"]
    assert shifted["peak_allocated_bytes"] > 0
    assert "capture" not in gpu.cuda.told


def test_a_stream_is_counted_by_the_frame_with_what_it_remembers() -> None:
    clip, stream = (events(panel, SimulatedGpu(), "static")[-1]["samples"] for panel in (CLIPS, STREAMS))
    assert stream["flops"] == clip["flops"]  # two frames: of one clip, and of two streams
    shapes = ((64, 8),) * 3 + ((128, 4),) * 2 + ((256, 2),) * 2 + ((512, 1),)
    assert stream["state_bytes"] == sum(4 * channels // 4 * edge**2 for channels, edge in shapes)
    assert stream["inputs"]["conv1"][0] == [64, 8, 8]


def test_a_device_that_is_lost_is_said() -> None:
    assert [event["event"] for event in events(CLIPS, SimulatedGpu(lost_after=10))][-2:] == [
        "superblock",
        "device_lost",
    ]


def test_every_superblock_of_a_processor_has_a_layout_of_its_own_and_the_baseline_any_place() -> None:
    """In the order of the job first, then in random ones; the records tell."""
    panel = replace(CLIPS, device="cpu")
    cases = [Case(BASELINE_VARIANT, panel), Case(BASELINE_VARIANT, panel, aa=True)]
    first = {}
    for number in range(4):
        processes = PanelProcesses(panel, cases, strategy_files(), 0, stream=in_process.stream)
        order = {"deadline": math.inf, "superblocks": 3, "gate_seconds": 0.0}
        said = list(processes.events("timed", cases, number, order))
        assert [event["event"] for event in said] == ["enter", "enter", "ready"] + ["superblock"] * 3
        assert all(sorted(event["build_order"]) == [0, 1] for event in said[3:])
        first[number] = [event["build_order"][0] for event in said[3:]]
    assert {own[0] for own in first.values()} == {own for later in first.values() for own in later[1:]} == {0, 1}
    (process,) = (r for r in Campaign(processes, SHORT, 60.0).process(0) if r.kind == "process")
    assert process.samples is not None and process.samples.min_replicates == 5
    assert {tuple(sorted(order)) for order in process.samples.build_order} == {
        ("no_shift-residual-0-bidirectional", "no_shift-residual-0-bidirectional+aa")
    }


def test_what_is_moved_in_memory_computes_the_same_and_what_was_there_before_is_freed() -> None:
    builder = PanelBuilder(replace(CLIPS, device="cpu", memory_format="channels_last"), device_for("cpu"), 0)
    strategy = load_class("copy_shift", strategy_files())(1 / 4, "residual", "bidirectional")
    with torch.inference_mode():
        call = builder.build(strategy, "eager", None, runs=1, prove=False)[1]
        want, old = call(), [*map(weakref.ref, builder._weights), weakref.ref(builder.frames)]
        places = {tensor.data_ptr() for tensor in (*builder._weights, builder.frames)}
        builder.relocate(random.Random(0))
        assert places.isdisjoint(tensor.data_ptr() for tensor in (*builder._weights, builder.frames))
        del call
        gc.collect()  # networks hold themselves
        assert not any(weight() is not None for weight in old)
        model, call = builder.build(strategy, "eager", None, runs=1, prove=False)
        assert torch.equal(call(), want)
        assert model.get_parameter("trunk.conv1.weight").is_contiguous(memory_format=torch.channels_last)


def test_networks_are_counted_with_the_weights_that_are_given(tmp_path: Path) -> None:
    torch.save(resnet18(num_classes=5).state_dict(), tmp_path / "few.pth")
    panel = replace(CLIPS, device="cpu")
    cases = [Case(BASELINE_VARIANT, panel)]
    weights = str(tmp_path / "few.pth")
    processes = PanelProcesses(panel, cases, strategy_files(), 0, weights=weights, stream=in_process.stream)
    said = list(processes.events("static", cases, 0))
    assert said[-1]["samples"]["params"] == sum(weight.numel() for weight in resnet18(num_classes=5).parameters())


def test_a_process_that_would_not_end_in_time_ends_at_once() -> None:
    panel = replace(CLIPS, device="cpu")
    cases = [Case(BASELINE_VARIANT, panel), Case(BASELINE_VARIANT, panel, aa=True)]
    processes = PanelProcesses(panel, cases, strategy_files(), 0, stream=in_process.stream)
    order = {"deadline": time.monotonic(), "limit": time.monotonic(), "superblocks": 9, "gate_seconds": 0.0}
    assert [event["event"] for event in processes.events("timed", cases, 0, order)] == ["enter", "out_of_time"]
    campaign = Campaign(processes, Stopping(), 60.0)
    campaign.spent = 90.0
    records = campaign.process(0)
    assert campaign.finished and [record.status for record in records] == ["skipped", "skipped"]
    assert all("the budget would end before a superblock does" in (record.reason or "") for record in records)


SLOW = """
import time, torch
from bench.strategy import Strategy

class Slow(Strategy):
    name = "slow"

    def shift(self, clip):
        if torch.compiler.is_exporting():
            time.sleep(0.5)
        return clip.clone()
"""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the time may be up in a finaliser
def test_an_export_that_takes_too_long_is_given_up_once_for_all_runtimes(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript.values")  # whole before the alarm: an import that it cuts short stays broken
    (tmp_path / "slow.py").write_text(SLOW)
    exports, reasons = tmp_path / "exports", []
    exports.mkdir()
    for runtime in ("onnxruntime", "openvino"):
        panel = replace(CLIPS, device="cpu", runtime=runtime)
        if reason := runtimes.why_not(runtime, "cpu"):
            pytest.skip(reason)
        own = [
            Case(Variant(name, parse_fraction("1/4"), "residual", "bidirectional"), panel)
            for name in ("slow", "buffer_shift")
        ]
        processes = PanelProcesses(
            panel, own, strategy_files(tmp_path), 0, exports, export_seconds=0.5, stream=in_process.stream
        )
        reasons.append([(e["event"], e.get("reason")) for e in processes.events("static", own, 0)][1::2])
    given_up = ("failed", "RuntimeError: its export took longer than 0.5 s and was given up (limits.export)")
    for runtime, said in zip(("onnxruntime", "openvino"), reasons, strict=True):
        assert said == [
            given_up,
            ("skipped", f"buffer_shift is made for eager, it is not exported for {runtime}"),
        ]
    assert len(list(exports.iterdir())) == 1


@pytest.mark.parametrize("in_place", [False, True])
def test_the_state_goes_on_from_frame_to_frame(in_place: bool) -> None:
    strategy = load_class("buffer_shift", strategy_files())(1 / 4, "residual", "unidirectional")
    online = models.go_online(strategy, models.build("digits_resnet", 1))
    player, state = Player(online, in_place=in_place), None
    places = set()
    with torch.inference_mode():
        for frame in torch.randn(4, 2, 1, 16, 16, generator=torch.Generator().manual_seed(0)):
            want, state = online.step(frame.clone(), state)
            assert torch.equal(player(frame.clone()), want)
            assert player._state is not None
            places.add(player._state.pasts[0].data_ptr())
    assert not in_place or len(places) == 1, "a captured graph writes where its state lay"


WRITES: dict[str, Callable[[nn.Parameter], object]] = {
    "past autograd": lambda weight: weight.data.mul_(2),
    "in place": lambda weight: nn.init.normal_(weight),
    "another order": lambda weight: weight.data.copy_(weight.data.flip(0)),
    "another memory": lambda weight: setattr(weight, "data", weight.data.clone()),
    "another tensor": lambda weight: weight.set_(torch.zeros_like(weight)),
    "into the input": lambda weight: None,
}


@pytest.mark.parametrize("way", WRITES)
def test_who_writes_into_what_all_share_fails_and_the_others_do_not_pay(way: str) -> None:
    class Writes(Strategy):
        """Changes weights that are not its own."""

        name = "writes"

        def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
            with torch.inference_mode(False), torch.no_grad():
                WRITES[way](next(site.layer(block).parameters()))
                if way == "into the input":
                    builder.frames.data.add_(1)
            return block

    builder = PanelBuilder(replace(CLIPS, device="cpu"), device_for("cpu"), 0)
    honest = load_class("copy_shift", strategy_files())(1 / 4, "residual", "bidirectional")
    with torch.inference_mode():
        want = builder.build(honest, "eager", None, runs=1, prove=False)[1]().clone()
        with pytest.raises(ValueError, match="it wrote into the network's shared weights or input"):
            builder.build(Writes(1 / 4), "eager", None, runs=1, prove=False)
        assert torch.equal(builder.build(honest, "eager", None, runs=1, prove=False)[1](), want)


BREAKING = '''
import torch
from bench.strategy import Strategy

class Breaking(Strategy):
    """No graph holds what it does."""

    name = "breaking"

    def shift(self, clip):
        torch._dynamo.graph_break()
        return clip.clone()
'''


@pytest.mark.filterwarnings("ignore")  # of the compiler, about its own inside
def test_where_a_graph_breaks_under_compile_is_counted_and_said(tmp_path: Path) -> None:
    if reason := runtimes.why_not("compile", "cpu"):
        pytest.skip(reason)
    (tmp_path / "breaking.py").write_text(BREAKING)
    model, frames = network(), torch.randn(8, 3, 16, 16)
    with torch.inference_mode():
        assert runtimes.graph_breaks("compile", model, frames) == []
        broken = models.insert(load_class("breaking", strategy_files(tmp_path))(0.25), model)
        (told,) = runtimes.graph_breaks("compile", broken, frames)
    assert told.startswith("torch.compile broke the graph ") and "\n" not in told
    assert runtimes.graph_breaks("eager", broken, frames) == []
