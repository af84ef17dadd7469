"""Weights from files, under the names that the field gives them.

A network is built and loaded without its shift, which has no weights; the shift is inserted afterwards. So what
released code calls ``conv1.net.weight``, because its shift wraps conv1, is conv1's weight here.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.models.inflation import load_pretrained
from bench.models.network import Network
from bench.spec.axes import ValueNotAllowed

_WRAPPINGS = ("state", "state_dict", "model")  # under which training scripts and runs of this suite keep a state dict
_MIT = (  # mit-han-lab/temporal-shift-module
    (re.compile(r"^module\."), ""),
    (re.compile(r"^base_model\."), ""),
    (re.compile(r"^new_fc\."), "fc."),
    (re.compile(r"\.net\."), "."),
)
_MMACTION = (  # open-mmlab/mmaction2, resnet_tsm
    (re.compile(r"^backbone\."), ""),
    (re.compile(r"^cls_head\.fc_cls\."), "fc."),
    (re.compile(r"\.conv\.net\."), ".conv."),
    (re.compile(r"downsample\.conv\."), "downsample.0."),
    (re.compile(r"downsample\.bn\."), "downsample.1."),
    (re.compile(r"conv(\d)\.conv\."), r"conv\1."),
    (re.compile(r"conv(\d)\.bn\."), r"bn\1."),
)


def load_weights(network: Network, path: Path) -> None:
    """Load ``path`` into ``network``, which has no shift yet; its last layer takes on the file's number of classes.

    Read are: state dicts of torchvision, checkpoints of mit-han-lab/temporal-shift-module and of mmaction2, and what a
    run keeps in ``pretraining/``; only tensors, never code. Raises ValueNotAllowed, in one line, for a file that is not
    there, holds no weights, or is of another network.
    """
    state = _state(path)
    try:
        if all(key.startswith("trunk.") for key in state):
            load_pretrained(network, state)
            return
        named = _renamed(state)
        _fit_head(network.trunk, named)
        network.trunk.load_state_dict(named)
    except (ValueError, RuntimeError) as error:
        raise ValueNotAllowed(f"{path} is of another network: {' '.join(str(error).split())[:200]}") from None


def _state(path: Path) -> dict[str, Tensor]:
    try:
        stored: Any = torch.load(path, weights_only=True, map_location="cpu")
    except FileNotFoundError:
        raise ValueNotAllowed(f"there is no file {path} with weights") from None
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise ValueNotAllowed(f"{path} cannot be read as weights ({type(error).__name__})") from None
    for name in _WRAPPINGS:
        if isinstance(stored, Mapping) and isinstance(stored.get(name), Mapping):
            stored = stored[name]
    if not isinstance(stored, Mapping) or not stored or not all(isinstance(value, Tensor) for value in stored.values()):
        raise ValueNotAllowed(f"{path} holds no weights: expected a state dict, or what a run keeps in pretraining/")
    return dict(stored)


def _renamed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Under torchvision's names."""
    rules = _MMACTION if any(key.startswith("backbone.") for key in state) else _MIT
    named = {}
    for key, value in state.items():
        for pattern, text in rules:
            key = pattern.sub(text, key)
        named[key] = value
    return named


def _fit_head(trunk: nn.Module, state: Mapping[str, Tensor]) -> None:
    """A last layer for as many classes as the file has; where it has none, the load says so."""
    for name, layer in reversed(list(trunk.named_modules())):
        if isinstance(layer, nn.Linear):
            weight = state.get(f"{name}.weight")
            if weight is not None and weight.dim() == 2 and len(weight) != layer.out_features:
                parent, _, child = name.rpartition(".")
                setattr(trunk.get_submodule(parent), child, nn.Linear(layer.in_features, len(weight)))
            return
