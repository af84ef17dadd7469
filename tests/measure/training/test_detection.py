"""A detector trained for a few steps, judged, saved, reloaded; the same frame by frame as in clips."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench import models
from bench.data.cluttered_digits import Scenes
from bench.measure.training import checkpoint
from bench.measure.training.checkpoint import State
from bench.measure.training.detection import DetectionTask, NotTheSame, find, frames_of
from bench.measure.training.harness import Diverged, Fit, fine_tune
from bench.models import Found
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.cases import Variant
from bench.store.samples import Detection
from bench.strategy import CannotStream, Strategy
from strategies.copy_shift import CopyShift
from strategies.no_shift import NoShift
from tests.measure.training.conftest import do, job_of, quiet, repeatable

pytestmark = pytest.mark.filterwarnings("ignore")  # torchmetrics' own

Pretrained = tuple[State, Fit]
CAUSAL = ("copy_shift", "concat_shift", "buffer_shift", "placed_shift", "native_shift")


def online(name: str = "copy_shift", placement: str = "residual") -> Strategy:
    return load_class(name, strategy_files())(0.125, placement, "unidirectional")  # type: ignore[arg-type]


def trained(task: DetectionTask, strategy: Strategy, start: Pretrained) -> Detection:
    samples, _ = fine_tune(task, strategy, start[0], quiet)
    assert isinstance(samples, Detection)
    return samples


def test_pretraining_learns_something_and_says_how(pretrained_detector: Pretrained) -> None:
    how = pretrained_detector[1]
    assert len(how.train_loss) == 2 and how.train_loss[1] < how.train_loss[0]
    assert 0 < how.data_seconds < how.train_seconds


def test_three_forms_from_one_start(detection: DetectionTask, pretrained_detector: Pretrained) -> None:
    forms = (NoShift(0.0), online(), CopyShift(0.25))
    plain, causal, offline = (trained(detection, strategy, pretrained_detector) for strategy in forms)
    assert plain.params == causal.params == offline.params > 300_000
    assert (plain.played_clips, causal.played_clips, offline.played_clips) == (4, 4, 0)
    for samples in (plain, causal, offline):
        assert samples.map is not None and 0 <= samples.map <= 1 and samples.test_clips == 4
        assert samples.examples["shape"] == [3, 64, 64] and len(samples.examples["found"]) == 3
        assert (
            samples.examples["truth"] == plain.examples["truth"] and samples.examples["grey"] == plain.examples["grey"]
        )
        for truth in samples.examples["truth"]:
            assert len(truth["boxes"]) == len(truth["labels"]) == len(truth["speeds"])
    assert plain.train_loss != causal.train_loss
    again = trained(detection, online(), pretrained_detector)
    assert repeatable(again.model_dump()) == repeatable(causal.model_dump())


def find_frame_by_frame(strategy: Strategy, state: State, scenes: Scenes) -> Found:
    """The clips as streams that run side by side; state: weights as they are in clips."""
    stream = models.go_online(strategy, models.build_detector(1))
    stream.load_state_dict(state)
    by_frame, remembered = list[Found](), None
    with torch.inference_mode():
        for t in range(scenes.pixels.shape[1]):
            found, remembered = stream.step(torch.from_numpy(scenes.pixels[:, t]), remembered)
            by_frame.append(found)  # type: ignore[arg-type]
    return [by_frame[t][clip] for clip in range(len(scenes)) for t in range(len(by_frame))]


@pytest.mark.parametrize("placement", ["residual", "inplace"])
@pytest.mark.parametrize("name", CAUSAL)
def test_clips_and_streams_find_the_same(
    name: str, placement: str, detection: DetectionTask, pretrained_detector: Pretrained
) -> None:
    scenes = detection.dataset.scenes(np.random.default_rng(3), 2, "test")
    shift = online(name, placement)
    detector, plain = models.build_detector(8), models.build_detector(8)
    for one in (detector, plain):
        one.load_state_dict(pretrained_detector[0])
    models.insert(shift, detector)
    in_clips, played = find(detector, scenes), find_frame_by_frame(shift, detector.state_dict(), scenes)
    assert sum(len(one["scores"]) for one in in_clips) > 0
    for one, other in zip(in_clips, played, strict=True):
        assert torch.equal(one["labels"], other["labels"])
        torch.testing.assert_close(one["boxes"], other["boxes"], atol=1e-2, rtol=0)
        torch.testing.assert_close(one["scores"], other["scores"], atol=1e-4, rtol=0)
    unshifted = find(plain, scenes)
    assert any(
        len(a["scores"]) != len(b["scores"]) or not torch.allclose(a["scores"], b["scores"])
        for a, b in zip(in_clips, unshifted, strict=True)
    )


def test_a_detector_that_predicts_otherwise_frame_by_frame_is_found_out(
    detection: DetectionTask, pretrained_detector: Pretrained, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, other = models.go_online, CopyShift(1.0, "residual", "unidirectional")
    monkeypatch.setattr(models, "go_online", lambda strategy, network: real(other, network))
    recipe = detection.recipe.model_copy(update={"clips": 2, "test_clips": 2})
    with pytest.raises(NotTheSame, match=r"copy_shift does not predict frame by frame .*: frame 0 is off by"):
        trained(replace(detection, recipe=recipe), online(), pretrained_detector)


def test_what_looks_ahead_cannot_detect_online(pretrained_detector: Pretrained) -> None:
    with pytest.raises(CannotStream, match="reads the next frame"):
        models.go_online(CopyShift(0.125), models.build_detector(1))


def test_a_loss_that_is_no_number_ends_it(detection: DetectionTask, pretrained_detector: Pretrained) -> None:
    broken = {
        name: value * float("nan") if value.is_floating_point() else value
        for name, value in pretrained_detector[0].items()
    }
    with pytest.raises(Diverged, match="at step 1 of 2"):
        fine_tune(detection, online(), broken, quiet)


def test_the_worker_keeps_the_trained_detector(
    detection: DetectionTask, pretrained_detector: Pretrained, tmp_path: Path
) -> None:
    variant = {"strategy": "copy_shift", "fraction": "1/8", "placement": "residual", "direction": "unidirectional"}
    job = job_of("detection", tmp_path) | {"variant": variant, "examples": 2, "weights": str(tmp_path / "kept.pt")}
    events = do(job, "fine_tune")
    samples = Detection.model_validate(events[-1]["samples"])
    assert samples.map is not None and Path(job["checkpoint"]).exists()
    assert samples.examples["shape"] == [2, 64, 64] and samples.data_version == "409c6d6bc3d9"
    assert do(job, "pretrain")[-1]["samples"] == {"reused": True}

    kept = checkpoint.load(Path(job["weights"]), Variant.from_json(variant).label)
    detector, again = (models.insert(online(), models.build_detector(8, seed)) for seed in (5, 9))
    for one in (detector, again):
        one.load_state_dict(kept)
    frames = frames_of(detection.dataset.scenes(np.random.default_rng(4), 2, "test"))
    with torch.inference_mode():
        outputs = [models.EveryPosition(one.trunk)(frames) for one in (detector, again)]
    assert torch.equal(*outputs)
    with pytest.raises(RuntimeError, match="Missing key"):  # weights of another network
        detector.load_state_dict(models.build_trainable("digits_resnet", 1).state_dict())
