"""Many streams in one network: as if each ran alone; what is wrong with one costs the others nothing."""

import gc
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench import models
from bench.models import OnlineNetwork, StreamError
from bench.models.runtimes import NETWORK_TOLERANCE
from bench.models.streams import Pacing, Streams
from bench.plugins.discovery import load_class, strategy_files

SIZE = 16
TOLERANCE = NETWORK_TOLERANCE[torch.float32]


@pytest.fixture(scope="module")
def online() -> OnlineNetwork:
    strategy = load_class("buffer_shift", strategy_files())(1 / 4, "residual", "unidirectional")
    return models.go_online(strategy, models.build("digits_resnet", 1))


def frame(name: str, t: int, size: int = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(1000 * int(name) + t)
    return torch.randn(1, size, size, generator=generator)


def alone(online: OnlineNetwork, name: str, start: int, end: int) -> list[Tensor]:
    state, found = None, []
    for t in range(start, end):
        logits, state = online.step(frame(name, t)[None], state)
        found.append(logits[0])
    return found


@torch.inference_mode()
def test_24_streams_with_random_starts_and_ends_equal_24_separate_ones(online: OnlineNetwork) -> None:
    generator = torch.Generator().manual_seed(0)
    starts = torch.randint(0, 8, (24,), generator=generator).tolist()
    lives = {str(n): (start, start + 1 + n % 7) for n, start in enumerate(starts)}
    streams = Streams(online)
    got: dict[str, list[Tensor]] = {name: [] for name in lives}
    for t in range(16):
        frames = {name: frame(name, t) for name, (start, end) in lives.items() if start <= t < end}
        for name, logits in (streams.step(frames) if frames else Streams(online).step({})).logits.items():
            got[name].append(logits)
        for name, (_, end) in lives.items():
            if t == end - 1:
                assert streams.prediction(name).frames == len(got[name])
                average = torch.stack(got[name]).mean(dim=0)
                torch.testing.assert_close(streams.prediction(name).mean, average)
                streams.reset(name)
    assert streams.names == []
    for name, (start, end) in lives.items():
        own, want = torch.stack(got[name]), torch.stack(alone(online, name, start, end))
        assert (own - want).abs().max() <= TOLERANCE * want.abs().max(), name


@torch.inference_mode()
def test_a_stream_may_pause(online: OnlineNetwork) -> None:
    streams = Streams(online)
    for t in range(4):
        frames = {"0": frame("0", t)} | ({} if t in (1, 2) else {"1": frame("1", t)})
        last = streams.step(frames).logits
    state = None
    for t in (0, 3):
        want, state = online.step(frame("1", t)[None], state)
    torch.testing.assert_close(last["1"], want[0])


@torch.inference_mode()
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (frame("1", 1, size=8), r"\[1, 1, 8, 8\] .* expected \[1, 1, 16, 16\]"),
        (frame("1", 1).double(), r"torch.float64 .* expected \[1, 1, 16, 16\] of torch.float32"),
        (frame("1", 1).repeat(3, 1, 1), r"expected \[1, 1, 16, 16\]"),
    ],
)
def test_a_wrong_frame_is_refused_and_the_others_go_on(online: OnlineNetwork, wrong: Tensor, message: str) -> None:
    streams = Streams(online)
    streams.step({"0": frame("0", 0), "1": frame("1", 0)})
    stepped = streams.step({"0": frame("0", 1), "1": wrong})
    assert list(stepped.refused) == ["1"]
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(stepped.refused["1"])
    torch.testing.assert_close(stepped.logits["0"], alone(online, "0", 0, 2)[1])
    torch.testing.assert_close(streams.step({"1": frame("1", 1)}).logits["1"], alone(online, "1", 0, 2)[1])


def test_a_stream_that_is_not_there_is_named(online: OnlineNetwork) -> None:
    with pytest.raises(StreamError, match=r"no stream 'front door'; there are: none"):
        Streams(online).reset("front door")


@torch.inference_mode()
def test_a_stream_keeps_no_tensor_of_the_frames_before(online: OnlineNetwork) -> None:
    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())

    streams, counts = Streams(online), []
    for t in range(8):
        streams.step({name: frame(name, t) for name in ("0", "1")})
        if t == 4:
            streams.reset("1")
        if t in (1, 7):
            counts.append(tensors())
    assert 0 < counts[1] <= counts[0]


@pytest.mark.slow
def test_memory_stays_flat() -> None:
    """2,000 frames, in a process where nothing else allocates; ``tests.scripts.memory_of_a_stream`` does 100,000."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.scripts.memory_of_a_stream", "2000"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    sizes = [float(size) for size in re.findall(r"\d+\.\d", ran.stdout)]
    assert len(sizes) == 10, ran.stdout
    assert max(sizes[2:]) - sizes[1] < 8.0, sizes  # MiB: a heap may grow in steps of 5; one state a frame would be 20


# Arrivals, deadlines and what waits, on a clock made of arithmetic


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def played(*seconds: float, fps: float = 10.0) -> tuple[Pacing, Clock]:
    clock = Clock()
    pacing = Pacing(fps, clock.now, clock.sleep)
    for own in seconds:
        pacing.frame(lambda own=own: clock.sleep(own))  # type: ignore[misc]
    return pacing, clock


def test_a_fast_network_waits_for_frames() -> None:
    pacing, clock = played(0.02, 0.02, 0.02, 0.02)
    assert pacing.missed == 0
    assert abs(clock.time - 100.32) < 1e-9, "the fourth frame arrives after 0.3 s"
    assert abs(pacing.percentile_ms(50) - 20) < 1e-6


def test_a_slow_frame_makes_the_next_ones_late() -> None:
    pacing, _ = played(0.25, 0.08, 0.08, 0.02, 0.02)
    # done at .25, .33, .41, .43, .45; deadlines .1, .2, .3, .4, .5
    assert pacing.missed == 4


def test_a_network_that_is_too_slow_misses_everything() -> None:
    pacing, _ = played(*[0.11] * 10)
    assert pacing.missed == 10
    assert abs(pacing.fps - 1 / 0.11) < 1e-9


def test_frames_with_times_of_their_own_arrive_at_these() -> None:
    clock = Clock()
    pacing = Pacing(10.0, clock.now, clock.sleep)
    for at, lasts, work in ((0.0, 0.02, 0.01), (0.02, 1.0, 0.05), (1.02, 0.02, 0.03)):
        pacing.frame(lambda work=work: clock.sleep(work), at, lasts)  # type: ignore[misc]
    assert abs(clock.time - 101.05) < 1e-9
    assert pacing.missed == 1, "the last one took 30 ms of the 20 that it lasts"


def test_nobody_waits_for_a_live_frame_that_is_there() -> None:
    clock = Clock()
    pacing = Pacing(10.0, clock.now, clock.sleep, live=True)
    for gap, work in ((0.0, 0.01), (0.7, 0.01), (0.0, 0.2)):
        clock.sleep(gap)  # until it comes
        pacing.frame(lambda work=work: clock.sleep(work))  # type: ignore[misc]
    assert abs(clock.time - 100.92) < 1e-9
    assert pacing.missed == 1
