"""The formulations for deployment are the released shift, in blocks of any shape, for any number of clips."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

from bench import models
from bench.models.small_blocks import features_for, features_taken, residual_blocks, site_in
from bench.models.weights import learned
from bench.ops.residual import PartedBlock, SplitConvolution
from bench.plugins.discovery import load_class, load_classes, strategy_files
from bench.strategy import Site, Strategy

FILES = strategy_files()
SPLIT = ("split_input_shift", "split_output_shift", "aligned_split_shift")
FORMULATIONS = (
    "frame_concat_shift",
    "frame_concat_shift[edges=pad]",
    "pad_slice_shift",
    "gather_shift",
    "depthwise_shift",
    "parted_shift",
    "parted_shift[edges=pad]",
    "placed_shift",
    *SPLIT,
)
CLASSES = {name: load_class(name, FILES) for name in ("copy_shift", *FORMULATIONS)}


def conv_and_norm(channels: int, out: int, stride: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))


BLOCKS = {
    "bottleneck": (Bottleneck(36, 9), Site("conv1", "conv1")),
    "basic": (BasicBlock(36, 36), Site("conv1", "conv1")),
    "inverted": (InvertedResidual(36, 36, 1, 2), Site("conv1", "conv.0.0")),
    "narrowing": (BasicBlock(36, 24, 2, conv_and_norm(36, 24, 2)), Site("conv1", "conv1")),
}


@settings(deadline=None, max_examples=12, derandomize=True)
@given(
    name=st.sampled_from(FORMULATIONS),
    kind=st.sampled_from(sorted(BLOCKS)),
    clips=st.integers(1, 3),
    frames=st.integers(1, 5),
    fraction=st.sampled_from([1 / 8, 1 / 4, 0.3, 1 / 2, 1.0]),
    direction=st.sampled_from(["bidirectional", "unidirectional"]),
)
def test_a_block_computes_what_the_released_code_computes(
    name: str, kind: str, clips: int, frames: int, fraction: float, direction: str
) -> None:
    block, site = BLOCKS[kind]
    features = torch.randn(clips * frames, 36, 5, 4, generator=torch.Generator().manual_seed(frames))
    outs = []
    placement = "inplace" if "inplace" in CLASSES[name].placements and frames % 2 else "residual"
    for cls in (CLASSES[name], CLASSES["copy_shift"]):
        wrapped = cls(fraction, placement, direction).wrap(learned(copy.deepcopy(block)).eval(), site, frames).eval()  # type: ignore[arg-type]
        with torch.inference_mode():
            outs.append(wrapped(features.clone()))
    assert (outs[0] - outs[1]).abs().max() <= 1e-5 * outs[1].abs().max()


@pytest.mark.parametrize("name", SPLIT)
def test_the_split_layer_takes_its_normalisation_into_its_weights(name: str) -> None:
    block = CLASSES[name](0.25).wrap(learned(copy.deepcopy(BLOCKS["bottleneck"][0])).eval(), BLOCKS["bottleneck"][1], 4)
    assert isinstance(block.conv1, SplitConvolution) and isinstance(block.bn1, nn.Identity)
    assert isinstance(block.conv1.norm, nn.BatchNorm2d)
    kept = block.conv1.norm.running_mean
    assert kept is not None
    before = kept.clone()
    block.train()(torch.randn(4, 36, 5, 4))
    assert not torch.equal(kept, before)  # in training it normalises, and learns, as ever


@pytest.mark.parametrize("name", SPLIT)
def test_a_grouped_layer_is_refused(name: str) -> None:
    block = Bottleneck(32, 8)
    block.conv1 = nn.Conv2d(32, 8, 1, groups=2)
    with pytest.raises(ValueError, match=f"{name} splits plain convolutions only"):
        CLASSES[name](0.25).wrap(block, Site("conv1", "conv1"), 2)


def test_parts_are_handed_from_block_to_block() -> None:
    """In a whole network only the first block slices channels, and only the last gives one tensor."""
    network = models.insert(CLASSES["parted_shift"](0.25), models.build("resnet18", 2))
    blocks = [module for module in network.modules() if isinstance(module, PartedBlock)]
    given = []
    for block in blocks:
        block.register_forward_hook(lambda _, args, out: given.append((type(args[0]), type(out))))
    with torch.inference_mode():
        network(torch.randn(4, 3, 32, 32))
    assert given == [(torch.Tensor, tuple), *[(tuple, tuple)] * 6, (tuple, torch.Tensor)]
    given.clear()
    network.train()(torch.randn(4, 3, 32, 32)).sum().backward()
    assert given == [(torch.Tensor, torch.Tensor)] * 8


def test_where_blocks_do_not_follow_each_other_they_hand_on_one_tensor() -> None:
    network = models.insert(CLASSES["parted_shift"](0.25), models.build("resnet101", 1))
    third = [network.trunk.layer3[index] for index in (20, 21, 22)]
    assert [isinstance(block, PartedBlock) for block in third] == [True, False, True]
    with torch.inference_mode():
        assert isinstance(third[0](torch.randn(1, 1024, 2, 2)), torch.Tensor)
        # 22 is followed by the first block of the next stage
        assert isinstance(third[2](torch.randn(1, 1024, 2, 2)), tuple)


def test_a_block_that_cannot_be_parted_is_shifted_in_one_tensor_and_says_so() -> None:
    block = Bottleneck(32, 8)
    block.conv1 = nn.Conv2d(32, 8, 1, groups=2)
    strategy = CLASSES["parted_shift"](0.25)
    wrapped = strategy.wrap(learned(copy.deepcopy(block)).eval(), Site("conv1", "conv1"), 2)
    want = CLASSES["copy_shift"](0.25).wrap(learned(copy.deepcopy(block)).eval(), Site("conv1", "conv1"), 2)
    frames = torch.randn(4, 32, 3, 3)
    torch.testing.assert_close(wrapped(frames), want(frames))
    assert strategy.fallbacks == ["Bottleneck is no residual block of plain convolutions: shifted in one tensor"]


def test_a_deep_copy_is_a_network_of_its_own() -> None:
    """OpenVINO is given a copy in fp32 of a network in bf16."""
    network = models.insert(CLASSES["parted_shift"](0.25), models.build("digits_bottleneck", 2)).eval()
    frames = torch.randn(4, 1, 32, 32)
    with torch.inference_mode():
        before = network(frames)
        other = copy.deepcopy(network)
        for parameter in other.parameters():
            parameter.mul_(1.1)
        assert torch.equal(network(frames), before)
        assert not torch.allclose(other(frames), before)
        torch.testing.assert_close(copy.deepcopy(network.bfloat16()).float()(frames), before, rtol=0.1, atol=0.1)


class _MadeOn(TorchDispatchMode):
    """Where the tensors that operators give lie; numbers apart, which a kernel takes as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.devices |= {own.device.type for own in tree_leaves(out) if isinstance(own, Tensor) and own.dim()}
        return out


ON_META = [cls for file in FILES if file.stem != "triton_conv" for cls in load_classes(file)]  # autocast: not on meta


@pytest.mark.parametrize("cls", ON_META, ids=lambda cls: cls.name)
def test_nothing_is_made_on_the_host_and_copied(cls: type[Strategy]) -> None:
    """On a GPU such a copy waits for the device, and a CUDA graph cannot be captured over it."""
    torch.manual_seed(0)
    strategy = cls((cls.fractions or (0.25,))[0])
    features = features_taken(strategy)[0]
    plain = residual_blocks(features, 16)[-1]
    block = strategy.wrap(plain, site_in(plain), 4).to("meta").eval()
    frames = torch.empty(features_for(features, 8, 16), device="meta")
    with torch.inference_mode(), _MadeOn() as made:
        block(frames)
    assert made.devices == {"meta"}
