"""What a strategy must satisfy in a whole network: digits_resnet, or the one in which it is to be used.

Frames are looked at one by one, before the consensus, whose average would hide much of what one frame gets wrong.
"""

import contextlib
import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bench import models
from bench.models.network import NO_SITES, Network
from bench.models.runtimes import NETWORK_TOLERANCE
from bench.models.small_blocks import first_layers
from bench.models.weights import disturb, learned, seeded
from bench.plugins.subject import Broken, Make, Remark, Subject, differ, infer, unlike
from bench.spec.axes import ACCURACY_BACKBONE, ValueNotAllowed
from bench.strategy import Site, TokenSite

Place = tuple[nn.Module, str, Site]  # parent, name in it, and where in that block

_CLIPS = 2
_FRAMES, _FRAMES_OF_DIGITS = 4, 8  # in a clip; of digits_resnet, which is small, as many as it learns from
_EDGES = {1: 32, 3: 64}  # px, by the channels that a network reads
_TOLERANCE = NETWORK_TOLERANCE[torch.float32]


def network_to_test_in(backbone: str, weights: str | None = None) -> Network:
    """The network ``backbone`` with ``weights``, see ``models.build``; random ones have learned something.

    Raises ValueNotAllowed where it cannot be made or has no place for a strategy.
    """
    network = models.build(backbone, _FRAMES, weights)
    if not models.sites(network):
        raise ValueNotAllowed(f"backbone {backbone!r} has {NO_SITES}")
    return (learned(network) if weights is None else network).requires_grad_()


def _network(subject: Subject) -> Network:
    """A copy, to be changed."""
    return copy.deepcopy(subject.network) or learned(models.build(ACCURACY_BACKBONE, _FRAMES_OF_DIGITS))


def _inserted(subject: Subject, network: Network, make: Make | None = None) -> tuple[Network, dict[str, nn.Parameter]]:
    """(``network`` with the strategy, what the strategy learns in it), from the same random numbers each time."""
    known = {id(parameter) for parameter in network.parameters()}
    with seeded():
        shifted = models.insert((make or subject.make)(), network).to(subject.device)
    return shifted, {name: one for name, one in shifted.named_parameters() if id(one) not in known}


def _frames(subject: Subject, network: Network, clips: int = _CLIPS) -> Tensor:
    channels = models.channels_of(network.trunk)
    edge = models.edge_of(network.trunk, _EDGES.get(channels, max(_EDGES.values())))
    return subject.pictures(clips, network.num_segments, channels, edge)


def equal_in_network(subject: Subject) -> None:
    """Equal to what it claims to equal in a whole network, in fp32 and bf16."""
    if subject.reference is None:
        return
    for dtype, tolerance in NETWORK_TOLERANCE.items():
        outs = []
        for make in (subject.make, subject.reference):
            network = _inserted(subject, _network(subject), make)[0].to(dtype)
            outs.append(infer(network, _frames(subject, network).to(dtype)).float())
        differ(outs[0], outs[1], tolerance, f"network in {dtype}", 1)


def shortcut_in_network(subject: Subject) -> None:
    """In residual placement all shortcuts of a whole network carry the present frame, whatever it has learned."""
    if subject.make().placement != "residual":
        return
    network = _network(subject)
    _silence_branches(network)  # with nothing but its shortcuts, it computes what it does without a strategy
    frames = _frames(subject, network)
    places = models.sites(network)
    want = _carried(network.to(subject.device), places, frames)
    shifted, own = _inserted(subject, network)
    disturb(own.values())
    _silence_first_layers(places)
    got = _carried(shifted, places, frames)
    differ(got, want, _TOLERANCE, "with branches that give zero", network.num_segments)


def _carried(network: Network, places: Sequence[Place], frames: Tensor) -> Tensor:
    """What the shortcuts of ``network`` bring to its end. Of a transformer all tokens of its last block: a head that
    reads the class token alone, which is the same in every frame, would see none of those that are not."""
    parent, name, site = places[-1]
    if not isinstance(site, TokenSite):
        return infer(network.trunk, frames.clone())
    seen = list[Tensor]()
    with parent.get_submodule(name).register_forward_hook(lambda _, args, out: seen.append(out)):
        infer(network.trunk, frames.clone())
    return seen[0]


def _silence_branches(network: Network) -> None:
    """First layers that give zero, and nothing behind them that makes something else of it."""
    with torch.no_grad():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if name.endswith((".bias", ".running_mean")):
                tensor.zero_()
        for parent, name, site in models.sites(network):
            first = first_layers(parent.get_submodule(name), site)
            parameters = [parameter for layer in first for parameter in layer.parameters()]
            if not parameters:
                raise Remark(f"the first layer of a branch, {site.path}, has no weights: it cannot be silenced")
            for parameter in parameters:
                parameter.zero_()


def _silence_first_layers(places: Sequence[Place]) -> None:
    """What stands in the place of a first layer gives zero too, where it has weights of its own beside that layer's."""
    for parent, name, site in places:
        with contextlib.suppress(AttributeError):  # the strategy has taken the layer elsewhere
            for layer in first_layers(parent.get_submodule(name), site):
                layer.register_forward_hook(
                    lambda _, args, out: torch.zeros_like(out) if isinstance(out, Tensor) else out
                )


def gradients_in_network(subject: Subject) -> None:
    """Gradients of a whole network are finite, and reach its input, all sites and all that the strategy learns."""
    network = _network(subject)
    blocks = [(parent.get_submodule(name), site) for parent, name, site in models.sites(network)]
    layers = [layer for block, site in blocks for layer in first_layers(block, site)]
    reached = {id(parameter) for layer in layers for parameter in layer.parameters()}
    weights = dict(network.named_parameters())  # they stay when a strategy takes their layers
    frames = _frames(subject, network).requires_grad_()
    shifted, own = _inserted(subject, network)
    own = {name: weight for name, weight in own.items() if weight.requires_grad}
    reached |= set(map(id, own.values()))
    shifted.train()(frames * 1.0).square().mean().backward()
    for name, weight in {"the input": frames, **weights, **own}.items():
        if weight.grad is None and (weight is frames or id(weight) in reached):
            raise Broken(f"the gradient of {name} is missing")
        if weight.grad is not None and not torch.isfinite(weight.grad).all():
            raise Broken(f"the gradient of {name} is not finite")


def causal_in_network(subject: Subject) -> None:
    """Unidirectional: no frame's logits read anything of the future, whatever the strategy has learned."""
    if subject.make().direction != "unidirectional":
        return
    network = _network(subject)
    shifted, own = _inserted(subject, network)
    disturb(own.values())
    frames, future = _frames(subject, network, 1), network.num_segments // 2
    changed = frames.clone()
    changed[future:] = unlike(changed[future:])
    before, after = infer(shifted.trunk, frames.clone()), infer(shifted.trunk, changed)
    what = f"a change from frame {future} on changes the past"
    differ(after[:future], before[:future], _TOLERANCE, what, network.num_segments)


IN_GIVEN_NETWORK = (shortcut_in_network, gradients_in_network, causal_in_network)
"""Beyond ``equal_in_network``: those of which blocks show enough, unless somebody asks about a certain network."""
