"""The mechanisms are one function: against an explicit loop, and inside whole torchvision networks."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench import models
from bench.plugins.discovery import load_class, strategy_files
from bench.spec.axes import BACKBONES, DIRECTIONS, PLACEMENTS, channels_moved

SHIFTS = ("copy_shift", "concat_shift", "buffer_shift", "native_shift")  # those that can shift a bare clip
MECHANISMS = (*SHIFTS, "view_matmul", "native_matmul", "parted_shift", "placed_shift", "triton_conv", "triton_shift")
CLASSES = {name: load_class(name, strategy_files()) for name in MECHANISMS}


def by_hand(clip: Tensor, fraction: float, direction: str) -> Tensor:
    """The definition, channel by channel: the released order, zeros where there is no neighbour."""
    out, (t, c) = clip.clone(), clip.shape[1:3]
    moved = channels_moved(c, fraction, direction)
    for frame in range(t):
        for channel in range(c):
            if direction == "bidirectional":
                source = frame + 1 if channel < moved else frame - 1 if channel < 2 * moved else frame
            else:
                source = frame - 1 if channel < moved else frame
            out[:, frame, channel] = clip[:, source, channel] if 0 <= source < t else 0
    return out


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", SHIFTS)
@pytest.mark.parametrize("fraction", [1 / 8, 0.3, 1 / 2, 1.0])
def test_the_shift_is_what_the_paper_says(name: str, direction: str, fraction: float) -> None:
    strategy = CLASSES[name](fraction, "residual", direction)  # type: ignore[arg-type]
    for t in (1, 2, 5):
        clip = torch.randn(2, t, 13, 2, 2)
        before = clip.clone()
        assert torch.equal(strategy.shift(clip), by_hand(clip, fraction, direction))
        assert torch.equal(clip, before)


class _FromTheHost(TorchDispatchMode):
    """Notes what operators return that lies elsewhere than the clip."""

    def __init__(self) -> None:
        super().__init__()
        self.made = list[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.made += [str(func) for one in tree_leaves(out) if isinstance(one, Tensor) and one.device.type != "meta"]
        return out


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("name", [*SHIFTS[:3], "triton_conv", "triton_shift", "depthwise_shift", "pad_slice_shift"])
def test_a_shift_takes_nothing_from_the_host(name: str, direction: str) -> None:
    """Such a copy cannot be captured in a CUDA graph, unless the memory is pinned."""
    strategy = load_class(name, strategy_files())(0.5, "residual", direction)  # type: ignore[arg-type]
    with _FromTheHost() as host, torch.inference_mode():
        strategy.shift(torch.empty(2, 4, 16, 3, 3, device="meta"))
    assert not host.made


def test_counts_follow_the_released_fold_div() -> None:
    assert channels_moved(64, 1 / 4, "bidirectional") == 64 // 8  # fold_div 8
    assert channels_moved(64, 1 / 8, "unidirectional") == 8
    assert channels_moved(100, 0.29, "unidirectional") == 29  # 0.29 * 100 is 28.999… in binary
    assert channels_moved(7, 1.0, "bidirectional") == 3


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "mobilenet_v2"])
def test_mechanisms_agree_in_a_whole_network(backbone: str, placement: str) -> None:
    base = models.build(backbone, 4)
    frames = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        plain = base(frames)
    able = [name for name in MECHANISMS if placement in CLASSES[name].placements]
    for fraction in (1 / 4, 1.0):
        logits = {}
        for name in able:
            network = models.insert(CLASSES[name](fraction, placement), copy.deepcopy(base))  # type: ignore[arg-type]
            with torch.inference_mode():
                logits[name] = network(frames.clone())
        scale = logits["copy_shift"].abs().max()
        assert torch.isfinite(scale) and scale > 0.01
        assert (logits["copy_shift"] - plain).abs().max() > 0.01 * scale  # the shift does something
        for name in able[1:]:
            assert (logits[name] - logits["copy_shift"]).abs().max() <= 1e-4 * scale, name


@pytest.mark.parametrize("backbone", ["digits_resnet", "digits_bottleneck"])
def test_gradients_agree_in_a_whole_network(backbone: str) -> None:
    """In double precision: in single, rounding decides on which side of a ReLU a few features fall."""
    base = models.build(backbone, 4).double()
    frames = torch.randn(8, 1, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    gradients: dict[str, list[Tensor]] = {}
    for name in MECHANISMS:
        network = models.insert(CLASSES[name](0.25), copy.deepcopy(base))
        network(frames).square().sum().backward()
        gradients[name] = [p.grad for p in network.parameters() if p.grad is not None]
    for name in MECHANISMS[1:]:
        for mine, reference in zip(gradients[name], gradients["copy_shift"], strict=True):
            assert (mine - reference).abs().max() <= 1e-9 * reference.abs().max().clamp_min(1e-6)


def test_released_checkpoint_keys_fit() -> None:
    network = models.insert(CLASSES["copy_shift"](0.25), models.build("resnet50", 8))
    assert "trunk.layer1.0.conv1.net.weight" in network.state_dict()


SITES = {"resnet18": 8, "resnet34": 16, "resnet50": 16, "resnet101": 18, "mobilenet_v2": 10}


@pytest.mark.parametrize("name", BACKBONES)
def test_backbones_are_finite_and_shifted_where_released_code_shifts(name: str) -> None:
    network = models.build(name, 2)
    assert len(list(models.sites(network))) == SITES[name]  # resnet101: 2 + 2 + 12 + 2 of 3 + 4 + 23 + 3
    with torch.inference_mode():
        logits = network(torch.randn(4, 3, 64, 64))
    assert logits.shape == (2, 1000)
    assert torch.isfinite(logits).all()
    assert 1e-3 < logits.std() < 1e3


def test_the_consensus_is_the_average_of_the_frames() -> None:
    network = models.build("resnet18", 3)
    frames = torch.randn(6, 3, 32, 32)
    with torch.inference_mode():
        each = network.trunk(frames)
        assert torch.allclose(network(frames)[1], each[3:].mean(dim=0), atol=1e-6)


def test_frames_that_are_no_whole_clips_are_refused() -> None:
    network = models.insert(CLASSES["copy_shift"](0.25), models.build("resnet18", 4))
    with pytest.raises(ValueError, match="6 frames are not a whole number of clips of 4"), torch.inference_mode():
        network(torch.randn(6, 3, 32, 32))
