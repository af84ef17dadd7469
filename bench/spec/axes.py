"""The vocabulary of the suite: the axes on which a case stands, and how each is written.

Five things that must never be confused: *fraction* (how much moves), *placement* (inside the residual branch
or before the whole block), *direction* (offline or causal), *mechanism* (how the bytes move: one strategy
file each) and *runtime* (where the network runs).
"""

import math
from collections.abc import Collection
from difflib import get_close_matches
from fractions import Fraction
from typing import Literal, get_args

Placement = Literal["residual", "inplace"]
Direction = Literal["bidirectional", "unidirectional"]
Dtype = Literal["fp32", "bf16", "fp16", "int8"]
MemoryFormat = Literal["nchw", "channels_last"]
Device = Literal["cpu", "cuda"]

PLACEMENTS: tuple[Placement, ...] = get_args(Placement)
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
DEVICES: tuple[Device, ...] = get_args(Device)

BASELINE = "no_shift"
"""The 2-D network without exchange between frames; every overhead and every gain is taken against it."""

BACKBONES: dict[str, str] = {
    "resnet18": "torchvision ResNet-18: 8 basic blocks",
    "resnet34": "torchvision ResNet-34: 16 basic blocks",
    "resnet50": "torchvision ResNet-50: 16 bottleneck blocks (the paper's network)",
    "resnet101": "torchvision ResNet-101: 33 bottleneck blocks; residual, every second one takes a shift, as released",
    "mobilenet_v2": "torchvision MobileNetV2: a shift in the 10 blocks that have a shortcut",
}
"""The networks whose latency can be measured; ``bench.models`` builds exactly these."""

FOLDED = "folded:"
"""Before the name of a network: with its normalisations folded into its convolutions, as it is deployed."""

ELSEWHERE = f"torchvision:NAME, timm:NAME, FILE.py:FUNCTION, package.module:function, {FOLDED}any of all these"
"""How networks from elsewhere are named; ``bench.models.backbones`` makes them."""


def is_elsewhere(backbone: str) -> bool:
    """Whether ``backbone`` is named in one of the ways of ``ELSEWHERE``."""
    return ":" in backbone


IMAGENET = "imagenet"
"""Weights by this name: those that a network's library offers, trained on ImageNet."""

Normal = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of each colour, of pixels from 0 to 1."""

IMAGENET_NORMAL: Normal = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Of ImageNet's pictures."""


def starting_weights(backbone: str, asked: str | None) -> str | None:
    """That a network begins to learn from videos with: those ``asked`` for, else its library's; None: what a network of
    one's own comes with."""
    own = is_elsewhere(backbone) and backbone.partition(":")[0] not in ("torchvision", "timm")
    return asked or (None if own else IMAGENET)


VOLUMETRIC: dict[str, str] = {
    "r3d_18": "torchvision R3D-18: 3×3×3 convolutions",
    "mc3_18": "torchvision MC3-18: 3-D convolutions in the first stage only",
    "r2plus1d_18": "torchvision R(2+1)D-18: each 3-D convolution as one in space and one in time",
    "s3d": "torchvision S3D: separable 3-D convolutions, Inception",
    "i3d_resnet50": "ResNet-50 inflated as in I3D: 3×1×1 in every second conv1, 5×7×7 stem",
}
"""3-D networks to compare with, at full size: they take no shift, only their own cost is measured."""

TRAINED_DETECTOR = "digits_fcos"
"""The detector that the detection section trains."""

DETECTORS: dict[str, str] = {
    TRAINED_DETECTOR: "FCOS on digits_resnet with a feature pyramid, for grey frames of 64²: 0.72 M parameters",
    "fcos_resnet50": "torchvision FCOS on ResNet-50 with a feature pyramid",
}
"""Detectors, frame by frame: their latency in the online section is that of all they predict, before suppression."""

ACCURACY_BACKBONE = "digits_resnet"
"""The small network of the accuracy experiment; also built by ``bench.models``."""

ACCURACY_BACKBONES: dict[str, str] = {
    ACCURACY_BACKBONE: "12 basic blocks, 0.44 M parameters",
    "digits_bottleneck": "16 bottleneck blocks, 0.22 M parameters: as deep as ResNet-50",
    "digits_vit": "a vision transformer, 6 blocks of 64 channels, 0.21 M parameters",
    "digits_r3d": "digits_resnet with 3×3×3 convolutions, inflated from the same pre-trained weights",
    "digits_r2plus1d": "digits_resnet with a 3×1×1 convolution after every 3×3 one, from the same pre-trained weights",
    "resnet50": "torchvision ResNet-50 with the two heads; for a GPU",
}
"""The networks that the accuracy experiment can train; ``bench.models`` builds exactly these."""

ACCURACY_VOLUMETRIC: tuple[str, ...] = ("digits_r3d", "digits_r2plus1d")
"""Those that exchange frames by 3-D convolutions and take no shift."""

PRETRAINED_FORM: dict[str, str] = dict.fromkeys(ACCURACY_VOLUMETRIC, ACCURACY_BACKBONE)
"""The 2-D network whose pre-trained weights a 3-D network starts from; the others start from their own."""

EAGER = "eager"
"""The runtime in which bytes are counted, and against whose output every other one is held."""

RUNTIMES: dict[str, str] = {
    EAGER: "PyTorch, operator by operator",
    "compile": "torch.compile: Inductor, weights frozen into the graph",
    "onnxruntime": "ONNX Runtime on an exported file, in fp32 or int8 (extra: runtimes)",
    "openvino": "OpenVINO on an exported file, in fp32, bf16 or int8 (extra: runtimes)",
    "cudagraph": "the whole forward captured once as a CUDA graph and replayed: no launches from Python (cuda only)",
}
"""Where a network can run; ``bench.models.runtimes`` holds one file for each but eager."""

ONLY_ON: dict[str, str] = {"cudagraph": "cuda", "onnxruntime": "cpu", "openvino": "cpu"}
"""Runtimes that exist on one device only."""

QUANTISING: tuple[str, ...] = ("onnxruntime", "openvino")
"""Runtimes that bring a tool of their own for int8: post-training quantisation, calibrated on clips."""

STREAM_RUNTIMES: dict[str, str] = {name: RUNTIMES[name] for name in ("eager", "onnxruntime", "openvino", "cudagraph")}
"""Runtimes in which a network keeps its state from frame to frame."""

DETECTION_DATASET = "cluttered_digits"
"""What the detection section trains on; ``bench.data.cluttered_digits`` renders it."""

DATASETS: dict[str, str] = {
    "ring_digits": "real handwritten digits that move on a ring; four orders of the same frames",
    "opening_digits": "real handwritten digits behind a door of real photographs; it opens, or it closes: one reversed",
}
"""What the accuracy experiment can train on; ``bench.data`` makes them."""

Objective = Literal["both", "spatial", "temporal"]
"""Which of the two classes a training is asked for; the other head stays as it was."""

View = Literal["clip", "one_frame"]
"""What a network sees of a clip: all of its frames, or a single one, drawn at random."""

MAIN = "main"
"""The accuracy section's first study, and the cohort of all arms that are no repetition."""

SECTIONS: tuple[str, ...] = ("latency", "accuracy", "online", "detection", "video")

_LARGEST_DENOMINATOR = 10_000
_ROUNDING = 1e-9  # 0.29 * 100 is 28.999…96 in binary; a count must not lose a channel to that


class Mistake(Exception):
    """What a user can put right; the message says how, in one line."""


class ValueNotAllowed(Mistake, ValueError):
    """A user's value that is not allowed; the message names it and lists what is."""


def require(value: object, allowed: Collection[object], what: str) -> None:
    """Raises ValueNotAllowed for a value that is not among ``allowed``; it names the nearest."""
    if value not in allowed:
        names = [str(one) for one in allowed]
        near = get_close_matches(str(value), names, 1)
        meant = f" (did you mean {near[0]}?)" if near else ""
        raise ValueNotAllowed(f"unknown {what} {value!r}{meant}; there are: {', '.join(names)}")


def require_backbone(name: str, known: Collection[object], what: str = "backbone") -> None:
    """Raises ValueNotAllowed for a network that is neither among ``known`` nor from elsewhere."""
    if not is_elsewhere(name):
        require(name, known, what)


def parse_fraction(text: str | float | int) -> Fraction:
    """``"1/8"``, ``"0.125"`` or ``0.125`` -> Fraction(1, 8).

    Raises ValueNotAllowed for anything that is not a number from 0 to 1.
    """
    hint = "a fraction is a number from 0 to 1, written like 1/8 or 0.125"
    try:
        value = Fraction(str(text).strip())
    except (ValueError, ZeroDivisionError):
        raise ValueNotAllowed(f"fraction {text!r} is not a number; {hint}") from None
    if not 0 <= value <= 1:
        raise ValueNotAllowed(f"fraction {text!r} is outside 0…1; {hint}")
    return value.limit_denominator(_LARGEST_DENOMINATOR)


def channels_moved(channels: int, fraction: float, direction: str) -> int:
    """How many channels move in each direction that the shift has.

    Bidirectional: floor(C * fraction / 2) forward and as many backward (the released code's ``fold_div`` is
    2 / fraction). Unidirectional: floor(C * fraction), all of them from the past.
    """
    share = fraction / 2 if direction == "bidirectional" else fraction
    return math.floor(channels * share + _ROUNDING)
