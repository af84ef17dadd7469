"""Weights that were pre-trained on single frames -> a network of clips, 2-D or 3-D."""

from collections.abc import Mapping

import torch
from torch import Tensor

from bench.models.network import Network
from bench.models.over_time import OverTime, VolumeConv

_TEMPORAL_HEAD = "trunk.temporal."
_NAMED = 3  # that many keys show what is wrong; a hundred would hide it


def load_pretrained(network: Network, state: Mapping[str, Tensor]) -> None:
    """Start ``network`` (of ``build_trainable``, before a strategy is inserted) from ``state``.

    state: the state dict of ``pretrained_form``'s network with the same spatial classes, trained with num_segments = 1.

    The temporal head is never pre-trained: a single frame has no temporal class. So what ``state`` holds of it is
    ignored, however many classes it has, and the network keeps the head that its own seed gave it.

    In a 3×3×3 convolution the 2-D weight goes to the present frame, the neighbours start at zero; a 3×1×1 convolution
    starts as the identity. I3D (Carreira & Zisserman, arXiv 1705.07750) repeats the weight over time instead and
    divides by the number of taps, which gives the same features only where all frames are alike. Where something
    moves, it averages neighbouring frames: an edge that the pre-trained network expects to be sharp is smeared over
    three places, over more in each further layer, and at the ends of a clip a third of every sum is missing. With the
    centre tap the 3-D network computes exactly what the 2-D one does, so its arms start from the same accuracy in
    space as all others; the gradient reaches the zero taps in the first step.

    Raises ValueError where keys or shapes do not fit; the network is unchanged then.
    """
    own = network.state_dict()
    over_time = {f"{name}.weight": module for name, module in network.named_modules() if isinstance(module, OverTime)}
    volumes = {f"{name}.weight": module for name, module in network.named_modules() if isinstance(module, VolumeConv)}
    wanted = {key for key in own if key not in over_time and not key.startswith(_TEMPORAL_HEAD)}
    given = {key: value for key, value in state.items() if not key.startswith(_TEMPORAL_HEAD)}

    def expected(key: str) -> torch.Size:
        tensor: Tensor = own[key]
        return tensor[:, :, 0].shape if key in volumes else tensor.shape

    complaints = {
        "missing": wanted - given.keys(),
        "unknown": given.keys() - wanted,
        "of another shape": {key for key in wanted & given.keys() if given[key].shape != expected(key)},
    }
    if any(complaints.values()):
        raise ValueError(f"these weights do not fit the network: {_told(complaints)}")
    with torch.no_grad():
        for key in wanted:
            if key in volumes:
                volumes[key].inflate(given[key])
            else:
                own[key].copy_(given[key])  # own holds the network's tensors themselves
        for module in over_time.values():
            module.become_identity()


def _told(complaints: Mapping[str, set[str]]) -> str:
    """``missing: a, b, c and 7 more; unknown: d``."""
    parts = []
    for what, keys in complaints.items():
        first, more = sorted(keys)[:_NAMED], len(keys) - _NAMED
        if first:
            parts.append(f"{what}: {', '.join(first)}" + (f" and {more} more" if more > 0 else ""))
    return "; ".join(parts)
