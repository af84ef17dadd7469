"""What a trained arm knows: per test clip, right or wrong. In fp32, in evaluation mode, once, after the last epoch."""

from dataclasses import dataclass

import numpy as np
import torch

from bench.accuracy.clips import Clips
from bench.accuracy.fitting import Diverged, Plan, on_device
from bench.backbones import Network
from bench.bits import Bools

_CLIPS_AT_ONCE = 32  # a multiple of the temporal classes, so that all orders of a base clip pass through one batch


@dataclass(frozen=True)
class Scores:
    """Right or wrong for each test clip [N], spatially and temporally."""

    spatial: Bools
    temporal: Bools

    @property
    def joint(self) -> Bools:
        """Both right."""
        return self.spatial & self.temporal


def evaluate(network: Network, clips: Clips, plan: Plan) -> Scores:
    """The classes that ``network`` (left in evaluation mode) gives to ``clips``, on the plan's device. Raises Diverged.

    Every order of every clip goes through the network as a clip. The consensus is taken here in float64, where the
    sum of a clip's fp32 logits does not depend on their order: a network that looks at frames one by one then gives
    all permutations of a clip the same class, and its temporal accuracy is chance exactly.
    """
    network.eval()
    consensus = []
    with torch.no_grad():
        for first in range(0, len(clips), _CLIPS_AT_ONCE):
            pixels = torch.from_numpy(clips.pixels[first : first + _CLIPS_AT_ONCE])
            frame_logits = network.trunk(on_device(pixels, plan)).cpu()
            consensus.append(frame_logits.double().unflatten(0, (-1, network.num_segments)).mean(dim=1).numpy())
    logits = np.concatenate(consensus)
    if not np.isfinite(logits).all():
        raise Diverged("the trained network's logits on the test clips are not finite")
    spatial_classes = plan.heads[0]
    spatial = logits[:, :spatial_classes].argmax(axis=1) == clips.spatial
    temporal = logits[:, spatial_classes:].argmax(axis=1) == clips.temporal
    return Scores(spatial, temporal)
