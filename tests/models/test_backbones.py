"""The networks: sizes, where they take a strategy, and that 3-D ones start out as the 2-D network they come from."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv3d, cross_entropy
from torchvision.models import resnet50

from bench import models
from bench.models.full_size import i3d_resnet50, s3d_for_short_clips
from bench.models.inflation import OverTime, SpaceThenTime, VolumeConv
from bench.spec.axes import ACCURACY_BACKBONES, ACCURACY_VOLUMETRIC, VOLUMETRIC, ValueNotAllowed
from strategies.copy_shift import CopyShift
from strategies.no_shift import NoShift

SMALL = [name for name in ACCURACY_BACKBONES if name.startswith("digits_")]


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def random_frames(count: int, channels: int = 1, size: int = 32) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][key], states[1][key]) for key in states[0]
    )


@pytest.mark.parametrize("build", [models.build, models.build_trainable])
def test_an_unknown_name_is_one_line_that_lists_the_known(build) -> None:
    with pytest.raises(ValueNotAllowed, match=r"'resnet5000'; there are: .*resnet50"):
        build("resnet5000", 8)


# The networks of the accuracy experiment

SIZES = {  # millions of parameters, sites
    "digits_resnet": (0.44, 12),
    "digits_bottleneck": (0.22, 16),
    "digits_vit": (0.21, 6),
    "digits_r3d": (1.30, 0),
    "digits_r2plus1d": (0.59, 0),
    "resnet50": (23.54, 16),
}


@pytest.mark.parametrize("name", ACCURACY_BACKBONES)
def test_a_trainable_network(name: str) -> None:
    """Its size and sites, logits per frame and their average, and one step of training."""
    # 8 frames: of fewer than a 3-D kernel is deep, oneDNN's bf16 weight gradient holds memory that nobody wrote (Zen 5)
    network = models.build_trainable(name, 8, seed=1)
    assert parameters(network) / 1e6 == pytest.approx(SIZES[name][0], abs=0.005)
    assert len(list(models.sites(network))) == SIZES[name][1]
    assert all(site.layer(parent.get_submodule(at)) is not None for parent, at, site in models.sites(network))
    frames = random_frames(16)
    with torch.inference_mode():
        each = network.trunk(frames)
        assert each.shape == (16, 14)
        assert torch.allclose(network(frames), each.unflatten(0, (2, 8)).mean(dim=1), atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.train()(frames).float()
    loss = cross_entropy(logits[:, :10], torch.tensor([0, 2])) + cross_entropy(logits[:, 10:], torch.tensor([1, 0]))
    loss.backward()
    gradients = {key: value.grad for key, value in network.named_parameters()}
    assert not [key for key, gradient in gradients.items() if gradient is None or not gradient.isfinite().all()]


def test_a_seed_gives_the_same_network_and_leaves_random_numbers_alone() -> None:
    state = torch.get_rng_state()
    for name in SMALL:
        one, again, other = (models.build_trainable(name, 2, seed) for seed in (1, 1, 2))
        assert same(one, again) and not same(one, other)
    assert same(models.build("digits_resnet", 4, seed=7), models.build_trainable("digits_resnet", 4, 7))
    assert torch.equal(state, torch.get_rng_state())
    assert models.build("resnet50", 1).trunk.fc.out_features == 1000  # a name of both: build means latency's


def test_all_forms_of_a_seed_begin_with_the_same_heads() -> None:
    heads = [models.build_trainable(name, 2, seed=3).trunk.temporal.weight for name in ("digits_resnet", "digits_r3d")]
    assert torch.equal(heads[0], heads[1])


# From single frames to clips


def pretrained(name: str, temporal: int = 4) -> models.Network:
    """The 2-D form as pre-training leaves it: BatchNorm with statistics of its own, every weight somewhere else."""
    network = models.build_trainable(models.pretrained_form(name), 1, seed=5, classes=(10, temporal))
    network.train()(random_frames(32))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.02)
    return network.eval()


@pytest.mark.parametrize("num_segments", [1, 4])
@pytest.mark.parametrize("name", ACCURACY_VOLUMETRIC)
def test_inflated_networks_compute_what_the_flat_one_computes(name: str, num_segments: int) -> None:
    flat = pretrained(name)
    network = models.build_trainable(name, num_segments, seed=6)
    frames = random_frames(8)
    with torch.inference_mode():
        want = flat.trunk(frames)
        assert not torch.allclose(network.trunk(frames)[:, :10], want[:, :10], rtol=0.1)
    for _ in range(2):
        models.load_pretrained(network, flat.state_dict())
        with torch.inference_mode():
            got = network.trunk(frames)
        assert (got[:, :10] - want[:, :10]).abs().max() <= 1e-5 * want.abs().max()
        for parameter in network.parameters():  # and once more after training
            parameter.data.add_(1.0)


@pytest.mark.parametrize("name", ACCURACY_VOLUMETRIC)
def test_inflated_networks_learn_over_time_from_the_first_step(name: str) -> None:
    network = models.build_trainable(name, 4)
    models.load_pretrained(network, pretrained(name).state_dict())
    frames = random_frames(8)
    network.train()(frames).square().sum().backward()
    over_time = [module for module in network.modules() if isinstance(module, VolumeConv | OverTime)]
    assert len(over_time) == 24  # two in each of 12 blocks
    for module in over_time:
        assert module.weight.grad is not None
        assert not module.weight[:, :, [0, 2]].any()
        assert module.weight.grad[:, :, 0].any() and module.weight.grad[:, :, 2].any()
    with torch.no_grad():
        for module in over_time:
            module.weight -= 0.01 * module.weight.grad
    changed = frames.clone()
    changed[1] += 1
    with torch.inference_mode():
        moved = (network.eval().trunk(changed) - network.trunk(frames)).abs().amax(dim=1)
    assert all(moved[:4] > 0) and not moved[4:].any()  # all frames of this clip, and none of the other


@pytest.mark.parametrize("name", SMALL)
def test_the_temporal_head_is_never_loaded(name: str) -> None:
    source = pretrained(name, temporal=4)
    for temporal in (2, 4):
        network = models.build_trainable(name, 4, seed=9, classes=(10, temporal))
        head = network.trunk.temporal.weight.clone()
        models.load_pretrained(network, source.state_dict())
        assert torch.equal(network.trunk.temporal.weight, head)
        assert torch.equal(network.trunk.spatial.weight, source.trunk.spatial.weight)
        assert network.trunk.spatial.weight is not source.trunk.spatial.weight


def test_weights_that_do_not_fit_are_refused_and_change_nothing() -> None:
    network = models.build_trainable("digits_r3d", 2)
    before, state = copy.deepcopy(network), pretrained("digits_r3d").state_dict()
    for wrong, complaint in (
        ({key: value for key, value in state.items() if "stem" not in key}, "missing: trunk.stem.0.weight"),
        ({**state, "trunk.neck.weight": torch.zeros(1)}, "unknown: trunk.neck.weight"),
        (pretrained("digits_bottleneck").state_dict(), "and .* more"),
        (models.build_trainable("digits_resnet", 1, classes=(7, 4)).state_dict(), "of another shape: trunk.spatial"),
        (models.build_trainable("digits_r3d", 1).state_dict(), "of another shape: trunk.stages.0.0.conv1.weight"),
        (models.insert(CopyShift(0.25), pretrained("digits_resnet")).state_dict(), r"unknown: .*conv1.net.weight"),
    ):
        with pytest.raises(ValueError, match=complaint):
            models.load_pretrained(network, wrong)
    assert same(network, before)


def test_pretrained_forms_are_flat() -> None:
    forms = {name: models.pretrained_form(name) for name in ACCURACY_BACKBONES}
    assert {name for name, form in forms.items() if form != name} == set(ACCURACY_VOLUMETRIC)
    assert not set(forms.values()) & set(ACCURACY_VOLUMETRIC)
    with pytest.raises(ValueNotAllowed, match="'vgg'"):
        models.pretrained_form("vgg")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_convolutions_of_frames_are_convolutions_of_clips(stride: int, layout: torch.memory_format) -> None:
    flat = nn.Conv2d(5, 6, 3, stride, 1, bias=False)
    frames = random_frames(8, 5, 9).contiguous(memory_format=layout)
    clips = frames.unflatten(0, (2, 4)).transpose(1, 2).contiguous()
    volume, split = VolumeConv(flat, 4), SpaceThenTime(flat, 4)
    nn.init.normal_(volume.weight)
    nn.init.normal_(split.time.weight)
    in_space = conv3d(clips, split.weight.unsqueeze(2), stride=(1, stride, stride), padding=(0, 1, 1))
    over_time = split.time.weight.unsqueeze(-1)  # [O, I, 3, 1] -> [O, I, 3, 1, 1]
    for layer, want in (
        (volume, conv3d(clips, volume.weight, stride=(1, stride, stride), padding=1)),
        (split, conv3d(in_space, over_time, padding=(1, 0, 0))),
    ):
        got = layer(frames)
        assert torch.allclose(got, want.transpose(1, 2).flatten(0, 1), atol=1e-5 * float(want.detach().abs().max()))


# 3-D networks at full size

TORCHVISION = {"r3d_18": 33_371_472, "mc3_18": 11_695_440, "r2plus1d_18": 31_505_325, "s3d": 8_320_048}
"""Parameters as torchvision states them beside its weights."""
INFLATION = 4 * 64 * 3 * 7 * 7 + 2 * (  # the stem's four further frames; two further taps in eight conv1
    64 * 64 + 256 * 64 + 512 * 128 * 2 + 1024 * 256 * 3 + 2048 * 512
)


@pytest.mark.parametrize("name", VOLUMETRIC)
def test_volumetric_networks_run_as_flat_ones_do(name: str) -> None:
    network = models.build(name, 8)
    assert parameters(network) == TORCHVISION.get(name, 25_557_032 + INFLATION)
    with torch.inference_mode():
        logits = network(random_frames(8, 3, 64))
    assert logits.shape == (1, 1000 if name == "i3d_resnet50" else 400)
    assert logits.isfinite().all()
    assert 1e-3 < logits.std() < 1e3
    network.bfloat16()  # as the latency worker does it: the dtype first, then the layout
    models.lay_out(network, torch.channels_last)
    with torch.inference_mode():
        frames = random_frames(8, 3).bfloat16().contiguous(memory_format=torch.channels_last)
        assert network(frames).isfinite().all()


def test_volumetric_networks_take_no_shift_and_keep_clips_apart() -> None:
    full = models.build("mc3_18", 2)
    for network in (full, models.build_trainable("digits_r3d", 2)):
        assert list(models.sites(network)) == []
        modules = list(network.modules())
        assert models.insert(NoShift(0.0), network) is network
        assert list(network.modules()) == modules
        with pytest.raises(ValueError, match=r"copy_shift cannot be put into a 3-D network.* no_shift only"):
            models.insert(CopyShift(0.25), network)
    frames = random_frames(4, 3, 32)
    with torch.inference_mode():
        both, first = full(frames), full(frames[:2])
    assert torch.allclose(both[:1], first, atol=1e-5)
    with pytest.raises(ValueError, match="3 frames are not a whole number of clips of 2"):
        full(frames[:3])


def test_the_inflated_resnet_sees_a_still_clip_as_the_flat_one_sees_its_frame() -> None:
    frames, reach = 22, 2 + 8  # reach: how far from a clip's ends their zeros are felt, by the stem and eight blocks
    torch.manual_seed(3)
    flat = resnet50().eval()
    torch.manual_seed(3)
    inflated = i3d_resnet50(frames).trunk.eval()
    frame = random_frames(1, 3)
    with torch.inference_mode():
        want, got = flat(frame), inflated(frame.expand(frames, -1, -1, -1))
    off = (got - want).abs().amax(dim=1) / want.abs().max()
    assert off[reach:-reach].max() <= 1e-4
    assert off[0] > 0.01 and off[-1] > 0.01


def test_s3d_pools_as_torchvision_does_where_that_runs() -> None:
    pool = s3d_for_short_clips(8).trunk.avgpool
    for features in ((1, 3, 3), (2, 7, 7), (3, 9, 8)):
        x = torch.randn(2, 3, *features)
        if features[0] >= 2:
            assert torch.allclose(pool(x), nn.AvgPool3d((2, 7, 7), stride=1)(x), atol=1e-6)
        else:
            assert torch.allclose(pool(x).flatten(2), x.mean(dim=(2, 3, 4)).unsqueeze(2))


def test_s3d_says_how_many_frames_it_needs() -> None:
    with pytest.raises(ValueNotAllowed, match="at least 5 frames, not 4"):
        models.build("s3d", 4)
    assert models.build("s3d", 5)(random_frames(5, 3)).isfinite().all()


@pytest.mark.parametrize("name", ["digits_resnet", "digits_r3d", "digits_r2plus1d", "mc3_18"])
def test_layout_changes_no_value_and_comes_back(name: str) -> None:
    network = models.build(name, 4)
    weights, frames = list(network.parameters()), random_frames(8, 3 if name == "mc3_18" else 1)
    values = [weight.detach().clone() for weight in weights]
    with torch.inference_mode():
        before = network(frames)
        models.lay_out(network, torch.channels_last)
        after = network(frames.contiguous(memory_format=torch.channels_last))
    assert (before - after).abs().max() <= 1e-5 * before.abs().max()
    for weight, value, now in zip(weights, values, network.parameters(), strict=True):
        assert weight is now and torch.equal(weight, value)
        if weight.dim() in (4, 5):
            layout = torch.channels_last if weight.dim() == 4 else torch.channels_last_3d
            assert weight.is_contiguous(memory_format=layout)
    models.lay_out(network, torch.contiguous_format)
    assert all(weight.is_contiguous() for weight in network.parameters())
