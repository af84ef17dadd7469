"""A checkpoint is trusted only if it is whole and made from the same things."""

from pathlib import Path
from typing import Any

import pytest
import torch

from bench.measure.training.checkpoint import State, Unusable, key_of, load, save
from tests.measure.training.conftest import RECIPE

STATE = {"trunk.weight": torch.arange(6.0).reshape(2, 3), "trunk.count": torch.tensor(3)}


USUAL: dict[str, Any] = {"dataset": "ring_digits", "data_version": "v", "form": "digits_resnet", "seed": 1}


def test_key_depends_on_what_pretraining_depends_on() -> None:
    def key(of_recipe: dict[str, Any], **other: Any) -> str:
        return key_of(RECIPE.model_copy(update=of_recipe), **(USUAL | other))

    first = key({})
    for name, value in {"lr": 1.0, "clips": 3, "epochs": 9, "batch": 2, "test_clips": 7}.items():
        assert key({name: value}) == first
    shares = {"train_share": 0.5, "validation_share": 0.2}
    relevant = {**shares, "pretrain_lr": 1.0, "weight_decay": 0.5, "bf16": True, "size": 64}
    changed = [key({name: value}) for name, value in relevant.items()]
    changed += [key({}, **{name: value}) for name, value in {**dict.fromkeys(USUAL, "other"), "seed": 2}.items()]
    assert len({first, *changed}) == 1 + len(changed)


def test_whole_file_comes_back_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "seed1.pt"
    save(path, "key", STATE)
    state: State = load(path, "key")
    assert list(state) == list(STATE) and all(torch.equal(state[name], value) for name, value in STATE.items())
    assert list(path.parent.iterdir()) == [path]


def test_missing_file_is_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.pt", "key")


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_torn_file_is_unusable(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "seed1.pt"
    save(path, "key", STATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    with pytest.raises(Unusable, match="cannot be read"):
        load(path, "key")


def test_damaged_and_foreign_files_are_unusable(tmp_path: Path) -> None:
    path = tmp_path / "seed1.pt"
    path.write_text("not a checkpoint at all\n" * 100)
    with pytest.raises(Unusable, match="cannot be read"):
        load(path, "key")
    torch.save([1, 2, 3], path)
    with pytest.raises(Unusable, match="not a checkpoint"):
        load(path, "key")
    save(path, "another key", STATE)
    with pytest.raises(Unusable, match="another recipe"):
        load(path, "key")
