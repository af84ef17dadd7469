"""Slots that are several frames of a stream: each frame timed, the state going on, also where it lies."""

import json
import random

import pytest
import torch

from bench import models
from bench.measure.latency.campaign import Campaign
from bench.measure.latency.sampling import run_superblock
from bench.measure.latency.streams import FrameClock, Play, Played, Player
from bench.measure.latency.timing import frame_seconds, healthy
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, Variant
from bench.spec.panel import Panel
from bench.spec.settings import Online
from tests.measure.latency.simulated_gpu_worker import BEHAVIOUR

SHIFT = Variant("buffer_shift", parse_fraction("1/4"), "residual", "unidirectional")
PANEL = Panel("resnet18", "cuda", "cudagraph", "fp32", "nchw", 1, frames=3, size=32, batch=1, streams=2)


class Counting:
    """A clock on which the n-th frame takes n seconds."""

    name = "counting"

    def __init__(self) -> None:
        self.calls = 0

    def measure(self, call):
        self.calls += 1
        return float(self.calls), call()


def test_a_slot_takes_what_its_frames_take() -> None:
    logits = [torch.tensor([float(n)]) for n in range(3)]
    play = Play([lambda own=own: own for own in logits])
    assert play() is logits[-1]
    clock = FrameClock(Counting())
    seconds, played = clock.measure(play)
    assert (seconds, played) == (6.0, Played(logits[-1], (1.0, 2.0, 3.0)))
    slots = run_superblock({0: play}, clock, random.Random(0), healthy=healthy, frame_seconds=frame_seconds)
    assert [slot.row()[-1] for slot in slots] == [[4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]
    assert not healthy(Played(torch.tensor([float("nan")]), (1.0,))), "the logits of a slot are judged"
    assert frame_seconds(logits[0]) == ()


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


def test_streams_as_captured_graphs_on_a_simulated_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BEHAVIOUR, json.dumps({}))
    cases = [Case(BASELINE_VARIANT, PANEL), Case(BASELINE_VARIANT, PANEL, aa=True), Case(SHIFT, PANEL)]
    settings = Online(min_replicates=1, max_replicates=1, max_superblocks=1, largest_copy_mib=1)
    campaign = Campaign(
        PANEL, cases, strategy_files(), settings, 60.0, 0, module="tests.measure.latency.simulated_gpu_worker"
    )
    records = [*campaign.count(), *(record for replicate in campaign.replicates() for record in replicate)]
    assert [record.reason for record in records if record.status != "ok"] == []
    slots = [record for record in records if record.kind == "online"]
    assert [record.case["strategy"] for record in slots] == ["no_shift", "no_shift", "buffer_shift"]
    for record in slots:
        assert all(len(own) == PANEL.frames for own in record.samples["frame_seconds"])
        assert [sum(own) for own in record.samples["frame_seconds"]] == pytest.approx(record.samples["seconds"])
    static = next(r.samples for r in records if r.kind == "static" and r.case["strategy"] == "buffer_shift")
    shapes = ((64, 8),) * 3 + ((128, 4),) * 2 + ((256, 2),) * 2 + ((512, 1),)
    assert static["state_bytes"] == sum(4 * channels // 4 * edge**2 for channels, edge in shapes)
