"""A network frame by frame: state in, state out. ``go_online`` is to streams what ``insert`` is to clips.

The state is explicit: one tensor for each place that remembers something, and nothing else. A stream that begins has
zeros there, as a clip has before its first frame.

``go_online`` proves first, on small blocks, that frame by frame the strategy computes what it computes in clips.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from bench.models.network import Network, channels_of, wrap_all
from bench.models.residual_blocks import sites
from bench.models.small_blocks import features_for, reader, residual_blocks, site_in
from bench.models.weights import seeded
from bench.sites import Features
from bench.spec.axes import ValueNotAllowed
from bench.strategy import CannotStream, Recurrent, Site, Strategy, as_clip

TOLERANCE = 1e-5  # max |difference| / max |reference| in fp32: one block's rounding
_FRAMES, _CLIPS = 6, 2
_CHANNELS = (16, 7)  # 7: a count that most fractions do not divide
_COUNTS = (*range(8, 264, 8), 320, 512, 1024, 2048)  # of channels in networks: the first that a choosy strategy takes


class StreamError(ValueNotAllowed):
    """A frame or a state that does not fit; the message names what was expected."""


@dataclass(frozen=True)
class State:
    """What S streams remember. frame: [C, H, W]; pasts: one tensor [S, K, h, w] for each place that remembers."""

    owner: object  # what the one network that made it is known by
    streams: int
    frame: tuple[int, ...]
    pasts: tuple[Tensor, ...]

    @property
    def bytes_per_stream(self) -> int:
        """What one stream takes."""
        return sum(past.element_size() * past.numel() for past in self.pasts) // self.streams

    def reset(self, streams: Sequence[int]) -> "State":
        """The same, but the streams with these numbers begin anew; the others keep what they have, bit by bit."""
        self._require(streams)
        pasts = tuple(past.clone() for past in self.pasts)
        for past in pasts:
            past[list(streams)] = 0
        return replace(self, pasts=pasts)

    def fresh(self, streams: int) -> "State":
        """That of ``streams`` streams that begin."""
        pasts = tuple(past.new_zeros(streams, *past.shape[1:]) for past in self.pasts)
        return replace(self, streams=streams, pasts=pasts)

    def of(self, streams: Sequence[int]) -> "State":
        """The state of some of the streams, in this order."""
        self._require(streams)
        return replace(self, streams=len(streams), pasts=tuple(past[list(streams)] for past in self.pasts))

    def _require(self, streams: Sequence[int]) -> None:
        for stream in streams:
            if not 0 <= stream < self.streams:
                raise StreamError(f"there is no stream {stream}: this state is that of streams 0 to {self.streams - 1}")


def joined(states: Sequence[State]) -> State:
    """The states of several groups of streams of one network as one. Raises StreamError where they do not fit."""
    first = states[0]
    if any(state.owner is not first.owner or state.frame != first.frame for state in states):
        raise StreamError("states of different networks or frame sizes cannot be joined")
    pasts = tuple(torch.cat(own) for own in zip(*(state.pasts for state in states), strict=True))
    return replace(first, streams=sum(state.streams for state in states), pasts=pasts)


class OnlineNetwork(nn.Module):
    """A network with a causal strategy, frame by frame. Its weights have the names that they have in clip mode."""

    def __init__(self, trunk: nn.Module, channels: int) -> None:
        super().__init__()
        self.trunk, self.channels = trunk, channels
        self._places = [module for module in trunk.modules() if isinstance(module, Recurrent)]
        self._mark = object()

    def step(self, frame: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """frame [S, C, H, W]: the present frame of S streams; state: what the last step gave, None: all streams begin.

        Returns the frame's logits [S, classes] and the state for the next frame; the one that was passed in is not
        overwritten. Raises StreamError where frame and state do not fit each other or this network.
        """
        self.require(frame, state)
        logits, pasts = self.advance(frame, None if state is None else state.pasts)
        return logits, State(self._mark, frame.shape[0], tuple(frame.shape[1:]), pasts)

    def advance(self, frame: Tensor, pasts: Sequence[Tensor] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """``step`` with bare tensors and without a look at whether they fit: what an exporter traces.

        pasts: one for each of ``places``, in their order; None: all streams begin.
        """
        try:
            if pasts is not None:
                for place, past in zip(self._places, pasts, strict=True):
                    place.past = past
            logits: Tensor = self.trunk(frame)
            return logits, tuple(place.past for place in self._places if place.past is not None)
        finally:
            for place in self._places:
                place.past = None

    @property
    def places(self) -> list[str]:
        """The paths in the trunk of what remembers, in the order of a state's tensors."""
        return [path for path, module in self.trunk.named_modules() if isinstance(module, Recurrent)]

    def forward(self, frame: Tensor) -> Tensor:
        """Logits of frames that begin a stream."""
        return self.step(frame)[0]

    def require(self, frame: Tensor, state: State | None) -> None:
        """Raises StreamError where ``step`` would."""
        if state is not None and state.owner is not self._mark:
            raise StreamError("the state belongs to another network; a stream goes on with the network that made it")
        weight = next(self.parameters())
        shape: tuple[object, ...] = ("S", self.channels, "H", "W")
        fits = frame.dim() == 4 and frame.dtype == weight.dtype and frame.device == weight.device
        fits &= fits and frame.shape[1] == self.channels and 0 not in frame.shape
        if state is not None:
            shape = (state.streams, *state.frame)
            fits &= tuple(frame.shape) == shape
        if not fits:
            raise StreamError(
                f"a frame {list(frame.shape)} of {frame.dtype} on {frame.device} does not fit: expected "
                f"[{', '.join(map(str, shape))}] of {weight.dtype} on {weight.device}"
            )


def go_online(strategy: Strategy, network: Network) -> OnlineNetwork:
    """``network``, fresh and without a shift, frame by frame with ``strategy`` at every site; it is changed.

    Weights that were trained in clip mode load as they are. Raises CannotStream where the strategy cannot run frame by
    frame, or does not compute there what it computes in clips, and for a network whose frames meet in 3-D convolutions.
    """
    if not network.takes_shift:
        raise CannotStream("a 3-D network cannot stream: its frames meet in its convolutions")
    proven = set[Features]()

    def online(block: nn.Module, site: Site) -> nn.Module:
        if site.features not in proven:
            fallbacks = list(strategy.fallbacks)
            prove(strategy, features=site.features)
            strategy.fallbacks[:] = fallbacks  # those of the proof's small blocks are not this network's
            proven.add(site.features)
        return _online(strategy, block, site)

    if strategy.fraction > 0:
        wrap_all(strategy, network, online)
    return OnlineNetwork(network.trunk, channels_of(network.trunk)).eval()


def _online(strategy: Strategy, block: nn.Module, site: Site) -> nn.Module:
    """What ``Strategy.online`` gives. Raises CannotStream."""
    if strategy.direction != "unidirectional":
        raise CannotStream(
            f"{strategy.name} is {strategy.direction}: it reads the next frame, which a stream does not have yet; "
            "a stream takes the direction unidirectional"
        )
    return strategy.online(block, site)


def inputs(network: Network, frame: Tensor) -> dict[str, list[list[int]]]:
    """{a convolution's path in its block: its input [C, h, w] in each block that takes a strategy}, for one frame.

    What a shift before that convolution would have to remember is its fraction of these.
    """
    seen: dict[str, list[list[int]]] = {}

    def note(path: str, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen.setdefault(path, []).append(list(args[0].shape[1:]))

    hooks = [
        module.register_forward_pre_hook(partial(note, path))
        for parent, name, _ in sites(network)
        for path, module in parent.get_submodule(name).named_modules()
        if isinstance(module, nn.Conv2d) and not path.startswith("downsample")
    ]
    with torch.inference_mode():
        network.trunk(frame)
    for hook in hooks:
        hook.remove()
    return seen


def counts_taken(strategy: Strategy, counts: Sequence[int] = _CHANNELS) -> list[int]:
    """Of ``counts`` of channels those that ``strategy`` takes; where there are none, the least of usual ones.

    Raises ValueNotAllowed where it takes no usual one either.
    """
    for among in (counts, _COUNTS):
        if taken := [count for count in among if strategy.refuses(count) is None]:
            return taken if among is counts else taken[:1]
    raise ValueNotAllowed(f"{strategy.name} takes no usual count of channels: {strategy.refuses(_COUNTS[-1])}")


def prove(strategy: Strategy, device: str = "cpu", features: Features = "maps") -> None:
    """Frame by frame ``strategy`` computes in a block what it computes in clips, whatever it has learned.

    features: of the block. Raises CannotStream with the first frame in which it does not, or with the strategy's own
    reason.
    """
    with seeded(), torch.inference_mode(False), torch.no_grad():
        counts = counts_taken(strategy)
        readers = (reader(features, count) for count in counts)
        for block in (*readers, *residual_blocks(features, counts[0])):
            _prove_in(strategy, block.to(device).eval(), features)


def _prove_in(strategy: Strategy, block: nn.Module, features: Features) -> None:
    weight, site = next(block.parameters()), site_in(block)
    frames = torch.randn(features_for(features, _CLIPS * _FRAMES, site.channels(block))).to(weight)
    online, in_clips = _online(strategy, copy.deepcopy(block), site), copy.deepcopy(block)
    of_block = {id(parameter) for parameter in in_clips.parameters()}
    in_clips = strategy.wrap(in_clips, site, _FRAMES)
    for parameter in in_clips.parameters():
        if id(parameter) not in of_block:  # what a strategy learns may start as the identity
            parameter.add_(0.1 * torch.randn(parameter.shape).to(parameter))
    try:
        online.load_state_dict(in_clips.state_dict())
    except RuntimeError:
        raise CannotStream(f"{strategy.name} has other parameters online than in clips") from None
    want = as_clip(in_clips.eval()(frames.clone()), _FRAMES)
    for t, frame in enumerate(as_clip(frames, _FRAMES).unbind(1)):
        got = online.eval()(frame.clone())
        error = (got - want[:, t]).abs().max() / want.abs().max()
        if not error <= TOLERANCE:
            raise CannotStream(
                f"{strategy.name} does not compute frame by frame what it computes in clips: frame {t} of {_FRAMES} is "
                f"off by {error:.2g} of the largest value (allowed {TOLERANCE:g}); it reads the future, or farther "
                "back than one frame without saying what it remembers (online)"
            )
