"""One tiny recipe and one tiny pre-training for all tests of the room."""

import pytest

from bench.data.clips import Dataset
from bench.data.datasets import open_dataset
from bench.measure.training.recognition import Pretrained, pretrain
from bench.spec.axes import ACCURACY_BACKBONE
from bench.spec.settings import Data, Recipe

TINY = Recipe(
    pretrain_frames=144,
    pretrain_epochs_easy=1,
    pretrain_epochs_hard=1,
    pretrain_batch=48,
    clips=40,
    epochs=2,
    batch=16,
    test_clips=21,
    validation_clips=5,
    device="cpu",
)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return TINY


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return open_dataset("ring_digits", TINY, Data(), seed=1)


@pytest.fixture(scope="session")
def pretrained(recipe: Recipe, dataset: Dataset) -> Pretrained:
    return pretrain(recipe, dataset, ACCURACY_BACKBONE, 1, lambda share: None)
