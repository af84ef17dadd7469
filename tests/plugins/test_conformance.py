"""Conformance over every strategy that discovery finds, and strategies that break one property each."""

from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from bench.plugins.conformance import CHECKS, conformance, reference_of, variants_of
from bench.plugins.discovery import load_file, strategy_files
from bench.spec.cases import Variant
from bench.strategy import Site, Strategy

FILES = strategy_files()
_STRIDE = 3  # of the variants that ``check`` goes through: each fraction, placement and direction in some of them


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_every_strategy_conforms(file: Path) -> None:
    cls = load_file(file)
    assert cls.summary(), "the docstring is the summary"
    reference = reference_of(cls, FILES)
    for variant in variants_of(cls)[::_STRIDE]:
        broken = [v for v in conformance(cls, variant, reference) if v.ok is False]
        assert not broken, f"{variant.label}: {broken}"


class _Honest(Strategy):
    """One frame from the past."""

    name = "honest"

    def shift(self, clip: Tensor) -> Tensor:
        moved = self.channels_each_way(clip.shape[2])
        out = clip.clone()
        out[:, 1:, :moved] = clip[:, :-1, :moved]
        out[:, :1, :moved] = 0
        return out


class _Leaks(_Honest):
    def shift(self, clip: Tensor) -> Tensor:
        return clip.flatten(0, 1).roll(1, 0).view_as(clip) if self.fraction else clip


class _Overwrites(_Honest):
    def shift(self, clip: Tensor) -> Tensor:
        moved = self.channels_each_way(clip.shape[2])
        clip[:, 1:, :moved] = clip[:, :-1, :moved].clone()
        return clip


class _LooksAhead(_Honest):
    def shift(self, clip: Tensor) -> Tensor:
        out = clip.clone()
        out[:, :-1, : self.channels_each_way(clip.shape[2])] = clip[:, 1:, : self.channels_each_way(clip.shape[2])]
        return out


class _NotANumber(_Honest):
    def shift(self, clip: Tensor) -> Tensor:
        return clip * float("nan") if self.fraction else clip


class _Raises(_Honest):
    def shift(self, clip: Tensor) -> Tensor:
        raise RuntimeError("not on this CPU")


class _Shrinks(_Honest):
    def shift(self, clip: Tensor) -> Tensor:
        return clip[:, :, 1:]


class _Dice(_Honest):
    def shift(self, clip: Tensor) -> Tensor:
        return clip + self.fraction * torch.rand_like(clip)


class _Detaches(_Honest):
    def shift(self, clip: Tensor) -> Tensor:
        return super().shift(clip).detach()


class _Claims(_Honest):
    """Says that it equals copy_shift; moves one channel too few."""

    same_function_as = "copy_shift"

    def shift(self, clip: Tensor) -> Tensor:
        out = clip.clone()
        out[:, 1:, 1 : self.channels_each_way(clip.shape[2])] = clip[:, :-1, 1 : self.channels_each_way(clip.shape[2])]
        return out


class _LearnsToLookAhead(_Honest):
    """A weight for the next frame that starts at zero: what it does shows only once it has learned."""

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        return _Gate(block, num_segments)


class _Gate(nn.Module):
    def __init__(self, net: nn.Module, num_segments: int) -> None:
        super().__init__()
        self.net, self.num_segments, self.gate = net, num_segments, nn.Parameter(torch.zeros(()))

    def forward(self, frames: Tensor) -> Tensor:
        clip = frames.unflatten(0, (-1, self.num_segments))
        ahead = torch.cat((clip[:, 1:], torch.zeros_like(clip[:, :1])), dim=1)
        return self.net((clip + self.gate.to(frames) * ahead).flatten(0, 1))


class _MovesAtZero(_Honest):
    def shift(self, clip: Tensor) -> Tensor:
        return clip.flip(1) if clip.shape[1] > 1 else clip


BREAKS = {
    _Leaks: "clips_apart",
    _Overwrites: "shortcut_exact",
    _LooksAhead: "causal",
    _LearnsToLookAhead: "causal",
    _NotANumber: "finite",
    _Raises: "shape",
    _Shrinks: "shape",
    _Dice: "deterministic",
    _Detaches: "gradients",
    _Claims: "equal_in_block",
    _MovesAtZero: "identity_at_zero",
}


@pytest.mark.parametrize("cls", BREAKS, ids=lambda cls: cls.__name__.strip("_"))
def test_each_property_can_fail(cls: type[Strategy]) -> None:
    """A check that cannot fail proves nothing: each is shown a strategy that breaks it."""
    variant = Variant(cls.__name__, Fraction(1, 2), "residual", "unidirectional")
    verdicts = {v.check: v for v in conformance(cls, variant, reference_of(cls, FILES))}
    assert list(verdicts) == [check.__name__ for check in CHECKS]
    assert verdicts[BREAKS[cls]].ok is False
    assert verdicts[BREAKS[cls]].detail


def test_the_honest_one_passes() -> None:
    verdicts = conformance(_Honest, Variant("honest", Fraction(1, 2), "residual", "unidirectional"), None)
    assert [v for v in verdicts if v.ok is False] == []


def test_a_lost_memory_format_is_a_flag() -> None:
    class Contiguous(_Honest):
        def shift(self, clip: Tensor) -> Tensor:
            return clip.clone(memory_format=torch.contiguous_format)

    verdicts = conformance(Contiguous, Variant("c", Fraction(1, 2), "residual", "unidirectional"), None)
    assert {v.check: v.ok for v in verdicts}["memory_format"] is None


def test_wrap_alone_is_enough() -> None:
    class Wraps(Strategy):
        """Nothing moves, by a wrap of its own."""

        name = "wraps"

        def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
            return nn.Sequential(block)

    verdicts = conformance(Wraps, Variant("wraps", Fraction(1, 2), "residual", "bidirectional"), None)
    assert [v for v in verdicts if v.ok is False] == []
