"""Weights from files, under the names that the field gives them, and weights that stand for trained ones in proofs.

A network is built and loaded without its shift, which has no weights; the shift is inserted afterwards. So what
released code calls ``conv1.net.weight``, because its shift wraps conv1, is conv1's weight here.
"""

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from bench.models.inflation import load_pretrained
from bench.models.network import Network
from bench.spec.axes import ValueNotAllowed

Module = TypeVar("Module", bound=nn.Module)

_WRAPPINGS = ("state", "state_dict", "model")  # under which training scripts and runs of this suite keep a state dict
# names of mit-han-lab/temporal-shift-module, and of open-mmlab/mmaction2 (resnet_tsm) -> torchvision's
_MIT = {r"^module\.": "", r"^base_model\.": "", r"^new_fc\.": "fc.", r"\.net\.": "."}
_MMACTION = {
    r"^backbone\.": "",
    r"^cls_head\.fc_cls\.": "fc.",
    r"\.conv\.net\.": ".conv.",
    r"downsample\.conv\.": "downsample.0.",
    r"downsample\.bn\.": "downsample.1.",
    r"conv(\d)\.conv\.": r"conv\1.",
    r"conv(\d)\.bn\.": r"bn\1.",
}


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
        else:
            renamed = _renamed(state)
            _fit_head(network.trunk, renamed)
            network.trunk.load_state_dict(renamed)
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
    renamed = {}
    for key, value in state.items():
        for pattern, replacement in rules.items():
            key = re.sub(pattern, replacement, key)
        renamed[key] = value
    return renamed


def _fit_head(trunk: nn.Module, state: Mapping[str, Tensor]) -> None:
    """A last layer for as many classes as the file has; where it has none, loading says so."""
    for name, layer in [(name, layer) for name, layer in trunk.named_modules() if isinstance(layer, nn.Linear)][-1:]:
        weight = state.get(f"{name}.weight")
        if weight is not None and weight.dim() == 2 and len(weight) != layer.out_features:
            trunk.set_submodule(name, nn.Linear(layer.in_features, len(weight)))


def learned(network: Module) -> Module:
    """``network`` with normalisations that have learned something (changed in place): a strategy that folds them into
    weights and forgets a part of them is not found out with those of an untrained network."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_var is not None and module.running_mean is not None
            for scale in (module.weight.data, module.running_var):
                scale.uniform_(0.8, 1.25, generator=generator)
            for offset in (module.bias.data, module.running_mean):
                offset.normal_(0.0, 0.2, generator=generator)
    return network


def disturb(parameters: Iterable[nn.Parameter]) -> None:
    """Add noise: a strategy that learns may start as the identity and still look where it must not."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter))
