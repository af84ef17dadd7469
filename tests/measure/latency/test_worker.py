"""The real worker in this process: clips and streams, eagerly and as captured graphs, on a simulated GPU."""

import math
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch

from bench import models
from bench.measure.latency.builder import Player
from bench.measure.latency.timing import Order
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Variant
from bench.spec.panel import Panel
from tests.measure.latency import in_process
from tests.measure.latency.simulated_gpu import SimulatedGpu

CLIPS = Panel("resnet18", "cuda", "eager", "fp32", "nchw", 1, 2, 32, 1)
STREAMS = replace(CLIPS, frames=3, streams=2)
GRAPH = {"runtime": "cudagraph"}


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
            frames = slot[-1]
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
    assert [event["event"] for event in events(CLIPS, SimulatedGpu(lost_after=6))][-2:] == ["superblock", "device_lost"]


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
