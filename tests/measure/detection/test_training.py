"""A detector trained for a few steps, judged, saved, reloaded; the same frame by frame as in clips."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import models
from bench.data.scenes import ClutteredDigits
from bench.measure.training.checkpoint import Unusable, load, save
from bench.measure.training.detection import Pretrained, Trained, find, find_frame_by_frame, fine_tune
from bench.measure.training.detection_fitting import Diverged, frames_of
from bench.measure.training.detection_worker import arm_samples, handle
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.detection_settings import ClutteredDigitsData, DetectionRecipe
from bench.strategy import CannotStream, Strategy

pytestmark = pytest.mark.filterwarnings("ignore")  # torchmetrics' own


def strategy(
    name: str, fraction: float = 0.125, placement: str = "residual", direction: str = "unidirectional"
) -> Strategy:
    return load_class(name, strategy_files(None))(fraction, placement, direction)  # type: ignore[arg-type]


def tuned(name: str, recipe: DetectionRecipe, dataset: ClutteredDigits, start: Pretrained, **more: Any) -> Trained:
    return fine_tune(strategy(name, **more), recipe, dataset, 1, start.state, lambda share: None)


def test_it_learns_something_and_says_how(pretrained_detector: Pretrained) -> None:
    losses = pretrained_detector.fit.train_loss
    assert len(losses) == 2 and losses[1] < losses[0]
    assert 0 < pretrained_detector.fit.data_seconds < pretrained_detector.fit.train_seconds


def test_three_forms_from_one_start(
    recipe: DetectionRecipe, dataset: ClutteredDigits, pretrained_detector: Pretrained
) -> None:
    plain = tuned("no_shift", recipe, dataset, pretrained_detector, fraction=0.0, direction="bidirectional")
    online = tuned("copy_shift", recipe, dataset, pretrained_detector)
    offline = tuned("copy_shift", recipe, dataset, pretrained_detector, fraction=0.25, direction="bidirectional")
    assert plain.params == online.params == offline.params > 300_000
    assert (plain.played_clips, online.played_clips, offline.played_clips) == (4, 4, 0)
    for arm in (plain, online, offline):
        assert len(arm.found) == 6 * 8 and 0 <= arm.score.all <= 1
        assert np.array_equal(arm.judged.pixels, plain.judged.pixels)
    assert arm_samples(plain, 3)["examples"]["shape"] == [3, 64, 64]
    assert plain.fit.train_loss != online.fit.train_loss


def test_the_same_again_is_the_same(
    recipe: DetectionRecipe, dataset: ClutteredDigits, pretrained_detector: Pretrained
) -> None:
    first, second = (tuned("copy_shift", recipe, dataset, pretrained_detector) for _ in range(2))
    assert first.fit.train_loss == second.fit.train_loss
    assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(first.found, second.found, strict=True))


CAUSAL = ("copy_shift", "concat_shift", "buffer_shift", "placed_shift", "native_shift")


@pytest.mark.parametrize("placement", ["residual", "inplace"])
@pytest.mark.parametrize("name", CAUSAL)
def test_clips_and_streams_find_the_same(
    name: str, placement: str, dataset: ClutteredDigits, pretrained_detector: Pretrained
) -> None:
    scenes = dataset.scenes(np.random.default_rng(3), 3, "test")
    shift = strategy(name, placement=placement)
    detector = models.build_detector(8)
    detector.load_state_dict(pretrained_detector.state)
    models.insert(shift, detector)
    detector.eval()
    in_clips = find(detector, scenes)
    played = find_frame_by_frame(shift, detector.state_dict(), scenes)
    plain = models.build_detector(8)
    plain.load_state_dict(pretrained_detector.state)
    assert sum(len(one["scores"]) for one in in_clips) > 0
    for one, other in zip(in_clips, played, strict=True):
        assert torch.equal(one["labels"], other["labels"])
        torch.testing.assert_close(one["boxes"], other["boxes"], atol=1e-2, rtol=0)
        torch.testing.assert_close(one["scores"], other["scores"], atol=1e-4, rtol=0)
    assert any(
        len(a["scores"]) != len(b["scores"]) or not torch.allclose(a["scores"], b["scores"])
        for a, b in zip(in_clips, find(plain, scenes), strict=True)
    )


def test_what_looks_ahead_cannot_detect_online(pretrained_detector: Pretrained, dataset: ClutteredDigits) -> None:
    scenes = dataset.scenes(np.random.default_rng(3), 1, "test")
    with pytest.raises(CannotStream, match="reads the next frame"):
        find_frame_by_frame(strategy("copy_shift", direction="bidirectional"), pretrained_detector.state, scenes)


def test_a_detector_comes_back_from_its_file(
    tmp_path: Path, pretrained_detector: Pretrained, dataset: ClutteredDigits
) -> None:
    save(tmp_path / "d.pt", "key", pretrained_detector.state)
    detector = models.build_detector(1, seed=9)
    scenes = dataset.scenes(np.random.default_rng(4), 2, "test")
    before = find(detector, scenes)
    detector.load_state_dict(load(tmp_path / "d.pt", "key"))
    again = models.build_detector(1)
    again.load_state_dict(pretrained_detector.state)
    frames = frames_of(scenes)
    with torch.inference_mode():
        one, other = (models.EveryPosition(d.trunk)(frames) for d in (detector, again))
    assert torch.equal(one, other) and before is not None
    with pytest.raises(Unusable, match="another recipe"):
        load(tmp_path / "d.pt", "another key")
    with pytest.raises(RuntimeError, match="Missing key"):  # weights of another form
        detector.load_state_dict(models.build_trainable("digits_resnet", 1).state_dict())


def test_a_loss_that_is_no_number_ends_it(
    recipe: DetectionRecipe, dataset: ClutteredDigits, pretrained_detector: Pretrained
) -> None:
    broken = {
        name: value * float("nan") if value.is_floating_point() else value
        for name, value in pretrained_detector.state.items()
    }
    with pytest.raises(Diverged, match="at step 1 of 4"):
        fine_tune(strategy("copy_shift"), recipe, dataset, 1, broken, lambda share: None)


@pytest.fixture
def job(recipe: DetectionRecipe, tmp_path: Path) -> dict[str, Any]:
    return {
        "task": "fine_tune",
        "recipe": recipe.model_dump(mode="json"),
        "data": ClutteredDigitsData().model_dump(mode="json"),
        "seed": 1,
        "checkpoint": str(tmp_path / "detector.pt"),
        "variant": {
            "strategy": "copy_shift",
            "fraction": "1/8",
            "placement": "residual",
            "direction": "unidirectional",
        },
        "strategy_files": [str(file) for file in strategy_files(None)],
        "examples": 2,
    }


def test_the_worker_makes_keeps_and_remakes_the_weights(job: dict[str, Any]) -> None:
    events: list[dict[str, Any]] = []
    handle(job, events.append)
    samples = events[-1]["samples"]
    assert events[-1]["event"] == "result" and 0 <= samples["map"] <= 1
    assert Path(job["checkpoint"]).exists() and samples["test_clips"] == 6
    handle({**job, "task": "pretrain"}, events.append)
    assert events[-1]["samples"]["reused"] is True
    Path(job["checkpoint"]).write_bytes(b"torn")
    handle({**job, "task": "pretrain"}, events.append)
    assert events[-1]["samples"]["reused"] is False
    assert any("pre-training again" in event.get("message", "") for event in events)
