"""One tiny recipe and one tiny pre-training for all tests of the room."""

import pytest

from bench.data.scenes import ClutteredDigits
from bench.measure.training.detection import Pretrained, pretrain
from bench.spec.detection_settings import ClutteredDigitsData, DetectionRecipe

TINY = DetectionRecipe(
    pretrain_frames=48,
    pretrain_epochs=2,
    pretrain_batch=16,
    clips=8,
    epochs=1,
    batch=2,
    test_clips=6,
    bf16=False,
    device="cpu",
)


@pytest.fixture(scope="session")
def recipe() -> DetectionRecipe:
    return TINY


@pytest.fixture(scope="session")
def dataset() -> ClutteredDigits:
    return ClutteredDigits.split(TINY, ClutteredDigitsData(), seed=1)


@pytest.fixture(scope="session")
def pretrained_detector(recipe: DetectionRecipe, dataset: ClutteredDigits) -> Pretrained:
    return pretrain(recipe, dataset, 1, lambda share: None)
