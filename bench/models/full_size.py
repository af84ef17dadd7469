"""The networks whose latency is measured: random weights from a fixed seed, calibrated, or trained ones.

BatchNorm statistics are taken from one pass of random frames, so that activations stay near unit scale in every layer:
latency then does not depend on denormal or infinite values.

The 3-D ones are there to compare their cost with a shift's. torchvision's are as they come: 400 classes (Kinetics),
time strided inside, pooled over time at the end. On a CPU they pay for PyTorch's 3-D operators too: in fp32 a 3-D
kernel that is 1×1 in space takes a slow path (``slow_conv3d``) with one thread or at batch 1, most of all in
r2plus1d_18 and s3d. The inflated ResNet-50 differs from the 2-D one by its convolutions over time alone.
"""

from pathlib import Path

from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.resnet import Bottleneck

from bench.models.backbones import backbone as from_elsewhere
from bench.models.backbones import load_imagenet
from bench.models.detectors import detector_to_time
from bench.models.folding import fold_normalisations
from bench.models.inflation import OverTime, VolumeConv
from bench.models.network import CALIBRATION_FRAMES, ClipNetwork, Network, calibrate
from bench.models.trainable import build_trainable
from bench.models.weights import load_weights, seeded
from bench.spec.axes import (
    ACCURACY_BACKBONES,
    BACKBONES,
    DETECTORS,
    FOLDED,
    IMAGENET,
    VOLUMETRIC,
    ValueNotAllowed,
    is_elsewhere,
)

_CALIBRATION_CLIPS = 2  # so that the last layer of a 3-D network, which may have 2×2 features, sees a few values
_S3D_MIN_FRAMES = 5  # the last halving has no padding: 5 frames become 3, 2, 1, but 4 become 2, 1, none
_S3D_POOL = (2, 7, 7)  # frames, rows and columns that torchvision averages before it classifies
_I3D_STEM_FRAMES, _I3D_EVERY = 5, 2


def build(backbone: str, num_segments: int, weights: str | None = None, seed: int = 0) -> Network:
    """A network for RGB frames [N*T, 3, H, W], in evaluation mode.

    backbone: one of ``axes.BACKBONES`` (1000 classes), ``axes.VOLUMETRIC`` or ``axes.DETECTORS``, a small network as
    ``build_trainable`` builds it (these and the trained detector read grey frames), or a network from elsewhere, see
    ``backbones.backbone``; ``folded:`` before it: with its normalisations folded. weights: None, random ones from the
    seed, calibrated; a checkpoint, see ``load_weights``; or ``imagenet``, those of the network's library.
    Raises ValueNotAllowed for an unknown name, where a 3-D network needs more frames, and for weights that do not fit.
    """
    name = backbone.removeprefix(FOLDED)
    network = _random(name, num_segments, seed)
    if weights == IMAGENET:
        load_imagenet(network.trunk, name)
    elif weights is not None:
        load_weights(network, Path(weights), name)
    network.eval()
    if name != backbone:
        fold_normalisations(network.trunk)
    return network


def _random(name: str, num_segments: int, seed: int) -> Network:
    known = (*BACKBONES, *VOLUMETRIC, *DETECTORS)
    if is_elsewhere(name):
        return Network(from_elsewhere(name, seed), num_segments)
    if name in ACCURACY_BACKBONES and name not in known:
        return build_trainable(name, num_segments, seed)
    if name not in known:
        raise ValueNotAllowed(f"unknown backbone {name!r}; there are: {', '.join(known)}")
    with seeded(seed):
        if name in DETECTORS:
            network = detector_to_time(name, num_segments)
            calibrate(network.trunk, CALIBRATION_FRAMES)
        elif name in BACKBONES:
            network = Network(get_model(name), num_segments)
            calibrate(network.trunk, CALIBRATION_FRAMES)
        else:
            special = {"s3d": s3d_for_short_clips, "i3d_resnet50": i3d_resnet50}
            network = special[name](num_segments) if name in special else ClipNetwork(get_model(name), num_segments)
            calibrate(network, _CALIBRATION_CLIPS * num_segments)
    return network


class _PoolWhatIsThere(nn.Module):
    """torchvision's average pooling in S3D, with a window that is no larger than the features.

    torchvision's own needs 2×7×7 features, so at least 13 frames of 224². One dimension after the other: ``avg_pool3d``
    knows no bf16 on a CPU.
    """

    def forward(self, features: Tensor) -> Tensor:  # [N, C, T, H, W]
        for dimension, window in enumerate(_S3D_POOL, start=2):
            features = features.unfold(dimension, min(window, features.shape[dimension]), 1).mean(dim=-1)
        return features


def s3d_for_short_clips(num_segments: int) -> Network:
    """torchvision's S3D, which here runs from 5 frames of 32² on. Raises ValueNotAllowed for fewer."""
    if num_segments < _S3D_MIN_FRAMES:
        raise ValueNotAllowed(
            f"s3d needs clips of at least {_S3D_MIN_FRAMES} frames, not {num_segments}: it halves time three times"
        )
    trunk = get_model("s3d")
    trunk.avgpool = _PoolWhatIsThere()
    return ClipNetwork(trunk, num_segments)


def i3d_resnet50(num_segments: int) -> Network:
    """ResNet-50 inflated as I3D 3×1×1 of "Non-local Neural Networks" (Wang et al., arXiv 1711.07971, section 4).

    As there: the stem is 5×7×7; the first 1×1 convolution of every second residual block is 3×1×1; all other kernels
    see one frame; 2-D weights are repeated over time and divided by the number of taps.
    Unlike there: no stride in time, so the paper's FLOPs are not this network's. "Every second block" is counted from
    the first on: 8 of the 16 (mmaction2's configuration has 9). It keeps the 2-D one's 1000 classes.
    """
    network = get_model("resnet50")
    stem = network.conv1
    assert isinstance(stem, nn.Conv2d)
    network.conv1 = VolumeConv(stem, num_segments, _I3D_STEM_FRAMES)
    network.conv1.weight.data = stem.weight.data.unsqueeze(2).repeat(1, 1, _I3D_STEM_FRAMES, 1, 1) / _I3D_STEM_FRAMES
    blocks = [module for module in network.modules() if isinstance(module, Bottleneck)]
    for block in blocks[::_I3D_EVERY]:
        flat = block.conv1
        block.conv1 = OverTime(flat.in_channels, flat.out_channels, num_segments)
        taps = block.conv1.kernel_size[0]
        block.conv1.weight.data = flat.weight.data.repeat(1, 1, taps, 1) / taps
    return Network(network, num_segments, takes_shift=False)
