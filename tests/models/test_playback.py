"""Arrivals, deadlines and what waits, on a clock made of arithmetic."""

from bench.models.streams import Pacing


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
