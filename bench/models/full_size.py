"""The networks whose latency is measured: random weights from a fixed seed, calibrated.

BatchNorm statistics are taken from one pass of random frames, so that activations stay near unit scale in every layer:
latency then does not depend on denormal or infinite values.
"""

import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, resnet18, resnet34, resnet50, resnet101

from bench.models import volumetric
from bench.models.detectors import detector_to_time
from bench.models.network import Network, channels_of
from bench.models.trainable import build_trainable
from bench.spec.axes import ACCURACY_BACKBONES, BACKBONES, DETECTORS, VOLUMETRIC, ValueNotAllowed

_CALIBRATION_FRAMES, _CALIBRATION_SIZE = 8, 64
_CALIBRATION_CLIPS = 2  # so that the last layer of a 3-D network, which may have 2×2 features, sees a few values
_MAKERS = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "mobilenet_v2": mobilenet_v2,
}


def build(name: str, num_segments: int, seed: int = 0) -> Network:
    """A network for RGB frames [N*T, 3, H, W] with random weights, calibrated, in evaluation mode.

    name: one of ``axes.BACKBONES`` (1000 classes), ``axes.VOLUMETRIC`` or ``axes.DETECTORS``. The small networks of the
    accuracy experiment are built too, as ``build_trainable`` does; these and the trained detector read grey frames.
    Raises ValueNotAllowed for an unknown name, and where a 3-D network needs more frames.
    """
    if name in ACCURACY_BACKBONES and name not in _MAKERS:
        return build_trainable(name, num_segments, seed)
    if name not in _MAKERS and name not in volumetric.NAMES and name not in DETECTORS:
        known = (*BACKBONES, *VOLUMETRIC, *DETECTORS)
        raise ValueNotAllowed(f"unknown backbone {name!r}; there are: {', '.join(known)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if name in DETECTORS:
            network = detector_to_time(name, num_segments)
            _calibrate(network.trunk, _random_frames(_CALIBRATION_FRAMES, channels_of(network.trunk)))
        elif name in _MAKERS:
            network = Network(_MAKERS[name](), num_segments)
            _calibrate(network.trunk, _random_frames(_CALIBRATION_FRAMES))
        else:
            network = volumetric.volumetric(name, num_segments)
            _calibrate(network, _random_frames(_CALIBRATION_CLIPS * num_segments))
    return network.eval()


def _random_frames(count: int, channels: int = 3) -> Tensor:
    return torch.randn(count, channels, _CALIBRATION_SIZE, _CALIBRATION_SIZE)


def _calibrate(network: nn.Module, frames: Tensor) -> None:
    """Set every BatchNorm's statistics from one batch."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(frames)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
