"""Detectors whose backbone takes a shift: FCOS, which predicts a class, a box and its centredness at every position.

FCOS (Tian et al., ICCV 2019), as torchvision has it, because it trains fastest on a CPU: one stage, no anchors to match
and no regions to sample, a loss in one expression. The trained detector is small enough for two cores: digits_resnet's
stages, a feature pyramid, and one head on its finest level, since all digits are of one size.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS, fcos_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.ops import FeaturePyramidNetwork

from bench.models.network import Network
from bench.models.trainable import DigitsResNet
from bench.models.weights import seeded
from bench.spec.axes import TRAINED_DETECTOR

Targets = list[dict[str, Tensor]]
"""For each frame: boxes [K, 4] as x1, y1, x2, y2 in px, labels [K]."""
Found = list[dict[str, Tensor]]
"""For each frame: boxes, labels and scores, best first."""

_CLASSES = 10
_WIDTH = 64  # channels of the pyramid; FCOS normalises groups of 32
_FRAME = 64  # px


class Pyramid(nn.Module):
    """digits_resnet's stem and stages, and the finest level of a feature pyramid over the last three of them."""

    def __init__(self) -> None:
        super().__init__()
        network, self.out_channels = DigitsResNet(), _WIDTH
        self.stem, self.stages = network.stem, nn.ModuleList(network.stages)  # the pyramid reads between stages
        self.fpn = FeaturePyramidNetwork(list(DigitsResNet.WIDTHS[1:]), _WIDTH)

    def forward(self, frames: Tensor) -> Tensor:
        """Grey frames [N, 1, H, W] -> [N, 64, H / 4, W / 4]."""
        first, *others = self.stages
        features, levels = first(self.stem(frames)), OrderedDict[str, Tensor]()
        for number, stage in enumerate(others):
            levels[str(number)] = features = stage(features)
        finest: Tensor = self.fpn(levels)["0"]
        return finest


class _Head(FCOSHead):  # type: ignore[misc]
    """torchvision's, whose predictions are in fp32 whatever it computes in: losses and boxes need the digits."""

    def forward(self, x: list[Tensor]) -> dict[str, Tensor]:
        """Of each position of each level: class logits, distances to the box's sides, centredness."""
        return {name: value.float() for name, value in super().forward(x).items()}


class DigitsFCOS(FCOS):  # type: ignore[misc]
    """The detector that is trained: grey frames of 64² px, ten classes."""

    def __init__(self) -> None:
        size = {"min_size": _FRAME, "max_size": _FRAME, "fixed_size": (_FRAME, _FRAME), "_skip_resize": True}
        super().__init__(
            Pyramid(),
            _CLASSES,
            **size,
            image_mean=[0.3],  # of the grey frames, about
            image_std=[0.25],
            anchor_generator=AnchorGenerator(((4,),), ((1.0,),)),  # px between two positions
            head=_Head(_WIDTH, 1, _CLASSES, num_convs=2),
            score_thresh=0.02,  # mean average precision asks for the doubtful ones too
            detections_per_img=20,
        )

    def forward(self, frames: Tensor, targets: Targets | None = None) -> Any:
        """Frames [N, 1, 64, 64] (0…1) -> ``Found``; in training, with their targets, the losses by name."""
        return super().forward(list(frames), targets)


class Detector(Network):
    """The trained detector as a network of clips, so that a strategy can be put into it."""

    def __init__(self, num_segments: int) -> None:
        super().__init__(DigitsFCOS(), num_segments)

    def forward(self, frames: Tensor, targets: Targets | None = None) -> Any:
        """Frames [N*T, 1, 64, 64] -> what ``DigitsFCOS`` gives: no consensus, every frame has its answer."""
        return self.trunk(frames, targets)

    def normalised(self, frames: Tensor) -> Tensor:
        """The same frames, as ``forward`` gives them to the backbone."""
        normal: Tensor = self.trunk.transform.normalize(frames)  # type: ignore[union-attr, operator]
        return normal


class EveryPosition(nn.Module):
    """All that an FCOS predicts, before anything is thrown away: what there is to time, whatever a frame shows."""

    def __init__(self, detector: FCOS) -> None:
        super().__init__()
        self.backbone, self.head = detector.backbone, detector.head

    def forward(self, frames: Tensor) -> Tensor:
        """[S, C, H, W] -> [S, positions, classes + 5]: class logits, distances to four sides, centredness."""
        features = self.backbone(frames)
        levels = [features] if isinstance(features, Tensor) else list(features.values())
        return torch.cat(list(self.head(levels).values()), dim=2)


def build_detector(num_segments: int, seed: int = 0) -> Detector:
    """The trained detector with random weights, in evaluation mode."""
    with seeded(seed):
        return Detector(num_segments).eval()


def detector_to_time(name: str, num_segments: int) -> Network:
    """One of ``axes.DETECTORS`` with random weights; its trunk is an ``EveryPosition``."""
    if name == TRAINED_DETECTOR:
        detector: FCOS = DigitsFCOS()
    else:
        detector = fcos_resnet50_fpn(weights=None, weights_backbone=None, num_classes=30)  # as many as ImageNet-VID has
    return Network(EveryPosition(detector), num_segments)
