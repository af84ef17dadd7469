"""Conformance over every strategy that discovery finds, and strategies that break one property each."""

import _thread
import contextlib
import ctypes
import threading
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from bench.models import Network
from bench.models.weights import learned
from bench.plugins.conformance import CHECKS, answer, conformance, reference_of, variants_of
from bench.plugins.discovery import load_class, load_classes, strategy_files
from bench.plugins.side_effects import LeftRunning, no_side_effects
from bench.plugins.subject import Broken, Subject
from bench.plugins.whole_network import IN_GIVEN_NETWORK, equal_in_network, network_to_test_in, shortcut_in_network
from bench.spec.cases import Variant
from bench.strategy import Site, Strategy
from tests.conftest import BROKEN, LEAKY, TWO_BACK

FILES = strategy_files()
_STRIDE = 4  # of the variants that ``check`` goes through: each fraction, and each placement with each direction
UNIDIRECTIONAL = Variant("honest", Fraction(1, 2), "residual", "unidirectional")


@pytest.mark.parametrize("cls", [cls for file in FILES for cls in load_classes(file)], ids=lambda cls: cls.name)
def test_every_strategy_conforms(cls: type[Strategy]) -> None:
    assert cls.summary(), "the docstring is the summary"
    reference = reference_of(cls, FILES)
    for variant in variants_of(cls)[::_STRIDE]:
        broken = [result for result in conformance(cls, variant, reference) if result.ok is False]
        assert not broken, f"{variant.label}: {broken}"


class Honest(Strategy):
    """One frame from the past."""

    name = "honest"

    def shift(self, clip: Tensor) -> Tensor:
        moved = self.channels_each_way(clip.shape[2])
        out = clip.clone()
        out[:, 1:, :moved] = clip[:, :-1, :moved]
        out[:, :1, :moved] = 0
        return out


def overwrites(self: Strategy, clip: Tensor) -> Tensor:
    moved = self.channels_each_way(clip.shape[2])
    clip[:, 1:, :moved] = clip[:, :-1, :moved].clone()
    return clip


def overwrites_patches(self: Strategy, clip: Tensor) -> Tensor:
    clip[:, :, :, 1:] = Honest.shift(self, clip)[:, :, :, 1:]  # of [N, T, C, L, 1]
    return clip


def looks_ahead(self: Strategy, clip: Tensor) -> Tensor:
    moved, out = self.channels_each_way(clip.shape[2]), clip.clone()
    out[:, :-1, :moved] = clip[:, 1:, :moved]
    return out


def raises(self: Strategy, clip: Tensor) -> Tensor:
    raise RuntimeError("not on this CPU")


def moves_one_channel_too_few(self: Strategy, clip: Tensor) -> Tensor:
    moved, out = self.channels_each_way(clip.shape[2]), clip.clone()
    out[:, 1:, 1:moved] = clip[:, :-1, 1:moved]
    return out


class Gate(nn.Module):
    """A weight for the next frame that starts at zero: what it does shows only once it has learned."""

    def __init__(self, net: nn.Module, num_segments: int) -> None:
        super().__init__()
        self.net, self.num_segments, self.gate = net, num_segments, nn.Parameter(torch.zeros(()))

    def forward(self, frames: Tensor) -> Tensor:
        clip = frames.unflatten(0, (-1, self.num_segments))
        ahead = torch.cat((clip[:, 1:], torch.zeros_like(clip[:, :1])), dim=1)
        return self.net((clip + self.gate.to(frames) * ahead).flatten(0, 1))


Shift = Callable[[Any, Tensor], Tensor]
LEAKS: Shift = lambda self, clip: clip.flatten(0, 1).roll(1, 0).view_as(clip) if self.fraction else clip  # noqa: E731
BREAKS: dict[str, tuple[str, dict[str, Any]]] = {
    "leaks": ("clips_apart", {"shift": LEAKS}),
    "overwrites": ("shortcut_exact", {"shift": overwrites}),
    "looks ahead": ("causal", {"shift": looks_ahead}),
    "learns to look ahead": ("causal", {"wrap": lambda self, block, site, segments: Gate(block, segments)}),
    "learns to leave the branch": ("shortcut_exact", {"wrap": lambda self, block, site, t: Gate(block, t)}),
    "not a number": ("finite", {"shift": lambda self, clip: clip * float("nan") if self.fraction else clip}),
    "raises": ("shape", {"shift": raises}),
    "shrinks": ("shape", {"shift": lambda self, clip: clip[:, :, 1:]}),
    "dice": ("deterministic", {"shift": lambda self, clip: clip + self.fraction * torch.rand_like(clip)}),
    "detaches": ("gradients", {"shift": lambda self, clip: Honest.shift(self, clip).detach()}),
    "claims": ("equal_in_block", {"shift": moves_one_channel_too_few, "same_function_as": "copy_shift"}),
    "moves at zero": ("identity_at_zero", {"shift": lambda self, clip: clip.flip(1) if clip.shape[1] > 1 else clip}),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_property_can_fail(name: str) -> None:
    """A check that cannot fail proves nothing: each is shown a strategy that breaks it."""
    check, attributes = BREAKS[name]
    cls = type(name, (Honest,), attributes)
    results = {result.check: result for result in conformance(cls, UNIDIRECTIONAL, reference_of(cls, FILES))}
    assert list(results) == [check.__name__ for check in CHECKS]
    assert results[check].ok is False and results[check].detail


IN_NETWORK: dict[str, tuple[str, dict[str, Any]]] = {
    "overwrites": ("shortcut_in_network", {"shift": overwrites}),
    "looks ahead": ("causal_in_network", {"shift": looks_ahead}),
    "learns to look ahead": ("causal_in_network", {"wrap": lambda self, block, site, segments: Gate(block, segments)}),
    "detaches": ("gradients_in_network", {"shift": lambda self, clip: Honest.shift(self, clip).detach()}),
    "claims": ("equal_in_network", {"shift": moves_one_channel_too_few, "same_function_as": "copy_shift"}),
}


def leaks_of_tokens(self: Strategy, clip: Tensor) -> Tensor:
    return LEAKS(self, clip) if clip.shape[-1] == 1 else Honest.shift(self, clip)


def test_what_takes_tokens_too_is_proven_on_tokens_too() -> None:
    results = {}
    for features in (None, ("maps",)):
        cls = type("leaks of tokens", (Honest,), {"shift": leaks_of_tokens, "features": features})
        results[features] = {one.check: one for one in conformance(cls, UNIDIRECTIONAL, None)}
    leak = results[None]["clips_apart"]
    assert leak.ok is False and leak.detail.startswith(
        "with the tokens of a transformer, which it takes unless it says"
    )
    assert all(one.ok for one in results["maps",].values())


@pytest.fixture(scope="module")
def network() -> Network:
    return network_to_test_in("digits_resnet")


@pytest.mark.parametrize("name", IN_NETWORK)
def test_each_property_of_a_whole_network_can_fail(name: str, network: Network) -> None:
    check, attributes = IN_NETWORK[name]
    cls = type(name, (Honest,), attributes)
    variant = replace(UNIDIRECTIONAL, placement="inplace" if name == "detaches" else "residual")
    found = conformance(cls, variant, reference_of(cls, FILES), network=network)
    results = {result.check: result for result in found}
    assert list(results) == [check.__name__ for check in (*CHECKS, *IN_GIVEN_NETWORK)]
    assert results[check].ok is False and results[check].detail


@pytest.mark.parametrize("shift", [overwrites, overwrites_patches], ids=["all tokens", "patches"])
def test_the_shortcut_of_a_token_that_no_head_reads_is_looked_at(shift: Shift) -> None:
    """The class token, which alone is read, is the same in every frame where nothing but shortcuts is left."""
    network = learned(Network(VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5), 4)).eval()
    for cls, fails in ((Honest, False), (type("overwrites", (Honest,), {"shift": shift}), True)):
        subject = Subject(partial(cls, 1 / 2), None, "cpu", network)
        with pytest.raises(Broken, match="branches that give zero") if fails else contextlib.nullcontext():
            shortcut_in_network(subject)


def test_strategies_conform_in_a_network_of_other_blocks() -> None:
    """timm's normalisations rectify too: whoever takes them for a plain one is found out in its networks only."""
    network = network_to_test_in("timm:tf_efficientnet_lite0")
    for strategy, direction in (("buffer_shift", "unidirectional"), ("split_input_shift", "bidirectional")):
        of_classes = (partial(load_class(own, FILES), 1 / 4, "residual", direction) for own in (strategy, "copy_shift"))
        subject = Subject(*of_classes, "cpu", network)
        for check in (equal_in_network, *IN_GIVEN_NETWORK):
            check(subject)


def test_the_honest_one_passes_and_a_lost_memory_format_is_a_flag() -> None:
    assert [result for result in conformance(Honest, UNIDIRECTIONAL, None) if result.ok is not True] == []
    contiguous = {"shift": lambda self, clip: clip.clone(memory_format=torch.contiguous_format)}
    results = conformance(type("Contiguous", (Honest,), contiguous), UNIDIRECTIONAL, None)
    assert {result.check: result.ok for result in results}["memory_format"] is None


def test_wrap_alone_is_enough() -> None:
    class Wraps(Strategy):
        """Nothing moves, by a wrap of its own."""

        name = "wraps"

        def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
            return nn.Sequential(block)

    results = conformance(Wraps, Variant("wraps", Fraction(1, 2), "residual", "bidirectional"), None)
    assert [result for result in results if result.ok is False] == []


def test_the_process_says_what_failed_and_what_is_worth_a_remark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # put back afterwards
    codes = {"two_back": TWO_BACK, "broken": BROKEN, "<b>leaky</b>": LEAKY}
    entries = []
    for number, (name, code) in enumerate(codes.items()):
        file = tmp_path / f"{number}.py"
        file.write_text(code)
        variant = {**UNIDIRECTIONAL.to_json(), "strategy": name}
        entries.append({"name": name, "file": str(file), "variants": [variant]})
    said: list[dict[str, Any]] = []
    answer({"files": [], "strategies": entries, "devices": ["cpu"]}, said.append)
    told = [event for event in said if event["event"] != "verdict"]
    assert [event["event"] for event in told] == ["enter", "checked"] * 3
    two_back, broken, leaky = told[1::2]
    verdicts = [event["check"] for event in said if event["event"] == "verdict"]  # each is a sign of life
    assert verdicts[: len(CHECKS)] == [check.__name__ for check in CHECKS]
    assert (two_back["failed"], two_back["flags"]) == (None, ["streams"])  # a stream remembers one frame
    assert broken["failed"].startswith("check load (loading): cannot be loaded: RuntimeError")
    assert leaky["failed"].startswith("check shortcut_exact (residual 1/2 unidirectional on cpu): the shortcut of a")


@pytest.mark.parametrize("works", [True, False])
def test_a_process_whose_device_was_broken_proves_nobody_else(
    works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an illegal access, say, everything fails in it: the others would be blamed too."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)  # put back afterwards
    entries = []
    for name, code in (("broken", BROKEN), ("two_back", TWO_BACK)):
        (tmp_path / f"{name}.py").write_text(code)
        entries.append({"name": name, "file": str(tmp_path / f"{name}.py"), "variants": [UNIDIRECTIONAL.to_json()]})
    said: list[dict[str, Any]] = []
    answer({"files": [], "strategies": entries, "devices": ["cpu"]}, said.append, lambda device: works)
    told = [(event["strategy"], event.get("broke")) for event in said if event["event"] in ("enter", "checked")]
    blamed = [("broken", None), ("broken", not works)]
    assert told == ([*blamed, ("two_back", None), ("two_back", False)] if works else blamed)


@pytest.mark.parametrize(("name", "left"), [("pt_autograd_0", False), ("a_stranger", True)])
def test_autograds_own_threads_are_no_left_overs(name: str, left: bool) -> None:
    """It has one for each device, which Python meets when it runs Python's code; on a processor there is none."""
    known, done = threading.Event(), threading.Event()

    def run() -> None:
        ctypes.CDLL(None).prctl(15, name.encode())  # PR_SET_NAME
        threading.current_thread()
        known.set()
        done.wait()
        threading._active.pop(threading.get_ident(), None)  # type: ignore[attr-defined]  # a later one may get its number

    try:
        with pytest.raises(LeftRunning) if left else contextlib.nullcontext(), no_side_effects():
            _thread.start_new_thread(run, ())
            assert known.wait(20)
    finally:
        done.set()
