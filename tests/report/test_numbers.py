"""Numbers and names as a reader wants them."""

from dataclasses import replace
from typing import Any

import pytest

from bench.report.numbers import (
    between,
    channels_text,
    duration_text,
    fit_text,
    fixed,
    fraction_text,
    interval_text,
    listed,
    mde_text,
    minus_text,
    pad_text,
    span_text,
)
from bench.report.selection import panel_text
from tests.report.synthetic import NAN, PANEL


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (interval_text(between(11.24, 10.6, 11.8)), "+11.2 % [10.6, 11.8]"),
        (interval_text(between(0.011, -0.021, 0.043), "pp"), "+0.01 pp [−0.02, 0.04]"),
        (interval_text(between(54.0, 33.0, 76.0), "pp", signed=False), "54 pp [33, 76]"),
        (interval_text(between(1.0)), "+1.0 % (no interval)"),
        (fixed(-0.04), "0.0"),
        (fixed(NAN), "n/a"),
        (fraction_text(0.125), "1/8"),
        (fraction_text(0.1234), "12.3 %"),
        (channels_text(1.0), "all channels"),
        (duration_text(3905), "1 h 5 min"),
        (duration_text(580.2), "9 min 40 s"),
        (mde_text(0.449), " (mde 0.45 pp)"),
        (mde_text(NAN), ""),
        (minus_text("-0.5 to -3, x-1, 2026-01, [-1.0, -2]"), "−0.5 to −3, x-1, 2026-01, [−1.0, −2]"),
        (fit_text("名前" * 3, 7), "名前名…"),
        (pad_text("a\nb", 5), "a b  "),
        (span_text([7, 16, NAN]), "7 to 16"),
        (span_text([8, 8]), "8"),
        (listed(["a", "b", "c"]), "a, b and c"),
        (panel_text(replace(PANEL, threads=1, allocator="retained"), [PANEL, replace(PANEL, threads=1)]), "1 thread"),
        (panel_text(replace(PANEL, streams=4), always=["backbone"]), "resnet50"),
    ],
)
def test_numbers_and_names_read_well(told: Any, expected: str) -> None:
    assert told == expected
