"""The learnable modules are the formulas of their papers, stand where they say, and add what they say.

The formulas are written here as the papers have them: with 3-D convolutions, clip by clip, frame by frame.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, batch_norm, conv1d, conv2d, conv3d, interpolate
from torchvision.models.resnet import BasicBlock, Bottleneck

from bench import models
from bench.models.small_blocks import Reads
from bench.models.weights import disturb, learned
from bench.plugins.discovery import load_class, strategy_files
from bench.strategy import Site, Strategy

FILES = strategy_files()
SITE = Site("conv1", "conv1")
FRACTION = {
    **{"gate_shift": 1.0, "gate_shift_fuse": 0.5, "tam": 1.0, "tin": 0.5},
    **dict.fromkeys(("tea", "action_net", "tdn", "gst", "rubiks_shift"), 0.25),
}
CLASSES = {name: load_class(name, FILES) for name in (*FRACTION, "copy_shift")}
INSIDE = ("tam", "tea", "tdn", "gst")  # at the narrow part of a bottleneck, as their authors have them


def made(name: str, **parameters: Any) -> Strategy:
    return CLASSES[name](FRACTION[name], "residual", "bidirectional", **parameters)


def random_frames(clips: int, t: int, channels: int, size: int = 6) -> Tensor:
    return torch.randn(clips * t, channels, size, size, generator=torch.Generator().manual_seed(t))


def added(network: nn.Module, before: nn.Module) -> list[nn.Parameter]:
    """The parameters that ``network`` has and ``before``, of which it was made, had not."""
    known = {id(parameter) for parameter in before.parameters()}
    return [parameter for parameter in network.parameters() if id(parameter) not in known]


def trained(name: str, channels: int, t: int, **parameters: Any) -> nn.Module:
    """A block whose output is what its 1×1 identity reads, with weights that have left their start."""
    block = Reads(channels)
    own = {id(parameter) for parameter in block.parameters()}
    torch.manual_seed(0)
    wrapped = made(name, **parameters).wrap(block, SITE, t)
    disturb(parameter for parameter in wrapped.parameters() if id(parameter) not in own)
    return learned(wrapped).eval()


# What each computes: (its module, a clip [N, C, T, H, W]) -> the same shape.


def normed(norm: Any, features: Tensor) -> Tensor:
    return batch_norm(features, norm.running_mean, norm.running_var, norm.weight, norm.bias)


def volume(conv: Any) -> Tensor:
    """The 3-D filters of a ClipConv, [out, C, 3, 3, 3]."""
    return conv.taps.weight.unflatten(0, (-1, 3)).movedim(1, 2)  # type: ignore[no-any-return]


def rolled(video: Tensor, step: int) -> Tensor:
    """Each frame as the one ``step`` later, and zeros."""
    out = torch.roll(video, -step, 2)
    out[:, :, -1 if step > 0 else 0] = 0
    return out


def gated(module: Any, video: Tensor) -> list[tuple[Tensor, Tensor]]:
    """For both halves: what came, and what stayed."""
    gates = torch.tanh(conv3d(normed(module.norm, video).relu(), volume(module.gate), module.gate.bias, 1, 1, 1, 2))
    taken = [half * gate for half, gate in zip(video.chunk(2, 1), gates.split(1, 1), strict=True)]
    return [(rolled(y, s), half - y) for y, s, half in zip(taken, (1, -1), video.chunk(2, 1), strict=True)]


def gate_shift(module: Any, video: Tensor) -> Tensor:
    return torch.cat([came + stayed for came, stayed in gated(module, video)], 1)


def gate_shift_fuse(module: Any, video: Tensor) -> Tensor:
    passing, rest = video.chunk(2, 1)
    out = []
    for (came, stayed), fuse in zip(gated(module, passing), module.fuse, strict=True):
        means = torch.stack((came.mean((3, 4)), stayed.mean((3, 4))), 1)  # [N, 2, C, T]
        weight = torch.sigmoid(conv2d(means, fuse.weight, fuse.bias, padding=1)).squeeze(1)[..., None, None]
        out.append(came * weight + stayed * (1 - weight))
    return torch.cat((*out, rest), 1)


def tam(module: Any, video: Tensor) -> Tensor:
    n, c, t, h, w = video.shape
    means = video.mean((3, 4))
    kernels = module.kernels(means.reshape(n * c, t)).reshape(n * c, 1, -1, 1)
    weighed = video * module.importance(means)[..., None, None]
    reach = kernels.shape[2] // 2
    out = conv2d(weighed.reshape(1, n * c, t, h * w), kernels, padding=(reach, 0), groups=n * c)
    return out.reshape(video.shape)


def tin(module: Any, video: Tensor) -> Tensor:
    moved, (n, _, t, _, _) = video[:, : module.moved], video.shape
    means, out = moved.mean((3, 4)), video.clone()
    offsets = 4 * (torch.sigmoid(module.offset(module.squeeze(means)[:, 0])) - 0.5)
    weights = 2 * torch.sigmoid(module.importance(means))
    for clip in range(n):
        two = [float(offset) for offset in offsets[clip]]
        for group, offset in enumerate((*two, -two[0], -two[1])):
            channels = slice(group * module.moved // 4, (group + 1) * module.moved // 4)
            whole = int(offset // 1)
            for frame in range(t):
                taken = torch.zeros_like(video[clip, channels, 0])
                for moves, share in ((whole, 1 - (offset - whole)), (whole + 1, offset - whole)):
                    if 0 <= frame - moves < t:
                        taken += share * video[clip, channels, frame - moves]
                out[clip, channels, frame] = weights[clip, group % 2, frame] * taken
    return out


def rubiks_shift(module: Any, video: Tensor) -> Tensor:
    out, t = torch.zeros_like(video), video.shape[2]
    for channel, offset in enumerate(module.offsets.tolist()):
        whole = int(offset // 1)
        for frame in range(t):
            for step, share in ((whole, 1 - (offset - whole)), (whole + 1, offset - whole)):
                if 0 <= frame + step < t:
                    out[:, channel, frame] += share * video[:, channel, frame + step]
    return out


def over_time(module: Any, video: Tensor) -> Tensor:
    """A channel-wise convolution at every position."""
    n, c, _, h, w = video.shape
    rows = video.permute(0, 3, 4, 1, 2).reshape(n * h * w, c, -1)
    out = conv1d(rows, module.time.weight[..., 0], padding=1, groups=c)
    return out.reshape(n, h, w, c, -1).permute(0, 3, 4, 1, 2)


def by_frame(function: Callable[[Tensor], Tensor], video: Tensor) -> Tensor:
    return torch.stack([function(frame) for frame in video.unbind(2)], 2)


def motion(module: Any, video: Tensor, step: int = 1) -> Tensor:
    """What each frame, in a sixteenth of the channels, is away from its smoothed neighbour; zeros at the end."""
    few = by_frame(lambda frame: normed(module.norm, module.squeeze(frame)), video)
    frames = [torch.zeros_like(few[:, :, 0]) for _ in range(few.shape[2])]
    for frame in range(few.shape[2]):
        if 0 <= frame + step < few.shape[2]:
            frames[frame] = module.smooth(few[:, :, frame + step]) - few[:, :, frame]
    return torch.stack(frames, 2)


def tea(module: Any, video: Tensor) -> Tensor:
    excitation, time = module
    moved = by_frame(lambda frame: adaptive_avg_pool2d(frame, 1), motion(excitation.motion, video))
    gates = by_frame(lambda frame: torch.sigmoid(normed(excitation.norm, excitation.expand(frame))) - 0.5, moved)
    return over_time(time, video + video * gates)


def action_net(module: Any, video: Tensor) -> Tensor:
    shift, own = module
    video = over_time(shift, video)
    position = torch.sigmoid(conv3d(video.mean(1, keepdim=True), volume(own.position), padding=1))
    squeezed = by_frame(lambda frame: own.squeeze(adaptive_avg_pool2d(frame, 1)), video)
    of_time = own.time(squeezed[..., 0, 0]).relu()[..., None, None]
    channel = by_frame(lambda frame: torch.sigmoid(own.expand(frame)), of_time)
    moved = by_frame(lambda frame: adaptive_avg_pool2d(frame, 1), motion(own.motion, video))
    moving = by_frame(lambda frame: torch.sigmoid(own.expand_motion(frame)), moved)
    return (video * position + video) + (video * channel + video) + (video * moving + video)


def tdn(module: Any, video: Tensor) -> Tensor:
    own, shift = module

    def gate(moved: Tensor) -> Tensor:
        half = interpolate(own.at_half(avg_pool2d(moved, 2)), moved.shape[2:])
        return torch.sigmoid(own.expand(moved / 3 + half / 3 + own.at_full(moved) / 3)) - 0.5

    ahead, back = (by_frame(gate, motion(own.motion, video, step)) for step in (1, -1))
    return over_time(shift, video + video * (0.5 * ahead + 0.5 * back))


FORMULAS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    formula.__name__: formula for formula in (gate_shift, gate_shift_fuse, tam, tin, tea, action_net, tdn, rubiks_shift)
}


@pytest.mark.parametrize("t", [1, 2, 5])
@pytest.mark.parametrize("name", FORMULAS)
def test_it_is_its_papers_formula(name: str, t: int) -> None:
    wrapped, frames = trained(name, 32, t), random_frames(2, t, 32)
    video = frames.unflatten(0, (2, t)).transpose(1, 2)
    with torch.inference_mode():
        want = FORMULAS[name](wrapped.conv1.exchange, video).transpose(1, 2).flatten(0, 1)
        got = wrapped(frames.clone())
        lying_otherwise = wrapped(frames.contiguous(memory_format=torch.channels_last))
    assert (want - frames).abs().max() > 0.1 * frames.abs().max()
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()
    assert (lying_otherwise - want).abs().max() <= 1e-5 * want.abs().max()


@pytest.mark.parametrize("kernel", [5, 7])
def test_kernels_of_other_lengths(kernel: int) -> None:
    for t in (1, 2, 8):
        wrapped, frames = trained("tam", 16, t, kernel=kernel), random_frames(2, t, 16)
        with torch.inference_mode():
            want = tam(wrapped.conv1.exchange, frames.unflatten(0, (2, t)).transpose(1, 2))
            want = want.transpose(1, 2).flatten(0, 1)
            assert (wrapped(frames.clone()) - want).abs().max() <= 1e-5 * want.abs().max()


@pytest.mark.parametrize("stride", [1, 2])
def test_a_share_of_the_filters_of_gst_sees_three_frames(stride: int) -> None:
    block = nn.Sequential()
    block.conv1 = nn.Conv2d(8, 16, 3, stride, 1)
    spatial = block.conv1
    own = list(block.parameters())
    wrapped = made("gst").wrap(block, SITE, 5)
    side = added(wrapped, nn.ParameterList(own))
    disturb(side)
    frames = random_frames(2, 5, 8)
    before, after = side[0].split(4)
    assert spatial.bias is not None
    with torch.inference_mode():
        video = frames.unflatten(0, (2, 5)).transpose(1, 2)
        flat = conv3d(video, spatial.weight[:12, :, None], spatial.bias[:12], (1, stride, stride), (0, 1, 1))
        weight = torch.stack((before, spatial.weight[12:], after), 2)
        deep = conv3d(video, weight, spatial.bias[12:], (1, stride, stride), 1)
        want = torch.cat((flat, deep), 1).transpose(1, 2).flatten(0, 1)
        assert (wrapped(frames) - want).abs().max() <= 1e-5 * want.abs().max()


PARAMETERS: dict[str, Callable[[int, int], float]] = {  # by channels and frames, as the docstrings say
    "gate_shift": lambda c, t: 29 * c + 2,
    "gate_shift_fuse": lambda c, t: 29 * (c // 2) + 2 + 38,
    "tam": lambda c, t: 2 * t * t + 2 * 3 * t + 4 * t + (3 + 1) * c * c / 4 + c / 2,
    "tin": lambda c, t: 9 * (c // 2) + 3 + t * t + 3 * t + 2,
    "tea": lambda c, t: 2 * c * c / 16 + 9 * c / 16 + 2 * c + c / 8 + 3 * c,
    "action_net": lambda c, t: 3 * c + 27 + 4 * c * c / 16 + 3 * (c / 16) ** 2 + 11 * c / 16,
    "tdn": lambda c, t: 2 * c * c / 16 + 18 * (c / 16) ** 2 + 9 * c / 16 + 2 * c + 6 * c / 16 + 3 * c,
    "gst": lambda c, t: 2 * c * (c // 4),
    "rubiks_shift": lambda c, t: c,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_what_it_adds(name: str) -> None:
    for c, t in ((32, 8), (160, 5)):
        wrapped = made(name).wrap(Reads(c), SITE, t)
        assert sum(parameter.numel() for parameter in wrapped.parameters()) - c * c == PARAMETERS[name](c, t)


@pytest.mark.parametrize("name", FRACTION)
def test_where_it_stands(name: str) -> None:
    for block, place in (
        (Bottleneck(64, 16), "conv2" if name in INSIDE else "conv1"),
        (BasicBlock(32, 32), "conv1"),
        (Bottleneck(32, 8), "conv2" if name in ("tam", "gst") else "conv1"),  # too narrow inside for tea and tdn
    ):
        wrapped = made(name).wrap(block, SITE, 4)
        assert [key for key in wrapped.state_dict() if key.endswith(".net.weight")] == [f"{place}.net.weight"]
        plain = BasicBlock(32, 32)
        assert CLASSES[name](0.0, "residual", "bidirectional").wrap(plain, SITE, 4) is plain
        assert not any("net" in key for key in plain.state_dict())


@pytest.mark.parametrize(
    ("name", "channels"), [("gate_shift", 1), ("gate_shift_fuse", 3), ("tam", 3), ("tin", 7), ("tea", 15), ("tdn", 8)]
)
def test_what_is_too_narrow_is_refused(name: str, channels: int) -> None:
    strategy, block = made(name), Reads(channels)
    assert strategy.refuses(channels) and not strategy.refuses(64)
    layer = block.conv1
    assert strategy.wrap(block, SITE, 4).conv1 is layer


@pytest.mark.parametrize("name", ["gate_shift", "gst"])
@pytest.mark.parametrize("backbone", ["digits_bottleneck", "mobilenet_v2"])
def test_a_whole_network_is_kept_at_first(name: str, backbone: str) -> None:
    base, frames = models.build(backbone, 4), torch.randn(8, 1 if backbone.startswith("digits") else 3, 32, 32)
    with torch.inference_mode():
        want = base(frames)
        got = models.insert(made(name), base)(frames)
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()


@pytest.mark.parametrize(
    ("name", "part", "first"), [("tea", 1, 24), ("action_net", 0, 0), ("tdn", 1, 0), ("rubiks_shift", None, 0)]
)
def test_it_begins_as_a_shift(name: str, part: int | None, first: int) -> None:
    """As TSM's, of a quarter of the channels, from ``first`` on."""
    frames, module = random_frames(2, 4, 32), made(name).wrap(Reads(32), SITE, 4).conv1.exchange
    shifted = CLASSES["copy_shift"](0.25).shift(frames.roll(-first, 1).unflatten(0, (2, 4))).flatten(0, 1)
    with torch.inference_mode():
        got = (module if part is None else module[part])(frames)
    noise = 2e-3 if name == "rubiks_shift" else 0.0  # of its offsets, in frames
    assert (got - shifted.roll(first, 1)).abs().max() <= noise * frames.abs().max()


@pytest.mark.parametrize("name", FRACTION)
@pytest.mark.parametrize("backbone", ["digits_resnet", "digits_bottleneck"])
def test_gradients_reach_every_weight_of_a_network(name: str, backbone: str) -> None:
    torch.manual_seed(0)
    network = models.build_trainable(backbone, 4)
    own = {id(parameter) for parameter in network.parameters()}
    models.insert(made(name), network).train()
    new = {key: parameter for key, parameter in network.named_parameters() if id(parameter) not in own}
    with torch.no_grad():
        for parameter in new.values():
            parameter.add_(0.05 * torch.randn(parameter.shape))
    network(torch.randn(8, 1, 32, 32)).square().sum().backward()
    reached: dict[str, bool] = {}
    for key, parameter in new.items():
        assert parameter.grad is not None and parameter.grad.isfinite().all()
        of_module = key.rpartition("conv")[2]
        reached[of_module] = reached.get(of_module, False) or bool(parameter.grad.any())
    assert all(reached.values()), reached


@pytest.mark.parametrize("name", FRACTION)
def test_it_takes_dtype_layout_and_mode_from_its_layer(name: str) -> None:
    block = Bottleneck(64, 16).bfloat16().to(memory_format=torch.channels_last).eval()
    own = nn.ParameterList(block.parameters())
    wrapped = made(name).wrap(block, SITE, 4)
    assert not any(module.training for module in wrapped.modules())
    assert {parameter.dtype for parameter in added(wrapped, own)} == {torch.bfloat16}
    frames = random_frames(2, 4, 64).bfloat16().contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        out = wrapped(frames)
    assert out.dtype == torch.bfloat16 and out.isfinite().all()
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", FRACTION)
def test_training_in_bf16(name: str) -> None:
    """Under autocast, modules meet features of one dtype with weights of another."""
    network = models.insert(made(name), models.build_trainable("digits_bottleneck", 4)).train()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(torch.randn(8, 1, 32, 32))
    logits.float().square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters() if parameter.grad is not None)
