"""Strategies that learn: what a stranger would write passes; what breaks a property is shown where it does."""

from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from bench import models
from bench.models.small_blocks import Reads
from bench.plugins.conformance import conformance, reference_of
from bench.plugins.discovery import configured, load_class, strategy_files
from bench.plugins.subject import Subject
from bench.plugins.whole_network import equal_in_network, gradients_in_network, network_to_test_in, shortcut_in_network
from bench.spec.axes import PLACEMENTS, Placement
from bench.spec.cases import Variant
from bench.strategy import NotTaken, Parameter, Site, Strategy, as_clip


class Gate(nn.Module):
    """Weigh channels by what the clip holds on average. In fp32 with PyTorch's own start, whatever it stands before."""

    def __init__(self, net: nn.Module, channels: int, num_segments: int, kernel: int) -> None:
        super().__init__()
        self.net, self.num_segments = net, num_segments
        self.weigh = nn.Conv1d(channels, channels, kernel, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(channels)

    def means(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> [N, C, T]."""
        return clip.mean((3, 4)).transpose(1, 2)

    def gate(self, frames: Tensor) -> Tensor:
        clip = as_clip(frames, self.num_segments)
        return torch.sigmoid(self.weigh(self.means(clip))).transpose(1, 2).flatten(0, 1)[:, :, None, None]

    def forward(self, frames: Tensor) -> Tensor:
        return self.net(self.norm(frames * self.gate(frames)))  # type: ignore[no-any-return]


class Gated(Strategy):
    """Gates channels."""

    name = "gated"
    fractions = (1.0,)
    directions = ("bidirectional",)
    kernel = Parameter(3, (3, 5), "frames that the gate reads")
    module: ClassVar[type[Gate]] = Gate

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        if self.fraction == 0:
            return block
        net = block if self.placement == "inplace" else site.layer(block)
        gate = self.module(net, site.channels(block), num_segments, self.kernel)
        return gate if self.placement == "inplace" else site.replace(block, gate)


def checked(cls: type[Strategy], placement: Placement = "residual") -> dict[str, Any]:
    """{check: its result}."""
    variant = Variant(cls.name, Fraction(1), placement, "bidirectional")
    return {result.check: result for result in conformance(cls, variant, reference_of(cls, strategy_files()))}


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("name", ["gated", "gated[kernel=5]"])
def test_a_gate_with_default_initialisation_passes(name: str, placement: Placement) -> None:
    cls = configured(Gated, name)
    assert (cls.name, cls().kernel) == (name, 5 if "5" in name else 3)  # type: ignore[attr-defined]
    assert [result for result in checked(cls, placement).values() if result.ok is not True] == []


class OverTheBatch(Gate):
    def means(self, clip: Tensor) -> Tensor:
        return clip.mean((0, 1, 3, 4), keepdim=True)[..., 0, 0].transpose(1, 2).expand(len(clip), -1, clip.shape[1])


class Differences(Gate):
    """What leaks stays the same where all features grow alike."""

    def means(self, clip: Tensor) -> Tensor:
        moved = (clip - clip.roll(1, 1)).square().mean((0, 3, 4))  # [T, C]
        return moved.T.expand(len(clip), -1, -1)


class Detached(Gate):
    def gate(self, frames: Tensor) -> Tensor:
        return super().gate(frames).detach()


class Shorter(Gate):
    def forward(self, frames: Tensor) -> Tensor:
        return super().forward(frames)[:-1]


class Narrower(Gate):
    def forward(self, frames: Tensor) -> Tensor:
        return self.net((frames * self.gate(frames))[:, 1:])  # type: ignore[no-any-return]


class Collects(Gate):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.seen: list[Tensor] = []

    def gate(self, frames: Tensor) -> Tensor:
        self.seen.append(super().gate(frames))
        return self.seen[-1]


class Counts(Gate):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.register_buffer("batches", torch.zeros(()))

    def gate(self, frames: Tensor) -> Tensor:
        self.batches += 1
        return super().gate(frames)


class Forgets(Gate):
    """What it drew at random is neither a parameter nor a buffer."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.scale = torch.rand(()).item()

    def gate(self, frames: Tensor) -> Tensor:
        return super().gate(frames) * self.scale


class Overflows(Gate):
    def gate(self, frames: Tensor) -> Tensor:
        return super().gate(frames) * (float("inf") if frames.dtype == torch.bfloat16 else 1.0)


BREAKS: dict[type[Gate], tuple[str, str]] = {
    OverTheBatch: ("clips_apart", "changing the clip between changes another clip: clip 0, frame 0, channel"),
    Differences: ("clips_apart", "changing the clip between changes another clip: clip 0, frame 0, channel"),
    Detached: ("gradients", "the gradient of conv1.weigh.weight is missing"),
    Shorter: ("shape", "shape becomes torch.Size([1, 16, 4, 4]) instead of torch.Size([2, 16, 4, 4]) at T=1, C=16"),
    Narrower: ("shape", "shape becomes torch.Size([2, 15, 4, 4]) instead of torch.Size([2, 16, 4, 4]) at T=1, C=16"),
    Collects: ("stateless", "it holds 128 numbers more than after the second"),
    Counts: ("stateless", "conv1.batches changes from batch to batch"),
    Forgets: ("checkpoint", "another copy with its state dict: clip 0, frame 0"),
    Overflows: ("finite", "NaN or infinity in the output at T=1 in torch.bfloat16"),
}


@pytest.mark.parametrize("module", BREAKS, ids=lambda module: module.__name__)
def test_what_a_module_breaks_is_named_with_a_counter_example(module: type[Gate]) -> None:
    check, complaint = BREAKS[module]
    broken = checked(type("Stranger", (Gated,), {"name": "stranger", "module": module}))[check]
    assert broken.ok is False and complaint in broken.detail, broken


def test_what_is_built_is_the_same_each_time_and_random_numbers_go_on_as_before() -> None:
    blocks = Reads(16), Reads(16)
    torch.manual_seed(3)
    want = torch.rand(2)
    torch.manual_seed(3)
    first, second = (Subject(lambda: Gated(1.0), None, "cpu").built(block, 1) for block in blocks)
    assert torch.equal(torch.rand(2), want)
    assert torch.equal(first.conv1.weigh.weight, second.conv1.weigh.weight)


class FasterGate(Gate):
    """The same function, written in another way."""

    def forward(self, frames: Tensor) -> Tensor:
        return self.net(self.norm(self.gate(frames) * frames))  # type: ignore[no-any-return]


class OtherGate(Gate):
    def gate(self, frames: Tensor) -> Tensor:
        return super().gate(frames) ** 2


@pytest.mark.parametrize(("module", "equal"), [(FasterGate, True), (OtherGate, False)])
def test_a_speed_variant_of_what_learns_is_held_against_the_same_weights(module: type[Gate], equal: bool) -> None:
    fast = type("Fast", (Gated,), {"name": "fast", "module": module, "same_function_as": "gated"})
    variant = Variant("fast", Fraction(1), "residual", "bidirectional")
    results = {result.check: result.ok for result in conformance(fast, variant, Gated)}
    assert (results["equal_in_block"], results["equal_in_network"]) == (equal, equal)


def refusing(refuses: Callable[[int], str | None]) -> type[Gated]:
    return type("Choosy", (Gated,), {"name": "choosy", "refuses": lambda self, channels: refuses(channels)})


def test_what_a_strategy_refuses_is_left_as_it_is_and_the_rest_is_proven() -> None:
    seen: list[int] = []

    class Watched(Gate):
        def __init__(self, net: nn.Module, channels: int, *rest: Any) -> None:
            seen.append(channels)
            super().__init__(net, channels, *rest)

    def refuses(channels: int) -> str | None:
        return None if channels >= 24 and channels % 8 == 0 else "it needs 24 channels, in eights"

    cls = refusing(refuses)
    cls.module = Watched
    assert [result for result in checked(cls).values() if result.ok is False] == []
    assert set(seen) == {24}
    strategy, network = cls(1.0), models.build("digits_resnet", 4)
    counts = [site.channels(parent.get_submodule(name)) for parent, name, site in models.sites(network)]
    models.insert(strategy, network)
    taken = [module.weigh.in_channels for module in network.modules() if isinstance(module, Gate)]
    assert taken == [count for count in counts if count >= 24] and 0 < len(taken) < len(counts)
    left = f"{len(counts) - len(taken)} of {len(counts)} places are left as they are: it needs 24 channels, in eights"
    assert strategy.fallbacks == [left]


def test_a_network_of_which_nothing_is_taken_says_why() -> None:
    cls = refusing(lambda channels: None if channels == 248 else "it needs 248 channels")
    with pytest.raises(NotTaken, match="choosy takes no place of this network: it needs 248 channels"):
        models.insert(cls(1.0), models.build("digits_resnet", 4))
    subject = Subject(partial(cls, 1.0), partial(cls, 1.0), "cpu")
    assert subject.channels == 248
    with pytest.raises(NotTaken):
        equal_in_network(subject)
    none = checked(refusing(lambda channels: "it needs an odd moon"))["shape"]
    assert none.ok is False and "choosy takes no usual count of channels: it needs an odd moon" in none.detail


def test_a_gate_is_proven_in_a_whole_network_too() -> None:
    subject = Subject(lambda: Gated(1.0), None, "cpu", network_to_test_in("digits_resnet"))
    for check in (shortcut_in_network, gradients_in_network):
        check(subject)


class TwoFar(Strategy):
    """Channels come from ``far`` frames earlier."""

    name = "far"
    far = Parameter(1, (1, 2), "frames")

    def shift(self, clip: Tensor) -> Tensor:
        moved, out = self.channels_each_way(clip.shape[2]), clip.clone()
        out[:, self.far :, :moved] = clip[:, : -self.far, :moved]
        out[:, : self.far, :moved] = 0
        return out


def test_values_hold_wherever_a_strategy_is_made_anew() -> None:
    """Frame by frame the default looks at a clip of two frames; a second strategy that looks farther finds nothing."""
    axes = (0.5, "residual", "unidirectional")
    assert TwoFar(*axes).recalled(8) == [0, 1, 2, 3]  # type: ignore[arg-type]
    assert TwoFar(*axes, far=2).recalled(8) == []  # type: ignore[arg-type]
    assert (TwoFar(far=2).values, TwoFar.parameters()["far"].default) == ({"far": 2}, 1)
    for wrong, complaint in (({"far": 3}, "unknown far of far 3; there are: 1, 2"), ({"near": 1}, "'near'")):
        with pytest.raises(ValueError, match=complaint):
            TwoFar(**wrong)


def test_a_strategy_of_the_suites_own_that_learns_passes() -> None:
    cls = load_class("temporal_conv", strategy_files())
    assert [result for result in checked(cls).values() if result.ok is False] == []
