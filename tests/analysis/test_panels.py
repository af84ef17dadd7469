"""How well panels were measured, and which values hang together that should not."""

import math

import numpy as np
import pytest

from bench.analysis.overheads import Overhead, overheads
from bench.analysis.panels import dependence_flags, panel_qualities, throttled_panels
from bench.analysis.panels import processes as processes_of
from bench.store.records import Record
from tests.analysis.synthetic import overhead
from tests.store.synthetic import BASE, PANEL, SHIFT, STREAM, TWIN, process, timed

BUSY, QUIET = {"foreign": 4.0, "throttled": 1.0}, {"foreign": 0.0}


def test_what_a_panels_processes_went_through() -> None:
    rng, records = np.random.default_rng(0), list[Record]()
    for replicate in range(6):
        records += [timed(case, replicate, list(0.1 * np.exp(rng.normal(0, 0.01, 10)))) for case in (BASE, TWIN, SHIFT)]
        disturbance = [BUSY if (replicate, block) in ((0, 0), (3, 2)) else QUIET for block in range(5)]
        more = {"waited": [0.0, 2.0, 0.0, 0.0, 0.0], "page_seconds": [1e-6 * (1 + replicate)] * 5}
        sensors = [{"celsius": 40.0 + replicate}] * 5
        backend = {"threads": 2}
        records.append(process(PANEL, replicate, 5, disturbance=disturbance, sensors=sensors, backend=backend, **more))
    records.append(process(STREAM, 0, 5))
    found, stream = panel_qualities(records, overheads(records))
    assert (found.panel, found.replicates, found.superblocks) == (PANEL, 6, 30)
    assert found.disturbed_pct == pytest.approx(100 * 2 / 30)
    assert (found.excluded, found.reasons) == (2, {"foreign CPU": 2, "GPU throttled": 2})
    assert (found.waited_seconds, found.backend, found.sensors) == (12.0, {"threads": 2}, {"celsius": 42.5})
    assert found.page_microseconds == pytest.approx(3.5)
    assert found.within_sd_pct == pytest.approx(1.0, rel=0.4) and 0 <= found.between_sd_pct < 1.0
    assert (found.autocorrelated, found.trending) == (0, 0)
    assert (stream.panel, stream.replicates, stream.disturbed_pct, stream.excluded) == (STREAM, 1, 0, 0)
    assert math.isnan(stream.within_sd_pct) and math.isnan(stream.page_microseconds)
    assert throttled_panels(processes_of(records)) == {PANEL}


def in_superblocks(values: list[list[float]]) -> Overhead:
    """Log ratios, superblock by superblock in each process."""
    return overhead([0.0], every={replicate: dict(enumerate(own)) for replicate, own in enumerate(values)})


def test_values_that_hang_together_are_flagged() -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.01, (20, 5))
    assert dependence_flags(in_superblocks(noise.tolist()), cases=4) == []
    rising = (noise + 0.005 * np.arange(20)[:, None]).tolist()
    assert dependence_flags(in_superblocks(rising), cases=4) == ["autocorrelated", "trend"]
    warming_up = (noise - 0.02 * np.arange(5)).tolist()
    assert "trend" in dependence_flags(in_superblocks(warming_up), cases=4)
    assert dependence_flags(in_superblocks(noise[:3, :2].tolist()), cases=4) == []  # too few to tell
