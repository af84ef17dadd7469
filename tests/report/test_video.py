"""What page, screen and figures say of real videos: what helps, which placement is better, and on how little."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.analysis.run import Analysis
from bench.report.figures import FIGURES, draw, video
from bench.report.figures.canvas import Palette
from bench.report.page import exhibit, write_gallery
from bench.report.summary import as_data, screen
from bench.report.tables import sheets
from bench.report.video import video as video_answer
from bench.spec.cases import BASELINE_VARIANT, Condition, Variant
from bench.store.records import TrainedRecord
from tests.analysis.synthetic import ARROW, video_study
from tests.report.conftest import said
from tests.report.synthetic import HOSTILE, empty_run, with_video
from tests.store.synthetic import VIDEO, failed_training, shift, trained
from tests.store.synthetic import video as watched

NARROW, WIDE = (-0.01, -0.005, 0.0, 0.005, 0.01), (0.05, -0.06, 0.02, 0.04, -0.05)
PALETTE = Palette.of(["copy_shift"])
Levels = Mapping[Variant, tuple[float, Sequence[float]]]
PAIRS: Levels = {
    BASELINE_VARIANT: (0.6, NARROW),
    **{shift("residual", "1/8"): (0.75, NARROW), shift("inplace", "1/8"): (0.75, WIDE)},
    **{shift("residual", "1/4"): (0.85, NARROW), shift("inplace", "1/4"): (0.8, NARROW)},
    **{shift("residual", "1"): (0.8, NARROW), shift("inplace", "1"): (0.8, NARROW)},
}
COIN: Levels = {BASELINE_VARIANT: (0.5, (0.0,) * 5), shift(): (0.51, WIDE), shift("inplace"): (0.5, NARROW)}


def learned(levels: Levels, condition: Condition = VIDEO, seeds: int = 5) -> list[TrainedRecord]:
    """Each arm at its level, a seed off it by so much."""
    return [
        trained(watched(top1_accuracy=level + off), variant, seed, condition)
        for variant, (level, offs) in levels.items()
        for seed, off in enumerate(offs[:seeds])
    ]


@pytest.fixture
def told(full: Analysis) -> Analysis:
    return with_video(full, [*learned(PAIRS), *learned(COIN, ARROW)])


def test_the_first_sentence_answers_for_every_question(told: Analysis) -> None:
    text = said(told)
    answer = (
        "On real video On real video a shift helps with pairs (best: copy_shift, residual, 1/4 of the channels); "
        "it is not told from none with arrow; residual is more accurate than in-place for pairs with 1/4; "
        "the two placements are alike for pairs with all; "
        "the two placements are not told apart in 2 of 4 comparisons."
    )
    assert answer in text
    assert text.index(answer) < text.index("Best joint accuracy of")  # the digits come second
    for expected in (
        "pairs 50.0 60.0 [59.0, 61.0] copy_shift, residual, 1/4 of the channels, of 6 arms 85.0 [84.0, 86.0] +25.00",
        "Trained at 64², 8 frames a clip, 40 epochs: timm:tf_efficientnet_lite0 from weights imagenet, on 2 cores of "
        "Intel(R) Xeon(R) Platinum 8481C.",
        "For the test: subject 2, 4; with every second seed the two halves change places.",
        "Flipped in training: pairs no, arrow no.",
    ):
        assert expected in text
    assert "could not be read" not in text


def test_the_first_screen_of_a_page_says_what_a_shift_buys(told: Analysis) -> None:
    text = said(told).split("Answer Findings")[0]
    assert (
        "Real video, pairs, best of 6 arms: copy_shift, residual, 1/4 of the channels, +25.00 pp [25.00, 25.00] "
        in text
    )
    few = said(with_video(told, learned(PAIRS, seeds=3))).split("Answer Findings")[0]
    assert "1/4 of the channels, +25.0 pp (3 seeds: no interval) against no shift." in few


def test_a_run_without_videos_says_nothing_of_them(full: Analysis) -> None:
    assert video_answer(full) is None and "real video" not in said(full).lower().split("not measured here")[0]
    assert not sheets(full)["video"] and draw(full, ["video_by_fraction", "video_curves"]) == ()


def test_few_seeds_are_said_before_anything_else(full: Analysis) -> None:
    text = said(with_video(full, learned(PAIRS, seeds=3)))
    few = "Real video, 3 seeds: with fewer than five there is no interval, and no finding."
    assert text.index(few) < text.index("a shift has no interval against none with pairs; the two placements are")
    assert "is more accurate" not in text.split("What does it buy?")[0].split(few)[1]


def test_what_lost_a_seed_is_not_judged(full: Analysis) -> None:
    lost = {variant: failed_training(variant, 9, "it diverged", VIDEO, "video") for variant in PAIRS}
    without = said(with_video(full, [*learned(PAIRS), lost[BASELINE_VARIANT]]))
    assert "a shift lacks a whole network without one with pairs; residual is more accurate" in without
    answer = video_answer(with_video(full, [*learned(PAIRS), lost[shift("inplace")], lost[shift("residual", "1")]]))
    assert answer is not None
    (asked,) = answer.asked
    assert [gap.fraction for gap in asked.gaps] == [0.125] and asked.trained == 4
    assert {row["reason"] for row in answer.lost} == {"pairs: 1 seed failed: it diverged"}


def test_a_shift_that_hurts_and_drawn_splits(full: Analysis) -> None:
    worse = {**PAIRS, BASELINE_VARIANT: (0.95, NARROW)}
    data = {"path": "train=a.csv,test=b.csv", "size": 112, "frames": 16}
    text = said(with_video(full, learned(worse), data=data))
    assert "a shift hurts with pairs;" in text and "as their lists say" in text
    drawn = {**data, "path": "clips", "split": {"group": "", "test": [], "test_share": 0.2, "alternate": False}}
    assert "For the test: 20 % of the videos, drawn once." in said(with_video(full, learned(worse), data=drawn))
    unread = [record.model_copy(update={"samples": watched(left_out={"a": "no frames"})}) for record in learned(PAIRS)]
    assert "1 video could not be read and is left out." in said(with_video(full, unread))


def test_what_is_smaller_than_matters_is_no_finding(full: Analysis) -> None:
    """+1.5 [0.9, 2.1]: beyond zero, and not beyond the point that verdicts ask for."""
    near = (-0.005, -0.01, 0.0, 0.01, 0.005)
    slight = {BASELINE_VARIANT: (0.6, NARROW), shift("residual"): (0.615, near), shift("inplace"): (0.6, NARROW)}
    text = said(with_video(full, learned(slight)))
    assert "a shift is not told from none with pairs; the two placements are not told apart in 1 of 1 comp" in text


def test_two_rows_of_the_screen(told: Analysis, tmp_path: Path) -> None:
    lines = screen(told, tmp_path)
    assert "Video, pairs: best of 6 arms +25.00 pp [25.00, 25.00] against no shift" in lines
    assert "Residual minus in-place, all channels, video: 0.00 pp [0.00, 0.00]" in lines
    assert not [line for line in lines if "joint:" in line]
    data = as_data(told)["video"]
    assert (data["question"], data["gain"], data["fraction"]) == ("pairs", "helps", 0.25)
    assert data["residual_over_inplace"]["answer"] == "alike"
    few = screen(
        with_video(empty_run(tmp_path), learned({BASELINE_VARIANT: (0.6, NARROW), shift(): (0.8, NARROW)}, seeds=1)),
        tmp_path,
    )
    assert few == ["Video, pairs: best of 1 arm +20.0 pp (1 seed: no interval) against no shift", f"report: {tmp_path}"]


def test_the_table_of_all_arms(told: Analysis) -> None:
    sheet = sheets(told)["video"]
    assert sheet
    titles = [column.title for column in sheet.columns]
    assert titles[:4] == ["strategy", "placement", "fraction", "question"]
    assert {"top-1 [%]", "against no shift [pp]", "residual minus in-place [pp]", "random order [%]"} <= set(titles)
    assert "chance [%] 50.0" in sheet.same and "weights imagenet" in sheet.same and "training clips 16" in sheet.same


def test_the_gallery_tells_of_videos(told: Analysis, tmp_path: Path) -> None:
    text = write_gallery(tmp_path, [exhibit(told)], []).read_text(encoding="utf-8")
    assert "On real video a shift helps with pairs" in text


def test_a_plot_for_each_question_beside_the_papers(told: Analysis) -> None:
    drawn = FIGURES["video_by_fraction"](told, PALETTE)
    assert drawn
    drawing, words = drawn
    assert [ax.get_title() for ax in drawing.axes] == [
        "paper: Kinetics, ResNet-50",
        "here: pairs",
        "here: arrow",
    ]
    assert (words["seeds"], words["more"]) == ("5 seeds, 95 % intervals over seeds", "")
    names = drawing.axes[1].get_legend_handles_labels()[1]
    assert {"copy_shift, residual", "copy_shift, inplace", "chance", "one frame", "no shift (2-D)"} <= set(names)
    many = [record for place in "abcd" for record in learned(COIN, replace(VIDEO, dataset=place))]
    (figure,) = draw(with_video(told, many), ["video_by_fraction"])
    assert figure.caption.endswith(" 1 further question in the table.")


def test_levels_far_below_are_written_and_flatten_nothing(full: Analysis) -> None:
    records = [
        record.model_copy(update={"samples": record.samples.model_copy(update={"one_frame_accuracy": 0.1})})  # type: ignore[union-attr]
        for record in learned(PAIRS)
    ]
    drawn = FIGURES["video_by_fraction"](with_video(full, records), PALETTE)
    assert drawn
    ax = drawn[0].axes[1]
    assert [text.get_text() for text in ax.texts] == ["below: one frame 10 %"]
    assert 30 < ax.get_ylim()[0] < 60 and "one frame" not in ax.get_legend_handles_labels()[1]


def test_curves_and_whether_they_still_rise(full: Analysis) -> None:
    (figure,) = draw(with_video(full), ["video_curves"])
    assert "no arm rises by more than 2.0 pp" in figure.caption and "6 seeds, 95 %" in figure.caption
    drawn = video.video_curves(with_video(full), PALETTE)
    assert drawn
    rows, columns = 3, 2  # residual, in-place and causal; two questions
    assert len(drawn[0].axes) == rows * columns
    assert [ax.get_title() for ax in drawn[0].axes[:columns]] == ["pairs", "arrow"]
    short = [
        record.model_copy(update={"samples": watched(curve={"top1": [0.5]}, clips_seen=[16])})
        for record in video_study()
    ]
    (figure,) = draw(with_video(full, short), ["video_curves"])
    assert "more than n/a pp" in figure.caption
    steep = {"curve": {"top1": [0.5, 0.5, 0.5, 0.5, 0.5, 0.9]}, "clips_seen": [16 * epoch for epoch in range(1, 7)]}
    longer = [
        record.model_copy(update={"samples": watched(**steep)}) if record.trial.condition == ARROW else record
        for record in video_study()
    ]
    (figure,) = draw(with_video(full, longer), ["video_curves"])
    assert "more than 40.0 pp" in figure.caption  # of arrow, which has twice as many epochs


def test_names_of_any_kind(told: Analysis) -> None:
    odd = told.video.replace({"strategy": {"copy_shift": HOSTILE}, "question": {"pairs": "a" * 60}})
    run = replace(told, video=odd, video_curves=told.video_curves.replace({"strategy": {"copy_shift": HOSTILE}}))
    assert len(draw(run, ["video_by_fraction", "video_curves"])) == 2
    assert "placements were not compared" in said(run)  # of the published function alone
