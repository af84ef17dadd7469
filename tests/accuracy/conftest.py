"""One tiny recipe and one tiny pre-training for all tests of the room."""

import pytest

from bench.accuracy.ring_digits import RingDigits
from bench.accuracy.training import Pretrained, pretrain
from bench.settings import Recipe

TINY = Recipe(
    pretrain_frames=144,
    pretrain_epochs_easy=1,
    pretrain_epochs_hard=1,
    pretrain_batch=48,
    clips=40,
    epochs=2,
    batch=16,
    test_clips=21,
)


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return TINY


@pytest.fixture(scope="session")
def dataset() -> RingDigits:
    return RingDigits.split(TINY.train_share, seed=1)


@pytest.fixture(scope="session")
def pretrained(recipe: Recipe, dataset: RingDigits) -> Pretrained:
    return pretrain(recipe, dataset, 1, lambda share: None)
