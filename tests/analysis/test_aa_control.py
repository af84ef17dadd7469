"""The A/A control: one rule, three outcomes, and what it leaves to be spoken of."""

import math
from dataclasses import replace

import pytest

from bench.analysis.aa_control import AAControl, AAControls, aa_controls, pooled
from bench.stats.estimators import Estimate
from tests.analysis.synthetic import overhead
from tests.store.synthetic import PANEL, SHIFT, STREAM, TWIN


def control(mean: float, error: float) -> AAControl:
    return AAControl(PANEL, Estimate(mean, error, 15, 16))


@pytest.mark.parametrize(
    ("mean", "error", "outcome", "bound"),
    [
        (0.0, 0.2, "certified", 0.43),  # t(15) = 2.131 at 95 %, 2.947 at 99 %
        (-0.3, 0.05, "certified", 0.41),  # not zero, and too small to matter
        (-0.38, 0.05, "certified", 0.49),
        (-0.4, 0.05, "off", 0.51),
        (0.0, 1.0, "undecided", 2.13),
        (-1.4, 0.5, "undecided", 2.47),  # misses zero at 95 %, not at 99
        (-1.5, 0.5, "off", 2.57),
        (1.5, 0.5, "off", 2.57),
    ],
)
def test_the_rule(mean: float, error: float, outcome: str, bound: float) -> None:
    found = control(mean, error)
    assert (found.outcome, found.bound) == (outcome, pytest.approx(bound, abs=0.01))
    assert found.why.startswith(f"two identical baselines differ by {mean:+.2f} [")


def test_a_panel_without_a_twin_or_with_one_process_is_undecided_about_everything() -> None:
    elsewhere = replace(SHIFT, panel=STREAM)
    found = aa_controls([overhead([0.1, -0.1, 0.0], TWIN), overhead([3.0, 3.1], SHIFT), overhead([1.0], elsewhere)])
    assert found.of(PANEL).twin == overhead([0.1, -0.1, 0.0], TWIN).pct.estimate()
    for lacking in (found.of(STREAM), aa_controls([overhead([0.1], TWIN)]).of(PANEL), AAControls({}).of(PANEL)):
        assert (lacking.outcome, lacking.bound) == ("undecided", math.inf)
        assert lacking.why.startswith("the A/A control says nothing in ")


def test_headlines_rest_on_the_worst_of_their_panels() -> None:
    other = replace(PANEL, memory_format="channels_last")
    compiled, second = replace(PANEL, runtime="compile"), replace(PANEL, backbone="resnet18")
    of = {PANEL: (0.0, 0.1), other: (0.0, 1.0), compiled: (9.0, 0.1), second: (9.0, 0.1), STREAM: (9.0, 0.1)}
    found = AAControls({panel: AAControl(panel, Estimate(*twin, 15, 16)) for panel, twin in of.items()})
    assert found.headline is not None
    assert (found.headline.panel, found.headline.outcome) == (other, "undecided")
    assert found.of(PANEL, compiled).panel == compiled
    assert "9.00" in (found.alarm(streams=False) or "") and "9.00" in (found.alarm(streams=True) or "")
    streams = AAControls({STREAM: found.by_panel[STREAM]})
    assert streams.headline == found.by_panel[STREAM] and streams.alarm(streams=False) is None
    assert AAControls({}).headline is None


def test_twins_of_several_runs_are_pooled() -> None:
    lacking = AAControl(PANEL, Estimate(math.nan, count=0))
    found = pooled([control(-0.4, 0.2), control(0.4, 0.2), control(0.0, 0.2), lacking])
    assert found is not None
    assert (found.mean.mean, found.mean.count) == (pytest.approx(0.0), 3)
    assert found.counts == {"certified": 1, "undecided": 3, "off": 0} and found.outcome == "undecided"
    quiet = [control(0.01, 0.05)] * 40
    for more, outcome in (([], "certified"), ([control(0.0, 1.0)], "undecided"), ([control(2.0, 0.1)], "off")):
        over_all = pooled([*quiet, *more])
        assert over_all is not None and over_all.outcome == outcome
        assert max(-over_all.mean.low, over_all.mean.high) < 0.5  # by the mean alone all would be certified
    apart = pooled([control(side * 0.35, 0.05) for side in (-1, 1)] * 20)
    assert apart is not None and (apart.counts["certified"], apart.outcome) == (40, "undecided")  # one more may be off
    assert pooled([control(0.1, 0.2), lacking]) is None
