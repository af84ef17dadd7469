"""A checkpoint is trusted only if it is whole and made from the same things."""

from pathlib import Path

import pytest
import torch

from bench.measure.training.checkpoint import Unusable, load, save
from bench.measure.training.recognition import Pretrained
from bench.measure.training.recognition_checkpoint import checkpoint_key
from bench.spec.settings import Recipe


def test_key_depends_on_what_pretraining_depends_on(recipe: Recipe) -> None:
    def key(
        recipe: Recipe, data: str = "ring_digits", version: str = "v", net: str = "digits_resnet", seed: int = 1
    ) -> str:
        return checkpoint_key(recipe, data, version, net, seed)

    first = key(recipe)
    for name, value in {"lr": 1.0, "clips": 3, "epochs": 9, "batch": 2, "test_clips": 7}.items():
        assert key(recipe.model_copy(update={name: value})) == first
    other = {
        "pretrain_lr": 1.0,
        "train_share": 0.5,
        "validation_share": 0.2,
        "weight_decay": 0.5,
        "bf16": False,
        "size": 64,
    }
    changed = [key(recipe.model_copy(update={name: value})) for name, value in other.items()]
    changed += [key(recipe, seed=2), key(recipe, data="other"), key(recipe, version="w"), key(recipe, net="resnet50")]
    assert len({first, *changed}) == 1 + len(changed)


def test_whole_file_comes_back_and_leaves_nothing_beside_it(pretrained: Pretrained, tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "seed1.pt"
    save(path, "key", pretrained.state)
    state = load(path, "key")
    assert list(state) == list(pretrained.state)
    assert all(torch.equal(state[name], value) for name, value in pretrained.state.items())
    assert list(path.parent.iterdir()) == [path]


def test_missing_file_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pt", "key")


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_torn_file_is_unusable(pretrained: Pretrained, tmp_path: Path, kept: float) -> None:
    path = tmp_path / "seed1.pt"
    save(path, "key", pretrained.state)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(Unusable, match="cannot be read"):
        load(path, "key")


def test_damaged_and_foreign_files_are_unusable(pretrained: Pretrained, tmp_path: Path) -> None:
    path = tmp_path / "seed1.pt"
    path.write_text("not a checkpoint at all\n" * 100)
    with pytest.raises(Unusable, match="cannot be read"):
        load(path, "key")
    torch.save([1, 2, 3], path)
    with pytest.raises(Unusable, match="not a checkpoint"):
        load(path, "key")
    save(path, "another key", pretrained.state)
    with pytest.raises(Unusable, match="another recipe"):
        load(path, "key")
