"""Weights that several trainings share, or the state of one after an epoch: trusted only if it is what it should be.

The file holds ``{"key": str, "state": dict}``. Its key stands for everything that the state depends on.
"""

import hashlib
import json
import os
import pickle
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import data, models
from bench.measure import training
from bench.spec.training import TrainingRecipe

State = dict[str, Tensor]


class Unusable(Exception):
    """A checkpoint that is torn, foreign or stale; the message says which."""


def key_of(recipe: TrainingRecipe, dataset: str, data_version: str, form: str, seed: int) -> str:
    """What pre-trained weights depend on, code and library versions included. form: the network that is pre-trained."""
    of_fine_tuning = {"clips", "epochs", "lr", "batch", "validation_clips", "test_clips", "judged_on"}
    relevant = recipe.model_dump(mode="json", exclude=of_fine_tuning)
    packages = {name: version(name) for name in ("torch", "numpy", "scikit-learn")}
    text = json.dumps([relevant, dataset, data_version, form, seed, packages], sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for package in (training, models, data):
        for path in sorted(Path(package.__path__[0]).glob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def save(path: Path, key: str, state: Mapping[str, Any]) -> None:
    """Write atomically: a reader, or a resumed run, sees the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        torch.save({"key": key, "state": state}, unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def load(path: Path, key: str) -> dict[str, Any]:
    """The state stored under ``key``. Raises FileNotFoundError where there is no file, Unusable where it won't do."""
    try:
        stored = torch.load(path, weights_only=True)
    except FileNotFoundError:
        raise
    except (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, pickle.UnpicklingError) as error:
        raise Unusable(f"{path.name} cannot be read ({type(error).__name__})") from error
    if not isinstance(stored, dict) or not isinstance(stored.get("state"), dict):
        raise Unusable(f"{path.name} is not a checkpoint of this suite")
    if stored.get("key") != key:
        raise Unusable(f"{path.name} was made from another recipe, seed, data set or version")
    state: dict[str, Any] = stored["state"]
    return state
