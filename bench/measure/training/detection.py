"""Two stages, as in the accuracy section: the detector learns from single frames, then each form of it from clips.

The three forms start from the same weights and are trained for as long on the same clips: frame by frame (no shift),
online (a shift from the past, in clips of eight frames as in the paper; it then runs frame by frame) and offline (a
shift both ways). All that is random comes from the seed, and from a stream of its own for each purpose.
"""

import time
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from bench import models
from bench.data.scenes import ClutteredDigits, Scenes, in_batches
from bench.measure.training.checkpoint import State
from bench.measure.training.detection_fitting import Fit, Plan, Report, fit, frames_of
from bench.measure.training.reproducible import reproducible
from bench.measure.training.scoring import Score, score
from bench.models import Detector, Found, Network
from bench.spec.detection_settings import DetectionRecipe
from bench.strategy import Strategy

_PRETRAIN, _CLIPS, _JUDGED, _WARM = range(4)  # streams of random numbers under one seed
_AT_A_TIME = 16  # clips, where nothing is learned
_PLAYED = 4  # clips that are run frame by frame too
_TOLERANCE = 1e-4  # max |difference| / max |prediction| in fp32: a whole network's rounding


class NotTheSame(Exception):
    """Frame by frame a detector does not find what it finds in clips."""


@dataclass(frozen=True)
class Pretrained:
    """The detector's weights, which all forms of a seed start from, and how it went."""

    state: State
    fit: Fit


@dataclass(frozen=True)
class Trained:
    """One form, trained and judged. found: in every frame of ``judged``. params: of the whole detector. state: its
    weights, which fit the detector with the same strategy in clips and frame by frame."""

    state: State
    judged: Scenes
    found: Found
    score: Score
    fit: Fit
    params: int
    test_seconds: float
    played_clips: int


def pretrain(recipe: DetectionRecipe, dataset: ClutteredDigits, seed: int, report: Report) -> Pretrained:
    """Teach the detector on single frames. Raises Diverged."""
    with reproducible(seed):
        detector = models.build_detector(1, seed)
        detector.to(recipe.device)
        rng = np.random.default_rng([seed, _PRETRAIN])
        draw = partial(dataset.scenes, rng, recipe.pretrain_frames, frames=1)
        plan = _plan(recipe, recipe.pretrain_lr, recipe.pretrain_batch, recipe.pretrain_frames)
        how = fit(detector, [draw] * recipe.pretrain_epochs, plan, report)
        return Pretrained({name: tensor.cpu() for name, tensor in detector.state_dict().items()}, how)


def fine_tune(
    strategy: Strategy, recipe: DetectionRecipe, dataset: ClutteredDigits, seed: int, state: State, report: Report
) -> Trained:
    """Put ``strategy`` into the pre-trained detector, train it on clips, and judge it after the last epoch.

    state: what ``pretrain`` gave; it is not changed. Raises Diverged, and NotTheSame where a causal form finds other
    things frame by frame than in clips.
    """
    with reproducible(seed):
        detector = models.build_detector(dataset.frames, seed)
        detector.load_state_dict(state)
        models.insert(strategy, detector)
        detector.to(recipe.device)
        rng = np.random.default_rng([seed, _CLIPS])
        plan = _plan(recipe, recipe.lr, recipe.batch, recipe.clips)
        how = fit(detector, [partial(dataset.scenes, rng, recipe.clips)] * recipe.epochs, plan, report)
        judged = dataset.scenes(np.random.default_rng([seed, _JUDGED]), recipe.test_clips, recipe.judged_on)
        start = time.perf_counter()
        found = find(detector, judged, recipe.device)
        seconds = time.perf_counter() - start
        played = 0
        if strategy.fraction == 0 or strategy.direction == "unidirectional":
            played = min(_PLAYED, len(judged))
            _require_the_same(strategy, detector, next(in_batches(judged, played)), recipe.device)
        params = sum(parameter.numel() for parameter in detector.parameters())
        state = {name: tensor.cpu() for name, tensor in detector.state_dict().items()}
        return Trained(state, judged, found, score(judged, found), how, params, seconds, played)


def find(detector: Detector, scenes: Scenes, device: str = "cpu") -> Found:
    """What a detector finds in each frame, clip after clip, in fp32."""
    found: Found = []
    with torch.inference_mode():
        for batch in in_batches(scenes, _AT_A_TIME):
            found += [{name: value.cpu() for name, value in one.items()} for one in detector(frames_of(batch, device))]
    return found


def find_frame_by_frame(strategy: Strategy, state: State, scenes: Scenes, device: str = "cpu") -> Found:
    """The same with the clips as streams that run side by side; state: weights as they are in clips.

    Raises CannotStream where the strategy looks ahead.
    """
    detector = models.build_detector(1)
    online = models.go_online(strategy, detector)
    online.load_state_dict(state)
    online.to(device)
    by_frame, remembered = list[Found](), None
    with torch.inference_mode():
        for t in range(scenes.pixels.shape[1]):
            frames = torch.from_numpy(scenes.pixels[:, t]).to(device)
            found, remembered = online.step(frames, remembered)
            by_frame.append(found)  # type: ignore[arg-type]
    return [by_frame[t][clip] for clip in range(len(scenes)) for t in range(len(by_frame))]


def _require_the_same(strategy: Strategy, detector: Detector, scenes: Scenes, device: str) -> None:
    """All predictions of all positions, before any is thrown away, on frames as the detector normalises them."""
    frames = detector.normalised(frames_of(scenes, device))
    online = models.go_online(strategy, Network(models.EveryPosition(models.build_detector(1).trunk), 1))
    online.load_state_dict(detector.state_dict())
    online.to(device)
    with torch.inference_mode():
        in_clips = models.EveryPosition(detector.trunk)(frames).unflatten(0, (len(scenes), -1))
        remembered = None
        for t, now in enumerate(frames.unflatten(0, (len(scenes), -1)).unbind(1)):
            played, remembered = online.step(now, remembered)
            error = ((played - in_clips[:, t]).abs().max() / in_clips.abs().max()).item()
            if not error <= _TOLERANCE:
                raise NotTheSame(
                    f"{strategy.name} does not predict frame by frame what it predicts in clips: frame {t} is off by "
                    f"{error:.2g} of the largest value (allowed {_TOLERANCE:g})"
                )


def _plan(recipe: DetectionRecipe, lr: float, batch: int, clips: int) -> Plan:
    return Plan(lr, recipe.weight_decay, batch, clips, recipe.bf16 is True, recipe.device)
