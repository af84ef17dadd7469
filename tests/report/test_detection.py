"""Detection in words and figures: of the trained function alone, of whole forms alone, of one seed's frames alone."""

from dataclasses import replace

import matplotlib
import pandas as pd
import pytest

from bench.report.detection import detection_sentences
from bench.report.figures.detection import detection, detection_examples
from bench.report.method import detection_method
from bench.report.style import Palette
from tests.report.synthetic import FakeTables
from tests.report.synthetic_detection import axes, estimate

matplotlib.use("Agg")
PALETTE = Palette.of(["no_shift", "copy_shift", "buffer_shift"])


def said(tables: FakeTables) -> str:
    return " ".join(detection_sentences(tables))  # type: ignore[arg-type]


def test_a_gain_and_its_cost(full: FakeTables) -> None:
    text = said(full)
    assert "Frame by frame the detector has a mean average precision of 66.0 % [64.9, 67.1]" in text
    assert "Online, copy_shift with 1/8 of the channels: +2.1 points [1.2, 3.0] for all objects;" in text
    assert "The cost of a frame with 1/8 of the channels from the past: in digits_fcos" in text
    assert "+4.4 % [3.8, 5.0] with copy_shift" in text and "+1.6 % [0.9, 2.3] with buffer_shift" in text


def test_another_function_is_no_cheaper_way(full: FakeTables) -> None:
    other = axes("inner_shift", 0.125, "unidirectional", "online") | {"seeds": 0}
    free = pd.DataFrame([other | estimate("overhead", -9.0, 0.1) | {"frame_ms": 3.0, "replicates": 12}])
    before = axes("buffer_shift", 0.125, "unidirectional", "online") | {"seeds": 0, "placement": "inplace"}
    early = pd.DataFrame([before | estimate("overhead", -8.0, 0.1) | {"frame_ms": 3.0, "replicates": 12}])
    assert said(replace(full, detection=pd.concat([full.detection, free, early]))) == said(full)


def test_costs_are_withheld_where_the_control_is_off(full: FakeTables) -> None:
    text = said(replace(full, online_suspect="the A/A twin is off"))
    assert "What it costs is withheld: the A/A twin is off." in text and "with buffer_shift" not in text


def test_a_form_that_lost_a_seed_is_not_told(full: FakeTables) -> None:
    lost = full.detection.copy()
    lost.loc[lost["form"] == "online", "reason"] = "1 seed failed: it diverged"
    spoilt = replace(full, detection=lost)
    assert "Online" not in said(spoilt) and "Offline" in said(spoilt)
    drawn = detection(spoilt, PALETTE)  # type: ignore[arg-type]
    assert drawn is not None


def test_frames_of_two_seeds_are_not_held_against_one_another(full: FakeTables) -> None:
    assert detection_examples(full, PALETTE) is not None  # type: ignore[arg-type]
    apart = [example | {"seed": number} for number, example in enumerate(full.detection_examples)]
    assert detection_examples(replace(full, detection_examples=apart), PALETTE) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("judged_on", ["test", "validation"])
def test_what_was_judged_on_validation_is_no_test(full: FakeTables, judged_on: str) -> None:
    settings = full.header["settings"] | {"detection": {"recipe": {"judged_on": judged_on}}}
    tables = replace(full, header=full.header | {"settings": settings})
    told = said(tables) + " ".join(detection_method(tables))  # type: ignore[arg-type]
    assert ("it is no test" in told) == ("this is no test" in told) == (judged_on == "validation")
