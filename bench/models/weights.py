"""Weights from files, under the names that the field gives them, and weights that stand for trained ones in proofs.

A network is built and loaded without its shift, which has no weights; the shift is inserted afterwards. So what
released code calls ``conv1.net.weight``, because its shift wraps conv1, is conv1's weight here.
"""

import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.models.inflation import load_pretrained
from bench.models.network import Network
from bench.spec.axes import ValueNotAllowed

Module = TypeVar("Module", bound=nn.Module)

_WRAPPINGS = ("state", "state_dict", "model_state_dict", "state_dict_ema", "model")
"""Under which training scripts and runs of this suite keep a state dict."""

_DATA_PARALLEL = r"^(module\.|_orig_mod\.)+"
_MIT = {r"^base_model\.": "", r"^new_fc\.": "fc.", r"\.net\.": "."}
_FIRST_BLOCK, _BLOCK = {0: "0.0", 1: "0.1", 3: "1", 4: "2"}, {0: "0.0", 1: "0.1", 3: "1.0", 4: "1.1", 6: "2", 7: "3"}
_MIT_MOBILENET = {  # whose blocks are one flat Sequential
    **{r"^base_model\.": "", r"^(new_fc|classifier)\.(?!1\.)": "classifier.1.", r"\.net\.": "."},
    **{rf"^(features\.1\.conv)\.{old}\.": rf"\1.{new}." for old, new in _FIRST_BLOCK.items()},
    **{rf"^(features\.(?!1\.)\d+\.conv)\.{old}\.": rf"\1.{new}." for old, new in _BLOCK.items()},
}
_MMACTION = {
    r"^backbone\.": "",
    r"^cls_head\.fc_cls\.": "fc.",
    r"\.conv\.net\.": ".conv.",
    r"downsample\.conv\.": "downsample.0.",
    r"downsample\.bn\.": "downsample.1.",
    r"conv(\d)\.conv\.": r"conv\1.",
    r"conv(\d)\.bn\.": r"bn\1.",
}
_NAMINGS: tuple[dict[str, str], ...] = ({}, _MIT, _MIT_MOBILENET, _MMACTION)
"""Rules, applied in order, from names of torchvision or timm, of mit-han-lab/temporal-shift-module (a ResNet, a
MobileNetV2) and of open-mmlab/mmaction2 (resnet_tsm) to those of the network at hand."""

_MIT_FILE = re.compile(r"TSM_.+?(?:_shift(\d+)_(block(?:res)?))?_[a-z]+_segment(\d+)")
_MIT_ONLINE_FILE = re.compile(r"mobilenetv2_\w+_online")
_MMACTION_FILE = re.compile(r"tsm_.*?1x1x(\d+)")
_DISTILLED = "head_dist"  # in timm, beside a ``head``
_OWN_FILE = re.compile(r".+-(residual|inplace)-(\d+(?:_\d+)?)-(bidirectional|unidirectional)_seed\d+\.pt")


def load_weights(network: Network, path: Path, backbone: str = "") -> None:
    """Load ``path`` into ``network``, which has no shift yet; its last layer takes on the file's number of classes.

    Read are: state dicts of torchvision and timm, checkpoints of mit-han-lab/temporal-shift-module and of mmaction2,
    and what a run keeps in ``pretraining/``, as PyTorch or safetensors files; only tensors, never code.
    Raises ValueNotAllowed, in one line, for a file that is not there, holds no weights, or is of another network than
    ``backbone``, as it is called.
    """
    state = read_state(path)
    try:
        if all(key.startswith("trunk.") for key in state):
            load_pretrained(network, state)
        else:
            renamed = _renamed(state, network.trunk)
            _fit_head(network.trunk, renamed)
            network.trunk.load_state_dict(renamed, strict=False)  # old files have no num_batches_tracked
    except (ValueError, RuntimeError) as error:
        what = f"{path} is of another network{backbone and f' than {backbone}'}"
        raise ValueNotAllowed(f"{what}: {' '.join(str(error).split())[:200]}") from None


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in ``path``, in its order. Raises ValueNotAllowed as ``load_weights`` does."""
    try:
        stored: Any = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueNotAllowed(f"there is no file {path} with weights") from None
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it holds more than tensors, first a {foreign[1]}" if foreign else "UnpicklingError"
        strip = f"s = torch.load({str(path)!r}, weights_only=False); torch.save(s['state_dict'], 'weights.pth')"
        raise ValueNotAllowed(f"{path} cannot be read as weights: {what}. Where you trust it: {strip}") from None
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise ValueNotAllowed(f"{path} cannot be read as weights ({type(error).__name__})") from None
    for name in _WRAPPINGS:
        if isinstance(stored, Mapping) and isinstance(stored.get(name), Mapping):
            stored = stored[name]
    if not isinstance(stored, Mapping) or not stored or not all(isinstance(value, Tensor) for value in stored.values()):
        raise ValueNotAllowed(f"{path} holds no weights: expected a state dict, or what a run keeps in pretraining/")
    return {re.sub(_DATA_PARALLEL, "", key): value for key, value in stored.items() if "data_preprocessor." not in key}


def _renamed(state: Mapping[str, Tensor], trunk: nn.Module) -> dict[str, Tensor]:
    """Under the names of ``trunk``. Raises ValueError with the first names that differ, where no naming fits."""
    wanted = {name for name in trunk.state_dict() if not name.endswith("num_batches_tracked")}
    best, missing = dict[str, Tensor](), list[str]()
    for rules in _NAMINGS:
        renamed = {_rename(key, rules): value for key, value in state.items()}
        lacking = sorted(wanted - set(renamed))
        if not best or len(lacking) < len(missing):
            best, missing = renamed, lacking
    unknown = sorted(name for name in set(best) - wanted if not name.endswith("num_batches_tracked"))
    if missing or unknown:
        kind, names = ("it lacks", missing) if missing else ("the network lacks", unknown)
        raise ValueError(f"{kind} {', '.join(names[:3])}{' …' if len(names) > 3 else ''} ({len(names)} names)")
    return best


def _rename(key: str, rules: Mapping[str, str]) -> str:
    for pattern, replacement in rules.items():
        key = re.sub(pattern, replacement, key)
    return key


def set_head(network: Network, classes: int, seed: int) -> None:
    """Give ``network`` a new last layer, or two of them, with random weights for so many ``classes``; the other weights
    stay.

    Raises ValueNotAllowed where it has no linear layer and no 1×1 convolution.
    """
    found = last_layers(network.trunk)
    if not found:
        raise ValueNotAllowed("this network has no last layer to replace: expected nn.Linear or a 1×1 nn.Conv2d")
    with seeded(seed):
        for name, layer in found.items():
            network.trunk.set_submodule(name, _alike(layer, classes))


def _fit_head(trunk: nn.Module, state: Mapping[str, Tensor]) -> None:
    """A last layer for as many classes as the file has; where it has none, loading says so."""
    for name, layer in last_layers(trunk).items():
        weight = state.get(f"{name}.weight")
        if weight is not None and weight.dim() == layer.weight.dim() and len(weight) != len(layer.weight):
            trunk.set_submodule(name, _alike(layer, len(weight)))


def last_layers(trunk: nn.Module) -> dict[str, nn.Linear | nn.Conv2d]:
    """{path: layer that gives logits}: the last linear one or, without any, the last 1×1 convolution; none: {}.

    Two in timm's distilled transformers, of which one reads the token of distillation; their logits are averaged.
    """
    found = {
        name: layer
        for name, layer in trunk.named_modules()
        if isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1))
    }
    names = [name for name, layer in found.items() if isinstance(layer, nn.Linear)] or [*found]
    beside = [name.replace(_DISTILLED, "head") for name in names[-1:]]
    return {name: found[name] for name in dict.fromkeys([*beside, *names[-1:]]) if name in found}


def _alike(layer: nn.Linear | nn.Conv2d, classes: int) -> nn.Linear | nn.Conv2d:
    """Another one in the place of ``layer``, untrained."""
    bias = layer.bias is not None
    made = (
        nn.Conv2d(layer.in_channels, classes, 1, bias=bias)
        if isinstance(layer, nn.Conv2d)
        else nn.Linear(layer.in_features, classes, bias)
    )
    return made.to(layer.weight).train(layer.training)


def released_settings(path: Path) -> dict[str, Any]:
    """What the name of a released checkpoint, or of its folder, says of its training: {} or some of ``fraction``,
    ``placement``, ``direction`` and ``segments``.

    mit-han-lab: ``TSM_kinetics_RGB_resnet50_shift8_blockres_avg_segment8_e50.pth``, without ``shift8…`` for a network
    without a shift, and ``mobilenetv2_jester_online.pth.tar``; mmaction2: ``tsm_r50_1x1x8_50e_kinetics400_rgb….pth``.
    Each of ``shift8``'s two directions takes 1/8 of the channels. What a run keeps is called after its variant.
    """
    for name in (path.name, path.parent.name):
        if found := _MIT_FILE.match(name):
            segments = {"segments": int(found[3])}
            return (_shift(int(found[1]), found[2], name) if found[1] else {"fraction": Fraction(0)}) | segments
        if found := _MMACTION_FILE.match(name):
            return _shift(8, "blockres", name) | {"segments": int(found[1])}
        if _MIT_ONLINE_FILE.match(name):
            return _shift(8, "blockres", name)
        if found := _OWN_FILE.fullmatch(name):
            share = Fraction(found[2].replace("_", "/"))
            return {"fraction": share, "placement": found[1], "direction": found[3]}
    return {}


def _shift(divisor: int, place: str, name: str) -> dict[str, Any]:
    causal = "online" in name
    return {
        "fraction": Fraction(1 if causal else 2, divisor),
        "placement": "residual" if place == "blockres" else "inplace",
        "direction": "unidirectional" if causal else "bidirectional",
    }


def released_otherwise(path: Path, **asked: Any) -> str | None:
    """A line where the name of a released checkpoint says that it was trained with something else than is ``asked``,
    see ``released_settings``; None: it does not."""
    trained = released_settings(path)
    differing = [name for name, value in asked.items() if trained.get(name, value) != value]
    if not differing:
        return None
    was, now = (", ".join(f"{name} {values[name]}" for name in differing) for values in (trained, asked))
    causal = "direction" in differing and asked["direction"] == "unidirectional"
    why = "; a causal network never sees the next frame" if causal else ""
    return f"{path.name} was trained with {was}, as its name says, and is asked for with {now}{why}"


def learned(network: Module) -> Module:
    """``network`` with normalisations that have learned something (changed in place): a strategy that folds them into
    weights and forgets a part of them is not found out with those of an untrained network."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and module.affine and module.track_running_stats:
            assert module.running_var is not None and module.running_mean is not None
            for scale in (module.weight.data, module.running_var):
                scale.uniform_(0.8, 1.25, generator=generator)
            for offset in (module.bias.data, module.running_mean):
                offset.normal_(0.0, 0.2, generator=generator)
    return network


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Weights that are drawn meanwhile are the same each time; afterwards PyTorch's random numbers go on as before."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def disturb(parameters: Iterable[nn.Parameter]) -> None:
    """Add noise: a strategy that learns may start as the identity and still look where it must not."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(torch.randn(parameter.shape, generator=generator).to(parameter))
