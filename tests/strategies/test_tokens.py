"""Shifts of tokens, in the blocks of vision transformers, held against what is written out here."""

import copy
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.vision_transformer import EncoderBlock, VisionTransformer

from bench import models
from bench.measure.latency.traffic import count
from bench.models.network import Network, calibrate
from bench.models.small_blocks import silence
from bench.plugins.discovery import load_class, load_classes, strategy_files
from bench.sites import TokenSite
from bench.spec.axes import DIRECTIONS, PLACEMENTS, Direction, Placement, ValueNotAllowed
from bench.strategy import NotTaken, Strategy
from strategies.buffer_shift import BufferShift
from strategies.copy_shift import CopyShift
from strategies.no_shift import NoShift
from strategies.patch_shift import PatchShift
from strategies.token_shift import TokenShift

FILES = strategy_files()
CHANNELS, EDGE, CLIPS, T = 12, 7, 2, 5
SITE = TokenSite("norm1", "ln_1", "ln_2", "self_attention", 1, (EDGE, EDGE))
EQUALS = [  # all that compute what copy_shift does and take tokens
    cls
    for file in FILES
    for cls in load_classes(file)
    if cls.same_function_as == "copy_shift" and cls().refuses_site(SITE) is None and "cpu" in cls.devices
]


def tokens(clips: int = CLIPS) -> Tensor:
    return torch.randn(clips * T, 1 + EDGE * EDGE, CHANNELS, generator=torch.Generator().manual_seed(0))


@cache
def plain() -> EncoderBlock:
    torch.manual_seed(0)
    return EncoderBlock(3, CHANNELS, 2 * CHANNELS, 0.0, 0.0).eval()


def block() -> EncoderBlock:
    return copy.deepcopy(plain())


def shifted(frames: Tensor, each_way: int, direction: Direction, which: slice = slice(None)) -> Tensor:
    """Frame by frame, token by token: what the shift of channels is in words."""
    out = frames.clone()
    for number in range(len(frames)):
        first, last = number % T == 0, number % T == T - 1
        nothing = torch.zeros_like(frames[number])
        after, before = nothing if last else frames[number + 1], nothing if first else frames[number - 1]
        if direction == "bidirectional":
            out[number, which, :each_way] = after[which, :each_way]
            out[number, which, each_way : 2 * each_way] = before[which, each_way : 2 * each_way]
        else:
            out[number, which, :each_way] = before[which, :each_way]
    return out


def attended(frames: Tensor, read: Tensor) -> Tensor:
    """``frames`` and what attention makes of ``read``."""
    normed = plain().ln_1(read)
    return frames + plain().self_attention(normed, normed, normed, need_weights=False)[0]


def thought(frames: Tensor, read: Tensor) -> Tensor:
    """``frames`` and what the MLP makes of ``read``."""
    return frames + plain().mlp(plain().ln_2(read))  # type: ignore[no-any-return]


def run(strategy: Strategy, frames: Tensor, own: nn.Module | None = None) -> Tensor:
    with torch.no_grad():
        return strategy.wrap(own or block(), SITE, T).eval()(frames.clone())  # type: ignore[no-any-return]


# A shift of channels, as it is written for maps


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_shift_of_maps_is_one_of_tokens(placement: Placement, direction: Direction) -> None:
    frames = tokens()
    moved = shifted(frames, 3 if direction == "bidirectional" else 6, direction)
    with torch.no_grad():
        after = attended(moved if placement == "inplace" else frames, moved)
        want = thought(after, after)
    torch.testing.assert_close(run(CopyShift(0.5, placement, direction), frames), want)
    assert not torch.allclose(want, run(NoShift(0.0), frames))


def test_several_strategies_take_tokens_as_they_are() -> None:
    assert {"concat_shift", "pad_slice_shift", "depthwise_shift"} <= {cls.name for cls in EQUALS}


@pytest.mark.parametrize("cls", EQUALS, ids=lambda cls: cls.name)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_what_equals_the_shift_in_maps_equals_it_in_tokens(cls: type[Strategy], placement: Placement) -> None:
    frames = tokens()
    for direction in cls.directions:
        got, want = (run(kind(0.5, placement, direction), frames) for kind in (cls, CopyShift))
        torch.testing.assert_close(got, want)


def test_what_attention_reads_lies_as_it_would_without_a_shift() -> None:
    """The view with the channels in front is no copy, and a shift that keeps a layout keeps this one."""
    seen, wrapped = list[Tensor](), CopyShift(0.5).wrap(block(), SITE, T)
    wrapped.get_submodule("ln_1.net").register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    wrapped(tokens())
    assert seen[0].shape == tokens().shape and seen[0].is_contiguous()


# The class token alone


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("before", ["attention", "mlp", "both"])
@pytest.mark.parametrize("which", ["class", "all"])
def test_token_shift_is_what_it_says(which: str, before: str, placement: Placement, direction: Direction) -> None:
    frames, parts = tokens(), slice(0, 1) if which == "class" else slice(None)
    each_way = 3 if direction == "bidirectional" else 6
    with torch.no_grad():
        want = frames
        for reader, part in (("attention", attended), ("mlp", thought)):
            moved = shifted(want, each_way, direction, parts) if before in (reader, "both") else want
            want = part(moved if placement == "inplace" else want, moved)
    strategy = TokenShift(0.5, placement, direction, tokens=which, before=before)
    torch.testing.assert_close(run(strategy, frames), want)
    given = frames.clone()
    with torch.no_grad():
        strategy.wrap(block(), SITE, T).eval()(given)
    assert torch.equal(given, frames), "what a block is given is not its own to overwrite"


def test_only_the_class_token_moves() -> None:
    clip = tokens().unflatten(0, (CLIPS, T)).transpose(2, 3).unsqueeze(4)  # [N, T, C, L, 1]
    out = TokenShift(1.0).shift(clip)
    assert torch.equal(out[:, :, :, 1:], clip[:, :, :, 1:])
    assert not torch.isclose(out[:, :, :, 0], clip[:, :, :, 0]).any()


# Whole patches

LATER = {(0, 0): -4, (0, 1): 1, (1, 0): -1, (0, 2): 2, (2, 0): -2, (1, 2): 3, (2, 1): -3, (2, 2): 4, (1, 1): 0}


def exchanged(frames: Tensor, way: int) -> Tensor:
    """Patch by patch: each goes to the frame so many later, around the end of its clip."""
    out = frames.clone()
    for number in range(len(frames)):
        for row in range(EDGE):
            for column in range(EDGE):
                to = number // T * T + (number + way * LATER[row % 3, column % 3]) % T
                out[to, 1 + row * EDGE + column] = frames[number, 1 + row * EDGE + column]
    return out


def test_patch_shift_is_what_it_says() -> None:
    frames = tokens()
    with torch.no_grad():
        after = frames + exchanged(attended(torch.zeros_like(frames), exchanged(frames, 1)), -1)
        want = thought(after, after)
    torch.testing.assert_close(run(PatchShift(1.0), frames), want)
    assert torch.equal(exchanged(exchanged(frames, 1), -1), frames)


# What holds for all


def made(**asked: Any) -> list[Strategy]:
    kinds = [CopyShift(0.5, **asked), *(TokenShift(0.5, **asked, before=one) for one in ("attention", "mlp", "both"))]
    patches = asked.get("placement", "residual") == "residual" and "direction" not in asked
    return [*kinds, PatchShift(1.0)] if patches else kinds


def labels(strategy: Strategy) -> str:
    return f"{strategy.name}-{strategy.placement}-{strategy.values.get('before', '')}"


@pytest.mark.parametrize("strategy", [*made(), *made(placement="inplace")], ids=labels)
def test_clips_do_not_meet(strategy: Strategy) -> None:
    frames = tokens()
    changed = frames.clone()
    changed[T:] = 1 - changed[T:] ** 2
    before, after = run(strategy, frames), run(strategy, changed)
    assert torch.equal(before[:T], after[:T]) and not torch.equal(before[T:], after[T:])


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_the_past_knows_nothing_of_the_future(placement: Placement) -> None:
    frames = tokens(1)
    changed = frames.clone()
    changed[3:] = 1 - changed[3:] ** 2
    for strategy in made(placement=placement, direction="unidirectional"):
        before, after = run(strategy, frames), run(strategy, changed)
        torch.testing.assert_close(before[:3], after[:3])
        assert not torch.allclose(before[3:], after[3:])


@pytest.mark.parametrize("strategy", made(), ids=labels)
def test_the_shortcut_keeps_the_present_frame(strategy: Strategy) -> None:
    silent = block()
    silence(silent)
    assert torch.equal(run(strategy, tokens(), silent), tokens())


def test_at_fraction_zero_nothing_moves() -> None:
    for kind in (CopyShift, TokenShift, PatchShift):
        assert torch.equal(run(kind(0.0), tokens()), run(NoShift(0.0), tokens()))


@pytest.mark.parametrize("strategy", [*made(), *made(placement="inplace")], ids=labels)
def test_gradients_are_those_of_a_finite_difference(strategy: Strategy) -> None:
    wrapped = strategy.wrap(block(), SITE, T).double()
    frames = tokens(1).double().requires_grad_()
    along = torch.randn(frames.shape, dtype=frames.dtype, generator=torch.Generator().manual_seed(1))
    wrapped(frames * 1.0).sin().sum().backward()
    with torch.no_grad():
        ends = [wrapped(frames + step * along).sin().sum() for step in (1e-5, -1e-5)]
    assert frames.grad is not None
    torch.testing.assert_close((frames.grad * along).sum(), (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-5)


# Whole networks


def vit() -> Network:
    """torchvision's vision transformer, small: two blocks, 2×2 patches of 8²."""
    torch.manual_seed(0)
    trunk = VisionTransformer(16, 8, 2, 2, CHANNELS, 2 * CHANNELS, num_classes=5)
    nn.init.normal_(trunk.heads.head.weight)
    return Network(trunk, T).eval()


def test_the_sites_of_torchvisions_vit() -> None:
    found = models.sites(vit())
    assert [(name, site.path) for _, name, site in found] == [(f"encoder_layer_{number}", "ln_1") for number in (0, 1)]
    assert found[0][2] == TokenSite("norm1", "ln_1", "ln_2", "self_attention", 1, (2, 2))
    assert found[0][2].channels(found[0][0].get_submodule("encoder_layer_0")) == CHANNELS


def test_a_transformer_names_its_own_places() -> None:
    network, site = vit(), TokenSite("norm1", "ln_1", "ln_2", "self_attention", 1, (2, 2))
    network.trunk.shift_sites = {"encoder.layers.encoder_layer_1": site}
    assert [(name, own) for _, name, own in models.sites(network)] == [("encoder_layer_1", site)]


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_large_patch16_224"])
def test_the_sites_of_timms(name: str) -> None:
    """All blocks, of those with 24 as well: every second one is a custom of convolutional networks."""
    timm = pytest.importorskip("timm")
    with torch.device("meta"):
        network = timm.create_model(name)
    found = models.sites(network)
    assert len(found) == len(network.blocks)
    assert found[0][2] == TokenSite("norm1", "norm1", "norm2", "attn", 2 if "distilled" in name else 1, (14, 14))


def test_a_block_of_timms_is_shifted_as_torchvisions() -> None:
    transformers = pytest.importorskip("timm.models.vision_transformer")
    network = transformers.VisionTransformer(16, 8, num_classes=5, embed_dim=CHANNELS, depth=1, num_heads=3).eval()
    (parent, name, site), frames = models.sites(network)[0], tokens()[:, :5]
    own = parent.get_submodule(name)
    for strategy in (CopyShift(0.5), TokenShift(0.5, before="both"), PatchShift(1.0)):
        one, wrapped = copy.deepcopy(own), strategy.wrap(copy.deepcopy(own), site, T)
        with torch.no_grad():
            if isinstance(strategy, PatchShift):
                moved = strategy.wrap(copy.deepcopy(own), site, T).norm1.exchange(frames, 1)
                middle = frames + wrapped.attn.exchange(one.attn(one.norm1(moved)), -1)
            else:
                which = slice(0, 1) if strategy.name == "token_shift" else slice(None)
                middle = frames + one.attn(one.norm1(shifted(frames, 3, "bidirectional", which)))
            read = shifted(middle, 3, "bidirectional", slice(0, 1)) if strategy.name == "token_shift" else middle
            torch.testing.assert_close(wrapped(frames.clone()), middle + one.mlp(one.norm2(read)))


def test_a_strategy_that_owns_convolutions_says_in_a_line_that_it_takes_no_tokens() -> None:
    for strategy in (BufferShift(0.5), load_class("tam", FILES)(1.0)):
        with pytest.raises(NotTaken, match=r"takes no place of this network: .* not for the tokens") as caught:
            models.insert(strategy, vit())
        assert "\n" not in str(caught.value)


def test_a_shift_of_tokens_says_in_a_line_that_it_takes_no_maps() -> None:
    with pytest.raises(NotTaken, match="made for the tokens of a transformer, not for maps"):
        models.insert(TokenShift(0.5), models.build("resnet18", T))


def test_what_a_token_shift_needs_is_asked_for() -> None:
    headless, varying = TokenSite("n", "a", "b", "", 0, None), "the rows and columns of the patches vary"
    assert TokenShift(0.5).refuses_site(headless) == "there is no class token among the tokens"
    assert TokenShift(0.5, tokens="all").refuses_site(headless) is None
    registers = TokenSite("n", "a", "b", "", 4, None, class_token=False)
    assert TokenShift(0.5).refuses_site(registers) == "there is no class token among the tokens"
    assert varying in (PatchShift(1.0).refuses_site(headless) or "")
    with pytest.raises(ValueNotAllowed, match="of token_shift"):
        TokenShift(0.5, before="lunch")


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_frame_by_frame_a_network_computes_what_it_computes_in_clips(placement: Placement) -> None:
    frames = torch.randn(CLIPS * T, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    for strategy in made(placement=placement, direction="unidirectional"):
        online, state = models.go_online(strategy, vit()), None
        with torch.no_grad():
            want = models.insert(strategy, vit()).trunk(frames).unflatten(0, (CLIPS, T))
            for t in range(T):
                logits, state = online.step(frames.unflatten(0, (CLIPS, T))[:, t], state)
                torch.testing.assert_close(logits, want[:, t])


def test_another_size_of_frames_is_one_line() -> None:
    models.require_edge(vit().trunk, 16)
    with pytest.raises(ValueNotAllowed, match="reads frames of 16 px alone, not of 32"):
        models.require_edge(vit().trunk, 32)
    models.require_edge(models.build("resnet18", T).trunk, 32)


def test_branches_that_hardly_say_anything_speak_up() -> None:
    """With random weights a gain of 1e-6 would hide whatever happens in its branch."""
    transformers = pytest.importorskip("timm.models.vision_transformer")
    network = transformers.VisionTransformer(16, 8, num_classes=5, embed_dim=12, depth=1, num_heads=3, init_values=1e-6)
    calibrate(network)
    assert network.blocks[0].ls1.gamma.eq(1).all() and network.blocks[0].ls2.gamma.eq(1).all()


def test_all_products_of_attention_are_counted() -> None:
    """PyTorch's attention in one operator is taken apart while FLOPs are counted, and only then."""
    network, frames = vit(), torch.randn(T, 3, 16, 16)
    with torch.inference_mode():
        counted = count(lambda: network.trunk(frames)).flops
    tokens_, inside = T * 5, 2 * CHANNELS
    of_a_block = 2 * tokens_ * (4 * CHANNELS**2 + 2 * CHANNELS * inside) + 2 * 2 * T * 5 * 5 * CHANNELS
    assert counted > 2 * of_a_block
    assert torch.backends.mha.get_fastpath_enabled()


def test_a_network_of_zeros_at_the_end_is_given_an_answer() -> None:
    """torchvision's ViT ends with a layer of zeros, behind which no shift could be seen."""
    network = models.build("torchvision:vit_b_16", 2)
    with torch.inference_mode():
        assert network(torch.randn(2, 3, 224, 224)).abs().max() > 0
