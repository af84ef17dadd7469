"""Training is paired by seed, the baseline stands at chance exactly, and a record says how it came about."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.data import open_dataset
from bench.data.clips import ClipDataset, Clips
from bench.measure.training.checkpoint import State
from bench.measure.training.harness import Diverged, Fit, Report, fine_tune, fit, pretrain
from bench.measure.training.recognition import RecognitionTask
from bench.models import build_trainable, go_online, insert
from bench.spec.axes import ACCURACY_BACKBONE
from bench.spec.cases import Condition
from bench.spec.training import Data
from bench.store.samples import PARTS, Recognition, unpack
from bench.strategy import Strategy
from strategies.copy_shift import CopyShift
from strategies.no_shift import NoShift
from tests.measure.training.conftest import QUICK, RECIPE, quiet, repeatable

Pretrained = tuple[State, Fit]


def trained(task: RecognitionTask, strategy: Strategy, state: State, report: Report = quiet) -> Recognition:
    samples, _ = fine_tune(task, strategy, state, report)
    assert isinstance(samples, Recognition)
    return samples


def temporal(samples: Recognition) -> np.ndarray:
    """Right or wrong [base clips, orders]."""
    return unpack(samples.temporal_correct, samples.test_clips).reshape(-1, samples.temporal_classes)


def test_baseline_is_at_chance_exactly(
    recognition: RecognitionTask, pretrained: Pretrained, trials: dict[str, dict[str, Any]]
) -> None:
    bf16 = replace(recognition, recipe=QUICK.model_copy(update={"bf16": True}))
    opening = open_dataset("opening_digits", QUICK, Data(), seed=1)
    reversed_ = replace(recognition, recipe=QUICK, dataset=opening, condition=Condition(dataset="opening_digits"))
    found = [Recognition.model_validate(trials["baseline"])]
    found += [trained(task, NoShift(0.0), pretrained[0]) for task in (bf16, reversed_)]
    for samples, chance in zip(found, (0.25, 0.25, 0.5), strict=True):
        assert samples.temporal_accuracy == chance
        assert np.all(temporal(samples).sum(axis=1) == 1)  # every base clip gets one class in all its orders
        spatial = unpack(samples.spatial_correct, samples.test_clips).reshape(-1, samples.temporal_classes)
        assert np.all(spatial == spatial[:, :1])  # and the same digit


def test_only_a_shift_makes_orders_differ(recognition: RecognitionTask, pretrained: Pretrained) -> None:
    clips = torch.from_numpy(recognition.dataset.judged(np.random.default_rng(0), 1, "test").pixels).flatten(0, 1)
    for strategy, differ in ((NoShift(0.0), False), (CopyShift(0.25), True)):
        network = build_trainable(ACCURACY_BACKBONE, 8)
        network.load_state_dict(pretrained[0])
        with torch.no_grad():
            consensus = insert(strategy, network).trunk(clips).double().unflatten(0, (4, 8)).mean(dim=1)
        assert all(torch.equal(consensus[0], other) is not differ for other in consensus[1:])


def test_same_seed_same_result(recognition: RecognitionTask, pretrained: Pretrained) -> None:
    """Whatever the number of validation clips, which only draw the learning curve."""
    state = {name: value.clone() for name, value in pretrained[0].items()}
    task = replace(recognition, recipe=QUICK)
    followed = replace(task, recipe=QUICK.model_copy(update={"validation_clips": 9}))
    first, again, curve = (trained(one, CopyShift(0.25), pretrained[0]) for one in (task, task, followed))
    assert repeatable(first.model_dump()) == repeatable(again.model_dump())
    assert (first.train_loss, first.spatial_correct) == (curve.train_loss, curve.spatial_correct)
    assert all(torch.equal(value, pretrained[0][name]) for name, value in state.items())
    assert trained(replace(task, seed=2), CopyShift(0.25), pretrained[0]).train_loss != first.train_loss


def test_pretraining_is_deterministic(recognition: RecognitionTask, pretrained: Pretrained) -> None:
    torch.manual_seed(12345)  # what went before must not matter
    threads, before = torch.get_num_threads(), torch.get_rng_state()
    state, how = pretrain(recognition, quiet)
    assert all(torch.equal(value, pretrained[0][name]) for name, value in state.items())
    assert how.train_loss == pretrained[1].train_loss
    assert torch.get_num_threads() == threads and torch.equal(before, torch.get_rng_state())


class Watched:
    """A data set that keeps what it gave."""

    def __init__(self, dataset: ClipDataset) -> None:
        self.dataset, self.given = dataset, list[Clips]()
        for name in ("spatial_classes", "temporal_classes", "frames"):
            setattr(self, name, getattr(dataset, name))

    def clips(self, rng: np.random.Generator, count: int) -> Clips:
        self.given.append(self.dataset.clips(rng, count))
        return self.given[-1]

    def judged(self, rng: np.random.Generator, count: int, part: str) -> Clips:
        self.given.append(self.dataset.judged(rng, count, part))
        return self.given[-1]


def test_all_trials_of_a_seed_see_the_same_data(recognition: RecognitionTask, pretrained: Pretrained) -> None:
    watched = Watched(recognition.dataset)
    task = replace(recognition, recipe=QUICK.model_copy(update={"epochs": 2}), dataset=watched)
    for strategy in (NoShift(0.0), CopyShift(0.5, "inplace")):
        trained(task, strategy, pretrained[0])
    first, second = watched.given[:4], watched.given[4:]  # validation, two epochs, test
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.spatial, other.spatial) and np.array_equal(one.temporal, other.temporal)
    assert not np.array_equal(first[1].pixels, first[2].pixels)  # fresh clips in each epoch


def test_one_objective_leaves_the_other_head_alone(recognition: RecognitionTask) -> None:
    recipe = QUICK.model_copy(update={"weight_decay": 0.0, "batch": 4})
    task = replace(recognition, recipe=recipe, condition=Condition(objective="spatial"))
    network = task.network(ACCURACY_BACKBONE, 8)
    before = {name: value.clone() for name, value in network.trunk.named_parameters()}

    def train(draw: Any, clips: int, look: Any) -> Any:
        return fit(task, network, [partial(draw, 0)], 2e-3, clips // 4, quiet, look)

    task.fine_tune(network, NoShift(0.0), train)
    still = {name for name, value in network.trunk.named_parameters() if torch.equal(value, before[name])}
    assert still == {name for name in before if name.startswith("temporal.")} != set()


def test_factors_multiply_the_recipe(recognition: RecognitionTask, pretrained: Pretrained) -> None:
    task = replace(recognition, recipe=QUICK.model_copy(update={"epochs": 2}))
    slow = replace(task, condition=Condition(lr_factor=0.5, length_factor=1.5))
    explicit = replace(task, recipe=task.recipe.model_copy(update={"lr": task.recipe.lr / 2, "epochs": 3}))
    first, second = (trained(one, CopyShift(0.25), pretrained[0]) for one in (slow, explicit))
    assert first.train_loss == second.train_loss and first.clips_seen == [16, 32, 48]
    nothing = replace(task, condition=Condition(length_factor=0.1))
    assert trained(nothing, CopyShift(0.25), pretrained[0]).clips_seen == [16]  # at least one epoch


def test_one_frame_says_nothing_of_the_order(recognition: RecognitionTask, pretrained: Pretrained) -> None:
    """Really trained on single frames: its temporal accuracy is within three standard errors of chance."""
    recipe = RECIPE.model_copy(update={"clips": 400, "test_clips": 150})
    samples = trained(
        replace(recognition, recipe=recipe, condition=Condition(view="one_frame")), NoShift(0.0), pretrained[0]
    )
    assert samples.shuffled_clips is None and samples.early is None
    by_base = temporal(samples).mean(axis=1)  # the four orders of a base clip hang together
    error = by_base.std(ddof=1) / np.sqrt(len(by_base))
    assert abs(by_base.mean() - 0.25) <= 3 * error


def test_frames_are_enlarged_where_the_recipe_says_so(recognition: RecognitionTask, pretrained: Pretrained) -> None:
    flops = [
        trained(replace(recognition, recipe=recipe), CopyShift(0.25), pretrained[0]).flops
        for recipe in (QUICK, QUICK.model_copy(update={"size": 64}))
    ]
    assert flops[1] == pytest.approx(4 * flops[0], rel=0.2)


@pytest.mark.parametrize("placement", ["residual", "inplace"])
def test_gradients_flow_between_frames(placement: Any) -> None:
    network = insert(CopyShift(0.25, placement), build_trainable(ACCURACY_BACKBONE, 8)).train()
    frames = torch.randn(2, 8, 1, 32, 32, requires_grad=True)
    logits = network.eval().trunk(frames.flatten(0, 1)).unflatten(0, (2, 8))
    logits[0, 3].square().sum().backward()
    assert frames.grad is not None
    assert frames.grad[0, 2].abs().sum() > 0 and frames.grad[0, 4].abs().sum() > 0  # the neighbours' pixels
    assert frames.grad[1].abs().sum() == 0  # another clip's
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_progress_reaches_its_end(recognition: RecognitionTask, pretrained: Pretrained) -> None:
    shares: list[float] = []
    task = replace(recognition, recipe=QUICK.model_copy(update={"clips": 40}))
    trained(task, CopyShift(0.25), pretrained[0], shares.append)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) == 3  # steps of 16, 16 and 8 clips


def test_a_record_is_complete(trials: dict[str, dict[str, Any]]) -> None:
    for values in trials.values():
        samples = Recognition.model_validate(values)
        correct = {part: unpack(values[f"{part}_correct"], samples.test_clips) for part in ("spatial", "temporal")}
        assert samples.test_clips == 4 * RECIPE.test_clips
        assert {part: right.mean() for part, right in correct.items()} == {
            "spatial": samples.spatial_accuracy,
            "temporal": samples.temporal_accuracy,
        }
        assert (correct["spatial"] & correct["temporal"]).mean() == samples.joint_accuracy
        assert samples.clips_seen == [RECIPE.clips, 2 * RECIPE.clips] and len(samples.train_loss) == RECIPE.epochs
        assert samples.curve is not None and {len(samples.curve[part]) for part in PARTS} == {RECIPE.epochs}
        assert samples.validation_clips == 4 * RECIPE.validation_clips and samples.shuffled_clips == RECIPE.test_clips
        assert (samples.judged_on, samples.spatial_classes, samples.temporal_classes) == ("test", 10, 4)
        assert samples.data_version == "acaf01109dc8" and samples.machine is not None and samples.machine["torch"]
        parts = [values[f"{name}_seconds"] for name in ("data", "forward", "backward", "update")]
        assert all(part > 0 for part in parts) and sum(parts) <= samples.train_seconds and samples.clips_per_second > 0
    assert trials["baseline"]["curve"]["temporal"] == [0.25, 0.25]
    assert len({(values["params"], values["flops"]) for values in trials.values()}) == 1  # a shift costs neither
    assert trials["baseline"]["params"] > 400_000 and trials["baseline"]["flops"] > 10_000_000


def test_a_record_says_what_a_causal_trial_knew_early(trials: dict[str, dict[str, Any]]) -> None:
    assert trials["offline"]["early"] is None
    for samples in (trials["baseline"], trials["causal"]):
        for part in PARTS:
            assert len(samples["early"][part]) == 8
            assert samples["early"][part][-1] == samples[f"{part}_accuracy"], "at the end all of the clip was seen"


def test_what_is_known_early_is_what_a_stream_predicts(recognition: RecognitionTask, pretrained: Pretrained) -> None:
    strategy = CopyShift(1 / 8, "residual", "unidirectional")
    network, single = build_trainable(ACCURACY_BACKBONE, 8), build_trainable(ACCURACY_BACKBONE, 1)
    for one in (network, single):
        one.load_state_dict(pretrained[0])
    network, online = insert(strategy, network), go_online(strategy, single)
    clips = recognition.dataset.judged(np.random.default_rng(0), 6, "test")
    known = recognition.evaluate(network, clips)
    state, total = None, torch.zeros(())
    with torch.inference_mode():
        for frame, early in zip(torch.from_numpy(clips.pixels).unbind(1), known, strict=True):
            logits, state = online.step(frame, state)
            total = total + logits
            answers = total.split((10, 4), dim=1)
            assert np.array_equal(answers[0].argmax(1).numpy() == clips.spatial, early["spatial"])
            assert np.array_equal(answers[1].argmax(1).numpy() == clips.temporal, early["temporal"])


class NotANumber(Strategy):
    """Loses the clip."""

    name = "not_a_number"

    def shift(self, clip: Tensor) -> Tensor:
        return clip * float("nan")


def test_what_is_not_finite_is_an_error(recognition: RecognitionTask, pretrained: Pretrained) -> None:
    with pytest.raises(Diverged, match="at step 1 of 6"):
        trained(recognition, NotANumber(0.25), pretrained[0])
    with pytest.raises(Diverged):
        pretrain(replace(recognition, recipe=RECIPE.model_copy(update={"pretrain_lr": 1e30})), quiet)
    network = build_trainable(ACCURACY_BACKBONE, 8)
    clips = recognition.dataset.judged(np.random.default_rng(0), 2, "test")
    with pytest.raises(Diverged, match="not finite"):  # after an explosion in the last step
        recognition.evaluate(network, replace(clips, pixels=clips.pixels * np.float32("inf")))
