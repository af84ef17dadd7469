"""Trained on small real videos: killed and resumed, judged, and at exactly 50 % where only the order counts."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.measure.training import checkpoint, video_cache
from bench.measure.training.harness import Diverged, Kept, Report, fine_tune
from bench.measure.training.video import VideoTask
from bench.measure.training.video_cache import decode, readable
from bench.models import insert
from bench.models.weights import disturb
from bench.plugins.discovery import strategy_files
from bench.spec.axes import ValueNotAllowed
from bench.spec.cases import BASELINE_VARIANT, Condition
from bench.spec.training import VideoRecipe
from bench.spec.videos import Question, Videos
from bench.store.samples import VideoRecognition, unpack
from bench.strategy import Strategy
from strategies.copy_shift import CopyShift
from strategies.no_shift import NoShift
from tests.conftest import SMALL_NETWORK
from tests.data.making_videos import bar, text, write
from tests.measure.training.conftest import do, quiet, repeatable

RECIPE = VideoRecipe(epochs=3, batch=4, bf16=False, device="cpu")
QUESTIONS = (Question(name="way"), Question(name="arrow", task="arrow"))
EACH = 6  # videos of a class: one each for validation and test


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Videos:
    """Bars that come from the left or from the right."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "network.py").write_text(SMALL_NETWORK)
    for name, way in (("coming", 1), ("going", -1)):
        for number in range(EACH):
            write(folder / "in" / name / f"{number}.mp4", frames=16 + number, paint=partial(bar, way=way))
    path, cache = str(folder / "in"), str(folder / "cache")
    return Videos(path=path, cache=cache, questions=QUESTIONS, frames=4, kept=8, size=32, margin=4)


def opened(videos: Videos, question: str = "way", recipe: VideoRecipe = RECIPE) -> VideoTask:
    network = Path(videos.cache).parent / "network.py"
    condition = Condition(dataset=question, backbone=f"{network}:small")
    return VideoTask.open(recipe.model_dump(mode="json"), videos.model_dump(mode="json"), condition, seed=1)


def trained(task: VideoTask, strategy: Strategy, report: Report = quiet, kept: Kept | None = None) -> VideoRecognition:
    samples, _ = fine_tune(task, strategy, None, report, kept)
    assert isinstance(samples, VideoRecognition)
    return samples


def test_a_record_is_complete(videos: Videos) -> None:
    samples = trained(opened(videos), CopyShift(0.5, "residual", "unidirectional"))
    assert (samples.train_clips, samples.validation_clips, samples.test_clips) == (2 * (EACH - 2), 2, 2)
    assert samples.classes == ["coming", "going"] and sorted(name[:5] for name in samples.videos) == ["comin", "going"]
    right = unpack(samples.correct, 2)
    assert samples.top1_accuracy == right.mean() and samples.top5_accuracy is None
    assert sum(samples.confusion[name].get(name, 0) for name in samples.classes) == right.sum()
    assert sum(clips for row in samples.confusion.values() for clips in row.values()) == 2
    assert samples.clips_seen == [8, 16, 24] and len(samples.curve["top1"]) == len(samples.train_loss) == 3
    assert samples.early is not None and len(samples.early) == 4 and samples.early[-1] == samples.top1_accuracy
    assert samples.flops > 1e6 and samples.clips_per_second > 0 and samples.data_version
    assert (samples.weights, samples.flips, samples.left_out) == ("as it is made", True, {})
    parts = (samples.data_seconds, samples.forward_seconds, samples.backward_seconds, samples.update_seconds)
    assert all(part and part > 0 for part in parts)


def test_without_a_shift_the_arrow_of_time_is_at_exactly_half(videos: Videos) -> None:
    task = opened(videos, "arrow")
    samples = trained(task, NoShift(0.0))
    assert samples.classes == ["forward", "reversed"] and samples.test_clips == 4
    assert samples.videos[:2] == samples.videos[2:]
    assert (unpack(samples.correct, 4).reshape(2, 2).sum(axis=0) == 1).all()  # one of both ways, in each video
    assert samples.curve["top1"] == [0.5] * 3
    assert {samples.top1_accuracy, samples.shuffled_accuracy, samples.one_frame_accuracy} == {0.5}
    shifted = insert(CopyShift(0.5), task.network(task.condition.backbone, 4).eval())
    disturb(shifted.parameters())
    one_way, other_way = task.consensus(shifted, task.dataset.test)[:, -1].reshape(2, 2, 2)
    assert not np.allclose(one_way, other_way)


@pytest.mark.parametrize("epochs_kept", [1, 2, 3])
def test_a_killed_training_goes_on_as_if_nothing_had_been(videos: Videos, tmp_path: Path, epochs_kept: int) -> None:
    task, strategy, path = opened(videos), CopyShift(0.25), tmp_path / "state.pt"
    whole, weights = fine_tune(task, strategy, None, quiet)

    class Killed(Exception):
        pass

    def keep(state: dict[str, Any]) -> None:
        checkpoint.save(path, "of this trial", state)
        if len(state["so_far"][0]) == epochs_kept:
            raise Killed

    with pytest.raises(Killed):
        trained(task, strategy, kept=Kept(None, keep))
    shares = list[float]()
    going_on = Kept(checkpoint.load(path, "of this trial"), lambda state: None)
    samples, again = fine_tune(task, strategy, None, shares.append, going_on)
    assert repeatable(samples.model_dump()) == repeatable(whole.model_dump())
    assert all(torch.equal(weights[name], value) for name, value in again.items())
    assert len(shares) == 2 * (3 - epochs_kept)  # steps
    assert samples.train_seconds > 0


def test_each_epoch_shows_every_video_once_and_does_not_depend_on_those_before(videos: Videos) -> None:
    task, arrow = opened(videos), opened(videos, "arrow")
    for one in (task, arrow):
        clips, first, other = ([*one.epoch(one.dataset.train, number)] for number in (0, 0, 1))
        labels = torch.cat([targets for _, targets in clips])
        assert labels.bincount().tolist() == [4, 4]
        assert [frames.shape for frames, _ in clips] == [(4 * 4, 3, 32, 32)] * 2
        assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(clips, first, strict=True))
        assert not torch.equal(clips[0][0], other[0][0])


@pytest.mark.parametrize(
    ("asked", "labels_allow", "flips"),
    [("auto", True, True), ("auto", False, False), (True, False, True), (False, True, False)],
)
def test_clips_are_flipped_where_that_is_asked_for_or_harmless(
    videos: Videos, asked: Any, labels_allow: bool, flips: bool
) -> None:
    task = opened(videos, recipe=RECIPE.model_copy(update={"flip": asked}))
    task = replace(task, dataset=replace(task.dataset, flips=labels_allow))
    assert task.flips is flips
    unflipped = replace(task, recipe=RECIPE.model_copy(update={"flip": False}))
    first, plain = (next(one.epoch(task.dataset.train, 0))[0].unflatten(0, (4, 4)) for one in (task, unflipped))
    mirrored = [not torch.equal(a, b) for a, b in zip(first, plain, strict=True)]
    assert any(mirrored) is flips
    assert all(torch.equal(a.flip(-1), b) for a, b, was in zip(first, plain, mirrored, strict=True) if was)


def test_views_of_a_video_are_averaged(videos: Videos) -> None:
    task = opened(videos.model_copy(update={"views": 2}))
    network = task.network(task.condition.backbone, 4).eval()
    with torch.no_grad():
        single = [network(task.frames(task.reader.clips(task.dataset.test, None, view))) for view in (0, 1)]
    assert not torch.equal(*single)
    both = task.consensus(network, task.dataset.test)[:, -1]
    np.testing.assert_allclose(both, sum(single) / 2, rtol=1e-5, atol=1e-6)


def test_the_last_layer_learns_faster_and_normalisations_forget_faster(videos: Videos) -> None:
    task = opened(videos)
    network = insert(CopyShift(0.25), task.network(task.condition.backbone, 4))
    (usual, others), (faster, head) = task.parameters(network)
    assert (usual, faster) == (1.0, RECIPE.head_lr_factor) and [len(own) for own in head] == [2, 2]
    assert {id(own) for own in (*others, *head)} == {id(own) for own in network.parameters()}
    assert {m.momentum for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)} == {RECIPE.norm_momentum}


def test_zeros_around_small_maps_change_no_function(videos: Videos) -> None:
    network = VideoTask.network(opened(videos), "timm:tf_efficientnet_lite0", 4).double()
    frames = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    padded = [module for module in network.modules() if getattr(module, "padding_mode", "") == "constant"]
    found = []
    for mode in ("constant", "zeros"):
        for module in padded:
            module.padding_mode = mode
        network.zero_grad()
        network(frames).sum().backward()
        found.append([parameter.grad for parameter in network.parameters() if parameter.grad is not None])
    assert {module.kernel_size for module in padded} == {(3, 3), (5, 5)}
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


def test_what_is_not_finite_is_an_error(videos: Videos) -> None:
    with pytest.raises(Diverged, match=r"the training loss was \w+ at step \d of 6"):
        trained(opened(videos, recipe=RECIPE.model_copy(update={"lr": 1e30})), NoShift(0.0))


# --- videos that cannot be read ---------------------------------------------------------------------------------------


def decoded(videos: Videos) -> list[dict[str, Any]]:
    """The events of the job that has the videos in the cache."""
    events: list[dict[str, Any]] = []
    decode({"data": videos.model_dump(mode="json")}, events.append)
    return [event for event in events if event["event"] != "progress"]


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoding: processes of its own take seconds to start."""
    monkeypatch.setattr(video_cache, "usable_cores", lambda: 0)


@pytest.mark.usefixtures("in_this_process")
def test_a_broken_video_costs_itself_and_is_listed(videos: Videos, tmp_path: Path) -> None:
    for folder in ("coming", "going"):
        for number in range(EACH):
            write(tmp_path / folder / f"{number}.mp4", frames=8)
    text(tmp_path / "coming")
    broken = videos.model_copy(update={"path": str(tmp_path)})
    about, left_out, result = decoded(broken)
    assert "13 videos, 2 classes" in about["message"] and result == {"event": "result", "samples": {}}
    assert "1 of 13 videos cannot be read and are left out" in left_out["message"]
    samples = trained(opened(broken), NoShift(0.0))
    assert list(samples.left_out) == ["coming/letter.mp4"] and str(tmp_path) not in str(samples.left_out)
    assert samples.train_clips + samples.validation_clips + samples.test_clips == 12


@pytest.mark.usefixtures("in_this_process")
def test_a_part_without_a_readable_video_is_one_line(videos: Videos, tmp_path: Path) -> None:
    whole = opened(videos).dataset
    left_out = {video.path: "it is no video" for video in whole.validation}
    with pytest.raises(ValueNotAllowed, match="none of the 2 videos of the part validation can be read; the first: it"):
        readable(whole, left_out)
    assert readable(whole, {whole.train[0].path: "broken"}).train == whole.train[1:]
    for number in range(3):
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{number}.mp4").write_text("Dear reader")
    (event,) = decoded(videos.model_copy(update={"path": str(tmp_path)}))
    assert event["event"] == "skipped"
    assert event["reason"].startswith("none of the 2 videos of the part train can be read")
    assert "\n" not in event["reason"]


# --- as the worker does it --------------------------------------------------------------------------------------------


def test_the_worker_keeps_the_state_after_each_epoch_and_trusts_its_own_only(videos: Videos, tmp_path: Path) -> None:
    state, task = tmp_path / "training" / "trial.pt", opened(videos)
    job = {
        "section": "video",
        "recipe": RECIPE.model_dump(mode="json"),
        "data": videos.model_dump(mode="json"),
        "condition": vars(task.condition),
        "seed": 1,
        "variant": BASELINE_VARIANT.to_json(),
        "strategy_files": [str(path) for path in strategy_files()],
        "epoch_state": str(state),
    }
    events = do(job, "fine_tune")
    assert {event["event"] for event in events} == {"alive", "progress", "result"}
    kept = torch.load(state, weights_only=True)["state"]["so_far"]
    assert kept[0] == events[-1]["samples"]["train_loss"] and len(kept[0]) == 3
    again = do(job, "fine_tune")  # nothing is left to train: it is judged again
    assert repeatable(again[-1]["samples"]) == repeatable(events[-1]["samples"])
    assert "progress" not in {event["event"] for event in again}
    other = do(job | {"seed": 2}, "fine_tune")
    assert "training again from the first epoch: trial.pt was made from another" in other[0]["message"]
