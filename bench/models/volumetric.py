"""3-D networks at full size, to compare their cost with a shift's: torchvision's own, and an inflated ResNet-50.

torchvision's are as they come: 400 classes (Kinetics), time strided inside, pooled over time at the end. On a CPU they
pay for PyTorch's 3-D operators too: in fp32 a 3-D kernel that is 1×1 in space takes a slow path (``slow_conv3d``) with
one thread or at batch 1, most of all in r2plus1d_18 and s3d.
The inflated ResNet-50 is the 2-D one but for its convolutions over time: they alone set the two apart.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.models.resnet import Bottleneck
from torchvision.models.video import mc3_18, r2plus1d_18, r3d_18, s3d

from bench.models.network import ClipNetwork, Network
from bench.models.over_time import OverTime, VolumeConv
from bench.spec.axes import ValueNotAllowed

S3D_MIN_FRAMES = 5
"""S3D halves time three times, the last time without padding: 5 frames become 3, 2, 1, but 4 become 2, 1, none."""

_S3D_POOL = (2, 7, 7)  # frames, rows and columns that torchvision averages before it classifies
_I3D_STEM_FRAMES, _I3D_EVERY = 5, 2


class _PoolWhatIsThere(nn.Module):
    """torchvision's average pooling in S3D, with a window that is no larger than the features.

    torchvision's own needs 2×7×7 features, so at least 13 frames of 224². From there on this is the same function; in
    smaller clips it averages all there is. One dimension after the other: ``avg_pool3d`` knows no bf16 on a CPU.
    """

    def forward(self, features: Tensor) -> Tensor:
        """[N, C, T, H, W] -> [N, C, T', H', W']."""
        for dimension, window in enumerate(_S3D_POOL, start=2):
            features = features.unfold(dimension, min(window, features.shape[dimension]), 1).mean(dim=-1)
        return features


def s3d_for_short_clips() -> nn.Module:
    """torchvision's S3D, which here runs from ``S3D_MIN_FRAMES`` frames of 32² on."""
    network: nn.Module = s3d()
    network.avgpool = _PoolWhatIsThere()
    return network


def i3d_resnet50(num_segments: int) -> nn.Module:
    """ResNet-50 inflated as I3D 3×1×1 of "Non-local Neural Networks" (Wang et al., arXiv 1711.07971, section 4).

    As there: the stem is 5×7×7; the first 1×1 convolution of every second residual block is 3×1×1; all other kernels
    see one frame; 2-D weights are repeated over time and divided by the number of taps.
    Unlike there: no stride in time. The paper reads 32 frames and halves their number in the stem and in its poolings;
    here as many frames come out of every layer as go in, 8 in a clip of 8, and pooling is over space. "Every second
    block" is counted through the network from the first on: 8 of the 16. (mmaction2's configuration has 9: all three of
    the first stage, 2, 3, and 1.) The paper's FLOPs are therefore not this network's. It keeps the 2-D one's 1000
    classes.

    forward: frames [N*T, 3, H, W] -> frame logits [N*T, 1000]; their average over a clip is what pooling over time
    before the linear classifier would give.
    """
    network: nn.Module = resnet50()
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
    return network


_OF_CLIPS: dict[str, Callable[[], nn.Module]] = {
    "r3d_18": r3d_18,
    "mc3_18": mc3_18,
    "r2plus1d_18": r2plus1d_18,
    "s3d": s3d_for_short_clips,
}
_OF_FRAMES: dict[str, Callable[[int], nn.Module]] = {"i3d_resnet50": i3d_resnet50}
NAMES = (*_OF_CLIPS, *_OF_FRAMES)


def volumetric(name: str, num_segments: int) -> Network:
    """One of ``NAMES``, with weights from the global random state, not yet calibrated.

    Raises ValueNotAllowed where clips of ``num_segments`` frames are too short for it.
    """
    if name in _OF_FRAMES:
        return Network(_OF_FRAMES[name](num_segments), num_segments, takes_shift=False)
    if name == "s3d" and num_segments < S3D_MIN_FRAMES:
        raise ValueNotAllowed(
            f"s3d needs clips of at least {S3D_MIN_FRAMES} frames, not {num_segments}: it halves time three times"
        )
    return ClipNetwork(_OF_CLIPS[name](), num_segments)
