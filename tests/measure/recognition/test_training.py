"""Training is paired by seed, and the baseline stands at chance exactly."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.data.clips import Clips, Dataset
from bench.data.datasets import open_dataset
from bench.measure.training.evaluation import evaluate, evaluate_early
from bench.measure.training.fitting import Diverged, fit
from bench.measure.training.recognition import FineTuned, Pretrained, _fine_tuning, fine_tune, pretrain
from bench.models import build, build_trainable, go_online, insert
from bench.spec.axes import ACCURACY_BACKBONE
from bench.spec.cases import Condition
from bench.spec.settings import Data, Recipe
from bench.stats.packed_booleans import pack
from bench.strategy import Strategy
from strategies.copy_shift import CopyShift
from strategies.no_shift import NoShift
from tests.measure.recognition.conftest import TINY


def quiet(share: float) -> None:
    pass


def outcome(arm: FineTuned) -> dict[str, Any]:
    """All of a result but its times."""
    return {
        "spatial": pack(arm.scores.spatial),
        "temporal": pack(arm.scores.temporal),
        "loss": arm.fit.train_loss,
        "size": (arm.params, arm.flops),
    }


@pytest.mark.parametrize("bf16", [True, False])
def test_baseline_is_at_chance_exactly(recipe: Recipe, dataset: Dataset, pretrained: Pretrained, bf16: bool) -> None:
    recipe = recipe.model_copy(update={"bf16": bf16})
    arm = fine_tune(NoShift(0.0), recipe, dataset, Condition(), 1, pretrained.state, quiet)
    by_base = arm.scores.temporal.reshape(-1, 4)
    assert np.all(by_base.sum(axis=1) == 1)  # every base clip gets one class in all four orders
    assert arm.scores.temporal.mean() == 0.25
    assert len(set(map(bytes, arm.scores.spatial.reshape(-1, 4).T))) == 1  # and the same digit


def test_baseline_is_at_chance_where_one_class_is_the_other_reversed(recipe: Recipe) -> None:
    opening = open_dataset("opening_digits", recipe, Data(), seed=1)
    state = pretrain(recipe, opening, ACCURACY_BACKBONE, 1, quiet).state
    arm = fine_tune(NoShift(0.0), recipe, opening, Condition(dataset="opening_digits"), 1, state, quiet)
    assert np.all(arm.scores.temporal.reshape(-1, 2).sum(axis=1) == 1)
    assert arm.scores.temporal.mean() == 0.5


def test_only_a_shift_makes_orders_differ(dataset: Dataset, pretrained: Pretrained) -> None:
    clips = torch.from_numpy(dataset.test_clips(np.random.default_rng(0), 1).pixels).flatten(0, 1)
    for strategy, differ in ((NoShift(0.0), False), (CopyShift(0.25), True)):
        network = build(ACCURACY_BACKBONE, dataset.frames)
        network.load_state_dict(pretrained.state)
        with torch.no_grad():
            consensus = insert(strategy, network).trunk(clips).double().unflatten(0, (4, 8)).mean(dim=1)
        assert all(torch.equal(consensus[0], other) is not differ for other in consensus[1:])


def test_same_seed_same_result(recipe: Recipe, dataset: Dataset, pretrained: Pretrained) -> None:
    state = {name: value.clone() for name, value in pretrained.state.items()}
    first, again = (
        fine_tune(CopyShift(0.25), recipe, dataset, Condition(), 1, pretrained.state, quiet) for _ in range(2)
    )
    assert outcome(first) == outcome(again)
    assert all(torch.equal(value, pretrained.state[name]) for name, value in state.items())
    other = fine_tune(CopyShift(0.25), recipe, dataset, Condition(), 2, pretrained.state, quiet)
    assert outcome(first) != outcome(other)


def test_pretraining_is_deterministic(recipe: Recipe, dataset: Dataset, pretrained: Pretrained) -> None:
    torch.manual_seed(12345)  # what went before must not matter
    again = pretrain(recipe, dataset, ACCURACY_BACKBONE, 1, quiet)
    assert all(torch.equal(value, pretrained.state[name]) for name, value in again.state.items())
    assert again.fit.train_loss == pretrained.fit.train_loss


class Watched:
    """A data set that keeps what it gave."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.given = dataset, list[Clips]()
        for name in ("spatial_classes", "temporal_classes", "frames", "single_frames"):
            setattr(self, name, getattr(dataset, name))

    def clips(self, rng: np.random.Generator, count: int) -> Clips:
        self.given.append(self.dataset.clips(rng, count))
        return self.given[-1]

    def validation_clips(self, rng: np.random.Generator, count: int) -> Clips:
        return self.dataset.validation_clips(rng, count)

    def test_clips(self, rng: np.random.Generator, count: int) -> Clips:
        self.given.append(self.dataset.test_clips(rng, count))
        return self.given[-1]


def test_all_arms_of_a_seed_see_the_same_data(recipe: Recipe, dataset: Dataset, pretrained: Pretrained) -> None:
    watched = Watched(dataset)
    for strategy in (NoShift(0.0), CopyShift(0.5, "inplace")):
        fine_tune(strategy, recipe, watched, Condition(), 1, pretrained.state, quiet)  # type: ignore[arg-type]
    given, each = watched.given, recipe.epochs + 1
    assert len(given) == 2 * each
    for one, other in zip(given[:each], given[each:], strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.spatial, other.spatial) and np.array_equal(one.temporal, other.temporal)
    assert not np.array_equal(given[0].pixels, given[1].pixels)  # fresh clips in each epoch


def test_one_objective_leaves_the_other_head_alone(recipe: Recipe, dataset: Dataset, pretrained: Pretrained) -> None:
    heads = (dataset.spatial_classes, dataset.temporal_classes)
    plan = _fine_tuning(recipe.model_copy(update={"weight_decay": 0.0}), dataset, Condition(objective="spatial"))
    network = build_trainable(ACCURACY_BACKBONE, dataset.frames, 1, heads)
    before = {name: value.clone() for name, value in network.trunk.named_parameters()}
    clips = dataset.clips(np.random.default_rng(0), recipe.clips)
    labels = torch.from_numpy(np.stack((clips.spatial, clips.temporal), axis=1))
    fit(network, [lambda: (torch.from_numpy(clips.pixels), labels)], plan, quiet)
    still = {name for name, value in network.trunk.named_parameters() if torch.equal(value, before[name])}
    assert still == {name for name in before if name.startswith("temporal.")} != set()


def test_factors_multiply_the_recipe(recipe: Recipe, dataset: Dataset, pretrained: Pretrained) -> None:
    condition = Condition(lr_factor=0.5, length_factor=1.5)
    assert _fine_tuning(recipe, dataset, condition).lr == recipe.lr / 2
    arm = fine_tune(CopyShift(0.25), recipe, dataset, condition, 1, pretrained.state, quiet)
    assert arm.curve.clips_seen == [recipe.clips * (epoch + 1) for epoch in range(3)]


def test_a_learning_curve_does_not_change_the_training(
    recipe: Recipe, dataset: Dataset, pretrained: Pretrained
) -> None:
    more = recipe.model_copy(update={"validation_clips": 9})
    arms = [fine_tune(CopyShift(0.25), r, dataset, Condition(), 1, pretrained.state, quiet) for r in (recipe, more)]
    assert outcome(arms[0]) == outcome(arms[1])


def test_one_frame_tells_no_order(recipe: Recipe, dataset: Dataset, pretrained: Pretrained) -> None:
    """Really trained on single frames: its temporal accuracy is within three standard errors of chance."""
    more = recipe.model_copy(update={"clips": 400, "test_clips": 150})
    arm = fine_tune(NoShift(0.0), more, dataset, Condition(view="one_frame"), 1, pretrained.state, quiet)
    assert arm.shuffled is None
    by_base = arm.scores.temporal.reshape(-1, 4).mean(axis=1)  # the four orders of a base clip hang together
    error = by_base.std(ddof=1) / np.sqrt(len(by_base))
    assert abs(by_base.mean() - 0.25) <= 3 * error


def test_frames_are_enlarged_where_the_recipe_says_so(recipe: Recipe, dataset: Dataset, pretrained: Pretrained) -> None:
    small = recipe.model_copy(update={"clips": 16, "epochs": 1, "test_clips": 2, "validation_clips": 1})
    flops = [
        fine_tune(CopyShift(0.25), r, dataset, Condition(), 1, pretrained.state, quiet).flops
        for r in (small, small.model_copy(update={"size": 64}))
    ]
    assert flops[1] == pytest.approx(4 * flops[0], rel=0.2)


@pytest.mark.parametrize("placement", ["residual", "inplace"])
def test_gradients_flow_between_frames(placement: Any) -> None:
    network = insert(CopyShift(0.25, placement), build(ACCURACY_BACKBONE, 8)).train()
    frames = torch.randn(2, 8, 1, 32, 32, requires_grad=True)
    logits = network.eval().trunk(frames.flatten(0, 1)).unflatten(0, (2, 8))
    logits[0, 3].square().sum().backward()
    assert frames.grad is not None
    assert frames.grad[0, 2].abs().sum() > 0 and frames.grad[0, 4].abs().sum() > 0  # the neighbours' pixels
    assert frames.grad[1].abs().sum() == 0  # another clip's
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_result_is_complete(recipe: Recipe, dataset: Dataset, pretrained: Pretrained) -> None:
    shares: list[float] = []
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    arm = fine_tune(CopyShift(0.25), recipe, dataset, Condition(), 1, pretrained.state, shares.append)
    assert torch.get_num_threads() == threads and torch.equal(before, torch.get_rng_state())
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) == recipe.epochs * 3
    assert len(arm.fit.train_loss) == recipe.epochs
    assert len(arm.scores.spatial) == len(arm.scores.temporal) == 4 * recipe.test_clips
    assert np.array_equal(arm.scores.joint, arm.scores.spatial & arm.scores.temporal)
    assert 0 < arm.fit.data_seconds < arm.fit.train_seconds and arm.clips_per_second > 0
    baseline = fine_tune(NoShift(0.0), recipe, dataset, Condition(), 1, pretrained.state, quiet)
    assert (arm.params, arm.flops) == (baseline.params, baseline.flops)  # a shift costs neither
    assert arm.params > 400_000 and arm.flops > 10_000_000


def test_what_is_known_early_is_what_a_stream_predicts(dataset: Dataset, pretrained: Pretrained) -> None:
    strategy = CopyShift(1 / 8, "residual", "unidirectional")
    network, single = build(ACCURACY_BACKBONE, dataset.frames), build(ACCURACY_BACKBONE, 1)
    for one in (network, single):
        one.load_state_dict(pretrained.state)
    network, online = insert(strategy, network), go_online(strategy, single)
    clips = dataset.test_clips(np.random.default_rng(0), 6)
    known = evaluate_early(network, clips, _fine_tuning(TINY, dataset, Condition()))
    state, total = None, torch.zeros(())
    with torch.inference_mode():
        for frame, early in zip(torch.from_numpy(clips.pixels).unbind(1), known, strict=True):
            logits, state = online.step(frame, state)
            total = total + logits
            spatial, temporal = total.split((10, 4), dim=1)
            assert np.array_equal(spatial.argmax(1).numpy() == clips.spatial, early.spatial)
            assert np.array_equal(temporal.argmax(1).numpy() == clips.temporal, early.temporal)


class NotANumber(Strategy):
    """Loses the clip."""

    name = "not_a_number"

    def shift(self, clip: Tensor) -> Tensor:
        return clip * float("nan")


def test_not_a_number_raises(recipe: Recipe, dataset: Dataset, pretrained: Pretrained) -> None:
    with pytest.raises(Diverged, match="nan at step 1 of 6"):
        fine_tune(NotANumber(), recipe, dataset, Condition(), 1, pretrained.state, quiet)


def test_exploding_training_raises(recipe: Recipe, dataset: Dataset) -> None:
    with pytest.raises(Diverged):
        pretrain(recipe.model_copy(update={"pretrain_lr": 1e30}), dataset, ACCURACY_BACKBONE, 1, quiet)


def test_explosion_in_the_last_step_raises(dataset: Dataset, pretrained: Pretrained) -> None:
    network = build(ACCURACY_BACKBONE, dataset.frames)
    network.load_state_dict(pretrained.state)
    clips = dataset.test_clips(np.random.default_rng(0), 2)
    with pytest.raises(Diverged, match="not finite"):
        evaluate(
            network, replace(clips, pixels=clips.pixels * np.float32("inf")), _fine_tuning(TINY, dataset, Condition())
        )
