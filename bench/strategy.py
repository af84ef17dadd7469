"""The contract of a strategy: all that its author reads.

A strategy is a class in a file in ``strategies/`` (or in a folder given with ``--strategies-dir``) that sets ``name``::

    from bench.strategy import Strategy

    class TwoBack(Strategy):
        '''Each moved channel comes from two frames earlier.'''
        name = "two_back"

        def shift(self, clip):                       # [N, T, C, H, W] -> the same shape
            moved = int(clip.shape[2] * self.fraction)
            out = clip.clone()
            out[:, 2:, :moved] = clip[:, :-2, :moved]
            out[:, :2, :moved] = 0
            return out

``name`` and ``shift`` are required; the docstring is its summary. ``fraction``, ``placement`` and ``direction``
are set on the instance by the sweep. ``shift`` must not overwrite ``clip``: in residual placement the shortcut
still needs it. A strategy that must own the layer which reads the shifted features (to fuse with it, or to
restore a buffer after it) overrides ``wrap`` instead.

A strategy may be learnable: ``wrap`` puts in modules of its own, made as PyTorch makes them and cast to the device and
dtype of the layer that they stand before; at fraction 0 it puts in none. It may declare a ``Parameter``, which
``--strategies "name[kernel=3,5]"`` sweeps, and say with ``refuses`` which channel counts it takes. Classes that set no
name, and files whose name begins with an underscore (``from ._family import Gate``), are for what strategies share.

In a vision transformer the features are tokens, which ``shift`` is given as a clip [N, T, C, L, 1] of L tokens. One
that overrides ``wrap`` takes no such block unless it says so (``features``); see ``bench.sites``.

Frame by frame: where ``shift`` is causal and needs one frame of the past, a stream runs without a further line. One
that has a faster way to shift a single frame overrides ``step``; one that overrides ``wrap``, or looks farther back,
overrides ``online`` and says in a ``Recurrent`` module what it remembers. ``check`` proves that the stream equals clip
mode.
"""

import inspect
from abc import ABC, abstractmethod
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from bench.sites import Features, as_given, as_maps
from bench.sites import Site as Site
from bench.sites import TokenSite as TokenSite
from bench.spec.axes import (
    DEVICES,
    DIRECTIONS,
    PLACEMENTS,
    Device,
    Direction,
    Placement,
    ValueNotAllowed,
    channels_moved,
    require,
)
from bench.spec.parameters import Declared
from bench.spec.parameters import Parameter as Parameter


class CannotStream(ValueNotAllowed):
    """A strategy that was asked to run frame by frame and cannot; the message says why."""


class NotTaken(ValueNotAllowed):
    """A network of which a strategy takes no place; the message says why."""


class Strategy(ABC):
    """How frames exchange channels: the base class of every strategy.

    Attributes a subclass may declare:

    name: the strategy's name; unique, without commas, brackets or line breaks.
    source: where the idea comes from (paper, repository and file).
    fractions: the fractions it makes sense for; None: all from 0 to 1.
    placements, directions: those it makes sense for.
    devices: those it is made for. On the others it must compute the same, but its latency is not measured: its cases
        there are recorded as skipped.
    same_function_as: the name of a strategy that computes the same function (this one is a pure speed variant
        of it). Conformance then proves the two equal, and the accuracy is inherited instead of trained again.
    exportable: whether it makes sense in a file for a deployment runtime. One that is made for eager alone (many small
        operators, say, that take an exporter minutes) is skipped there.
    features: those it is made for. None: maps, and tokens too where it leaves ``wrap`` and ``online`` as they are.
    owns_layer: whether ``wrap`` computes the site's layer in another way. It is then measured at fraction 0 as well
        (nothing moves, computed in that way), so that a faster layer is not mistaken for a cheaper shift.

    and any ``Parameter``. Raises ValueNotAllowed for a parameter or a value that is not declared.
    """

    name: ClassVar[str]
    source: ClassVar[str] = ""
    fractions: ClassVar[tuple[float, ...] | None] = None
    placements: ClassVar[tuple[Placement, ...]] = PLACEMENTS
    directions: ClassVar[tuple[Direction, ...]] = DIRECTIONS
    devices: ClassVar[tuple[Device, ...]] = DEVICES
    same_function_as: ClassVar[str | None] = None
    exportable: ClassVar[bool] = True
    features: ClassVar[tuple[Features, ...] | None] = None
    owns_layer: ClassVar[bool] = False

    def __init__(
        self,
        fraction: float = 0.25,
        placement: Placement = "residual",
        direction: Direction = "bidirectional",
        **parameters: Any,
    ) -> None:
        self.fraction = fraction
        self.placement = placement
        self.direction = direction
        self.fallbacks: list[str] = []
        declared = self.parameters()
        for name, value in parameters.items():
            require(name, declared, f"parameter of {self.name}")
            require(value, declared[name].allowed, f"{name} of {self.name}")
        self.values = {name: parameters.get(name, one.default) for name, one in declared.items()}
        vars(self).update(self.values)

    def shift(self, clip: Tensor) -> Tensor:
        """Exchange channels between frames.

        clip: [N, T, C, H, W], N clips of T frames each; must not be overwritten.
        Returns a tensor of the same shape, dtype and device.
        """
        raise NotImplementedError(f"strategy {self.name!r} defines neither shift nor wrap")

    def wrap(self, block: nn.Module, site: Site, num_segments: int) -> nn.Module:
        """The module that takes the place of ``block``.

        block: a residual block that maps [N*T, C, H, W] to [N*T, C', H', W']; it may be changed and returned.
        site: the layer in it that reads the shifted features in residual placement.
        num_segments: T, the frames in a clip.

        The default calls ``shift`` before the site's layer (residual placement: the shortcut keeps the present
        frame) or before the whole block (in-place placement: the shortcut is shifted too).
        """
        if self.placement == "inplace":
            return ShiftBefore(self, block, num_segments)
        return site.replace(block, ShiftBefore(self, site.layer(block), num_segments))

    def join(self, before: nn.Module, after: nn.Module) -> None:  # noqa: B027
        """Let two blocks that ``wrap`` (or ``online``) returned hand on features as they like.

        Called once a whole network is wrapped, for each two of them where ``after`` reads what ``before`` gives and
        nobody else does. By default they hand on one tensor [N*T, C, H, W], as they must at both ends of such a chain.
        """

    def online(self, block: nn.Module, site: Site) -> nn.Module:
        """The module that takes the place of ``block`` where frames come one by one, [S, C, H, W] from S streams.

        It has the parameters of what ``wrap`` returns, under the same names, and for every frame it computes what that
        computes in a clip. What it remembers of earlier frames lies in ``Recurrent`` modules. Streams begin with zeros.

        It is asked of unidirectional strategies only, at fractions above 0. The default calls ``step`` where ``wrap``
        calls ``shift``; it raises CannotStream for a strategy that overrides ``wrap`` alone.
        """
        if type(self).wrap is not Strategy.wrap:
            raise CannotStream(
                f"{self.name} puts modules of its own into a network (wrap) and does not say how they run frame by "
                "frame (online)"
            )
        if self.placement == "inplace":
            return StepBefore(self, block)
        return site.replace(block, StepBefore(self, site.layer(block)))

    def step(self, frame: Tensor, past: Tensor) -> Tensor:
        """``frame`` as ``shift`` makes it where it follows the frame that ``past`` was kept from.

        frame: [S, C, H, W], the present frame of S streams; must not be overwritten. past: [S, K, H, W], the channels
        ``recalled(C)`` of the frame before. Returns a tensor of the frame's shape.

        The default shifts a clip of two frames. It is right where ``shift`` is causal, linear in the frame before, and
        looks no farther back; ``check`` proves it or shows where it is not.
        """
        streams, *shape = frame.shape
        clip = frame.new_zeros(streams, 2, *shape)
        clip[:, 0, _as_slice(self.recalled(frame.shape[1]))] = past
        clip[:, 1] = frame
        return self.shift(clip)[:, 1]

    def recalled(self, channels: int) -> list[int]:
        """Which of the ``channels`` of the previous frame the present one takes something from.

        The default looks for them: those for which ``shift``, on a clip of two random frames, gives the second frame a
        gradient.
        """
        made_with = (self.fraction, self.placement, self.direction, *self.values.items())
        return list(_recalled(type(self), made_with, channels))

    def skip(self, backbone: str, frames: int) -> str | None:
        """A sentence that says why this strategy cannot run in ``backbone`` at ``frames`` frames; None: it can."""
        return None

    def refuses(self, channels: int) -> str | None:
        """A sentence that says why a place where so many channels are read is left as it is; None: it is taken."""
        return None

    def refuses_site(self, site: Site) -> str | None:
        """A sentence that says why a place is left as it is, because of the features there; None: ``refuses`` decides.

        The default knows what ``features`` says.
        """
        left = type(self).wrap is Strategy.wrap and type(self).online is Strategy.online
        usual: tuple[Features, ...] = ("maps", "tokens") if left else ("maps",)
        if site.features in (self.features or usual):
            return None
        if site.features == "maps":
            return "it is made for the tokens of a transformer, not for maps of features"
        return (
            "it is made for blocks of convolutions (it overrides wrap or online), not for the tokens of a transformer"
        )

    def fall_back(self, what: str) -> None:
        """Say in a sentence that ``wrap`` took an exact but slower way, or not all places; the table shows it."""
        if what not in self.fallbacks:
            self.fallbacks.append(what)

    def channels_each_way(self, channels: int) -> int:
        """How many of ``channels`` move in each direction: floor(C*fraction/2), or floor(C*fraction) if causal."""
        return channels_moved(channels, self.fraction, self.direction)

    @classmethod
    def parameters(cls) -> Declared:
        """{name: declaration} of all parameters, those of a base class first."""
        found = dict[str, Any]()
        for base in reversed(cls.__mro__):
            found |= vars(base)
        return {name: value for name, value in found.items() if isinstance(value, Parameter)}

    @classmethod
    def summary(cls) -> str:
        """The first line of the docstring."""
        lines = (inspect.getdoc(cls) or "").strip().splitlines()
        return lines[0] if lines else ""


class ShiftBefore(nn.Module):
    """Shift, then run ``net``: the released code's ``TemporalShift``, whose keys (``….net.weight``) it keeps."""

    def __init__(self, strategy: Strategy, net: nn.Module, num_segments: int) -> None:
        super().__init__()
        self.strategy = strategy
        self.net = net
        self.num_segments = num_segments

    def forward(self, frames: Tensor) -> Tensor:
        """[N*T, C, H, W], or tokens [N*T, L, C] -> what ``net`` makes of the shifted frames."""
        return self.net(self.shifted(frames))  # type: ignore[no-any-return]

    def shifted(self, frames: Tensor) -> Tensor:
        """The frames as ``net`` reads them, in the same shape."""
        shifted = self.strategy.shift(as_clip(as_maps(frames), self.num_segments))
        return as_given(shifted.flatten(0, 1), frames)


class Recurrent(nn.Module, ABC):
    """A module that runs frame by frame and says what it remembers.

    ``step`` is given what it kept of the frames before and returns what the next frame needs: a tensor [S, K, H, W] for
    S streams, in which the streams do not mix. All zeros: no frame came before. Whoever runs the network puts ``past``
    in and takes it out (``bench.models.OnlineNetwork``); None stands for zeros.
    """

    def __init__(self) -> None:
        super().__init__()
        self.past: Tensor | None = None

    @abstractmethod
    def remembers(self, channels: int) -> int:
        """K, where the frames have ``channels`` channels."""

    @abstractmethod
    def step(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(what comes out for ``frame`` [S, C, H, W], what is to be remembered); ``past`` must not be overwritten."""

    def forward(self, frame: Tensor) -> Tensor:
        """One frame of every stream."""
        past = self.past
        if past is None:
            streams, channels, height, width = as_maps(frame).shape
            past = frame.new_zeros(streams, self.remembers(channels), height, width)
        out, self.past = self.step(frame, past)
        return out


class StepBefore(Recurrent):
    """``ShiftBefore``, frame by frame, with the same keys."""

    def __init__(self, strategy: Strategy, net: nn.Module) -> None:
        super().__init__()
        self.strategy, self.net = strategy, net

    def remembers(self, channels: int) -> int:
        """As many as the strategy recalls."""
        return len(self.strategy.recalled(channels))

    def step(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """``Strategy.step``, then ``net``; of tokens [S, L, C] too, whose past is [S, K, L, 1]."""
        shifted, kept = self.stepped(frame, past)
        return self.net(shifted), kept

    def stepped(self, frame: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """(the frame as ``net`` reads it, what is to be remembered)."""
        maps = as_maps(frame)
        kept = keep(maps, self.strategy.recalled(maps.shape[1]))
        return as_given(self.strategy.step(maps, past), frame), kept


@cache
def _recalled(cls: type[Strategy], made_with: tuple[Any, ...], channels: int) -> tuple[int, ...]:
    """What ``Strategy.recalled`` finds, in frames of 2×2. made_with: its place on the axes, then its values by name."""
    strategy = cls(*made_with[:3], **dict(made_with[3:]))
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode(False), torch.enable_grad():
        clip = torch.rand(1, 2, channels, 2, 2, generator=generator).requires_grad_()
        present = strategy.shift(clip * 1.0)[:, 1]  # * 1.0: a block never sees a leaf
        if not present.requires_grad:
            return ()
        weights = torch.rand(present.shape, generator=generator)
        (gradient,) = torch.autograd.grad((present * weights).sum(), clip)
    return tuple(gradient[0, 0].abs().flatten(1).amax(1).nonzero().flatten().tolist())


def keep(frame: Tensor, channels: list[int]) -> Tensor:
    """A copy of some channels of ``frame`` in its memory format: a view would hold on to all of them."""
    last = frame.is_contiguous(memory_format=torch.channels_last)
    return frame[:, _as_slice(channels)].clone(memory_format=torch.channels_last if last else torch.contiguous_format)


def _as_slice(channels: list[int]) -> list[int] | slice:
    """Neighbouring channels are copied as one piece."""
    whole = slice(channels[0], channels[-1] + 1) if channels else slice(0, 0)
    return whole if whole.stop - whole.start == len(channels) else channels


def as_clip(frames: Tensor, num_segments: int) -> Tensor:
    """[N*T, C, H, W] -> a view [N, T, C, H, W]. Raises ValueError where T does not divide the frames."""
    if frames.shape[0] % num_segments:
        raise ValueError(f"{frames.shape[0]} frames are not a whole number of clips of {num_segments}")
    clip: Tensor = frames.unflatten(0, (-1, num_segments))
    return clip


def gradients_wanted() -> bool:
    """True where autograd records: a mechanism that overwrites its input must then take its differentiable path."""
    return torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
