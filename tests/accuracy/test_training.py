"""Training is paired by seed, and the baseline stands at chance exactly."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.accuracy.clips import Clips
from bench.accuracy.evaluation import evaluate, pack, unpack
from bench.accuracy.fitting import Diverged
from bench.accuracy.ring_digits import RingDigits
from bench.accuracy.training import FineTuned, Pretrained, fine_tune, pretrain
from bench.axes import ACCURACY_BACKBONE
from bench.backbones import build, insert
from bench.settings import Recipe
from bench.strategy import Strategy
from strategies.copy_shift import CopyShift
from strategies.no_shift import NoShift


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
def test_baseline_is_at_chance_exactly(recipe: Recipe, dataset: RingDigits, pretrained: Pretrained, bf16: bool) -> None:
    recipe = recipe.model_copy(update={"bf16": bf16})
    arm = fine_tune(NoShift(0.0), recipe, dataset, 1, pretrained.state, quiet)
    by_base = arm.scores.temporal.reshape(-1, 4)
    assert np.all(by_base.sum(axis=1) == 1)  # every base clip gets one class in all four orders
    assert arm.scores.temporal.mean() == 0.25
    assert len(set(map(bytes, arm.scores.spatial.reshape(-1, 4).T))) == 1  # and the same digit


def test_only_a_shift_makes_orders_differ(dataset: RingDigits, pretrained: Pretrained) -> None:
    clips = torch.from_numpy(dataset.test_clips(np.random.default_rng(0), 1).pixels).flatten(0, 1)
    for strategy, differ in ((NoShift(0.0), False), (CopyShift(0.25), True)):
        network = build(ACCURACY_BACKBONE, dataset.frames)
        network.load_state_dict(pretrained.state)
        with torch.no_grad():
            consensus = insert(strategy, network).trunk(clips).double().unflatten(0, (4, 8)).mean(dim=1)
        assert all(torch.equal(consensus[0], other) is not differ for other in consensus[1:])


def test_same_seed_same_result(recipe: Recipe, dataset: RingDigits, pretrained: Pretrained) -> None:
    state = {name: value.clone() for name, value in pretrained.state.items()}
    first, again = (fine_tune(CopyShift(0.25), recipe, dataset, 1, pretrained.state, quiet) for _ in range(2))
    assert outcome(first) == outcome(again)
    assert all(torch.equal(value, pretrained.state[name]) for name, value in state.items())
    other = fine_tune(CopyShift(0.25), recipe, dataset, 2, pretrained.state, quiet)
    assert outcome(first) != outcome(other)


def test_pretraining_is_deterministic(recipe: Recipe, dataset: RingDigits, pretrained: Pretrained) -> None:
    torch.manual_seed(12345)  # what went before must not matter
    again = pretrain(recipe, dataset, 1, quiet)
    assert all(torch.equal(value, pretrained.state[name]) for name, value in again.state.items())
    assert again.fit.train_loss == pretrained.fit.train_loss


def test_all_arms_of_a_seed_see_the_same_data(recipe: Recipe, dataset: RingDigits, pretrained: Pretrained) -> None:
    class Watched(RingDigits):
        """Keeps what it gave."""

        def clips(self, rng: np.random.Generator, count: int) -> Clips:
            given.append(super().clips(rng, count))
            return given[-1]

        def test_clips(self, rng: np.random.Generator, count: int) -> Clips:
            given.append(super().test_clips(rng, count))
            return given[-1]

    given: list[Clips] = []
    watched = Watched(dataset.train, dataset.test)
    for strategy in (NoShift(0.0), CopyShift(0.5, "inplace")):
        fine_tune(strategy, recipe, watched, 1, pretrained.state, quiet)
    assert len(given) == 2 * (recipe.epochs + 1)
    for one, other in zip(given[: recipe.epochs + 1], given[recipe.epochs + 1 :], strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.spatial, other.spatial) and np.array_equal(one.temporal, other.temporal)
    assert not np.array_equal(given[0].pixels, given[1].pixels)  # fresh clips in each epoch


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


def test_result_is_complete(recipe: Recipe, dataset: RingDigits, pretrained: Pretrained) -> None:
    shares: list[float] = []
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    arm = fine_tune(CopyShift(0.25), recipe, dataset, 1, pretrained.state, shares.append)
    assert torch.get_num_threads() == threads and torch.equal(before, torch.get_rng_state())
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) == recipe.epochs * 3
    assert len(arm.fit.train_loss) == recipe.epochs
    assert len(arm.scores.spatial) == len(arm.scores.temporal) == 4 * recipe.test_clips
    assert np.array_equal(arm.scores.joint, arm.scores.spatial & arm.scores.temporal)
    assert 0 < arm.fit.data_seconds < arm.fit.train_seconds and arm.clips_per_second > 0
    baseline = fine_tune(NoShift(0.0), recipe, dataset, 1, pretrained.state, quiet)
    assert (arm.params, arm.flops) == (baseline.params, baseline.flops)  # a shift costs neither
    assert arm.params > 400_000 and arm.flops > 10_000_000


class NotANumber(Strategy):
    """Loses the clip."""

    name = "not_a_number"

    def shift(self, clip: Tensor) -> Tensor:
        return clip * float("nan")


def test_not_a_number_raises(recipe: Recipe, dataset: RingDigits, pretrained: Pretrained) -> None:
    with pytest.raises(Diverged, match="nan at step 1 of 6"):
        fine_tune(NotANumber(), recipe, dataset, 1, pretrained.state, quiet)


def test_exploding_training_raises(recipe: Recipe, dataset: RingDigits) -> None:
    with pytest.raises(Diverged):
        pretrain(recipe.model_copy(update={"pretrain_lr": 1e30}), dataset, 1, quiet)


def test_explosion_in_the_last_step_raises(dataset: RingDigits, pretrained: Pretrained) -> None:
    network = build(ACCURACY_BACKBONE, dataset.frames)
    network.load_state_dict(pretrained.state)
    clips = dataset.test_clips(np.random.default_rng(0), 2)
    with pytest.raises(Diverged, match="not finite"):
        evaluate(network, replace(clips, pixels=clips.pixels * np.float32("inf")), 10)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 2000])
def test_packed_bits_come_back(count: int) -> None:
    bits = np.random.default_rng(count).random(count) < 0.5
    assert np.array_equal(unpack(pack(bits), count), bits)
