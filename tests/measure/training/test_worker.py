"""The worker's jobs and events, in this process and as the process that it is meant to be; a task of one's own."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from bench.measure.training import TASKS, TaskInfo
from bench.measure.training.harness import Batch, Epoch, Task, Train
from bench.models import Network, build_trainable
from bench.plugins.discovery import LoadError
from bench.spec.cases import Condition
from bench.spec.training import Recipe
from bench.store.samples import Fitted
from bench.strategy import Strategy
from bench.system import workers
from tests.measure.training.conftest import QUICK, do, job_of, repeatable


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    recipe = QUICK.model_copy(update={"pretrain_frames": 48})
    return job_of("accuracy", tmp_path) | {"recipe": recipe.model_dump(mode="json")}


def test_checkpoint_is_made_reused_and_made_again_when_torn(job: dict[str, Any]) -> None:
    path = Path(job["checkpoint"])
    first = do(job, "pretrain")
    assert [event["event"] for event in first[-2:]] == ["progress", "result"]
    assert first[-1]["samples"]["reused"] is False and len(first[-1]["samples"]["train_loss"]) == 2
    whole = path.read_bytes()
    again = do(job, "pretrain")
    assert [event["event"] for event in again] == ["result"] and again[0]["samples"] == {"reused": True}
    assert path.read_bytes() == whole
    path.write_bytes(whole[: len(whole) // 2])
    events = do(job, "pretrain")
    assert events[0]["event"] == "note" and "pre-training again" in events[0]["message"]
    assert events[-1]["samples"]["train_loss"] == first[-1]["samples"]["train_loss"]
    assert "another recipe" in do(job | {"seed": 2}, "pretrain")[0]["message"]


def test_a_cleared_or_foreign_checkpoint_is_made_again_before_fine_tuning(job: dict[str, Any]) -> None:
    first = do(job, "fine_tune")[-1]["samples"]
    Path(job["checkpoint"]).unlink()
    again = do(job, "fine_tune")
    assert Path(job["checkpoint"]).exists() and repeatable(first) == repeatable(again[-1]["samples"])
    foreign = do(job | {"seed": 2}, "fine_tune")
    assert "another recipe" in foreign[0]["message"] and foreign[-1]["event"] == "result"


def test_fine_tuning_needs_its_strategy(job: dict[str, Any]) -> None:
    with pytest.raises(LoadError):
        do(job | {"strategy_files": []}, "fine_tune")


@pytest.mark.parametrize(
    ("method", "reason"),
    [
        ("skip(self, backbone, frames): return f'not for {backbone}, {frames}'", "not for digits_resnet, 8"),
        ("refuses(self, channels): return 'too few'", "choosy takes no place of this network: too few"),
    ],
)
def test_a_strategy_may_skip_a_network_with_a_reason(
    job: dict[str, Any], tmp_path: Path, method: str, reason: str
) -> None:
    file = tmp_path / "choosy.py"
    file.write_text(
        "from bench.strategy import Strategy\n\nclass Choosy(Strategy):\n    name = 'choosy'\n\n"
        f"    def shift(self, clip): return clip\n\n    def {method}\n"
    )
    choosy = {"variant": {**job["variant"], "strategy": "choosy"}, "strategy_files": [str(file)]}
    assert do(job | choosy, "fine_tune")[-1] == {"event": "skipped", "reason": reason}


def test_as_a_process(job: dict[str, Any]) -> None:
    events = list(workers.stream("bench.measure.training.worker", job | {"stage": "pretrain"}, silence_limit=60))
    assert [event["event"] for event in events[-3:]] == ["progress", "result", "done"]
    assert Path(job["checkpoint"]).exists()


@dataclass(frozen=True)
class Brightness(Task):
    """Is a clip bright or dark? Written as the author of a new task would."""

    SAMPLES: ClassVar[type[Fitted]] = Fitted

    @classmethod
    def open(cls, recipe: dict[str, Any], data: dict[str, Any], condition: Condition, seed: int) -> "Brightness":
        return cls(Recipe.model_validate(recipe), condition, seed, SimpleNamespace(frames=2))

    def network(self, backbone: str, segments: int) -> Network:
        return build_trainable("digits_resnet", segments, self.seed, (2, 2))

    def pretraining(self) -> Sequence[Epoch]:
        return [lambda: self._clips(1)]

    def loss(self, network: Network, frames: Tensor, targets: Any) -> Tensor:
        return torch.nn.functional.cross_entropy(network(frames)[:, :2], targets)

    def fine_tune(self, network: Network, strategy: Strategy, train: Train) -> dict[str, Any]:
        fit, looks = train(lambda number: self._clips(2), 2, lambda: "looked")
        assert looks == ["looked"]
        return asdict(fit) | {"test_seconds": 0.0, "test_clips": 4}

    def _clips(self, frames: int) -> Iterator[Batch]:
        for bright in (0, 1):
            yield torch.full((frames, 1, 32, 32), float(bright)), torch.tensor([bright])


def test_a_third_task_needs_its_class_and_an_entry_and_nothing_else(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "brightness", TaskInfo(f"{__name__}:Brightness", {"cpu": 100.0}))
    shift = {"strategy": "copy_shift", "fraction": "1/4", "placement": "residual", "direction": "bidirectional"}
    recipe = QUICK.model_copy(update={"clips": 2, "batch": 1, "pretrain_frames": 2, "pretrain_batch": 1})
    asked = job | {"section": "brightness", "variant": shift, "recipe": recipe.model_dump(mode="json")}
    assert len(do(asked, "pretrain")[-1]["samples"]["train_loss"]) == 1
    samples = do(asked, "fine_tune")[-1]["samples"]
    assert len(samples["train_loss"]) == QUICK.epochs and samples["test_clips"] == 4 and samples["params"] > 0
