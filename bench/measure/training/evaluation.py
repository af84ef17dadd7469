"""What a trained arm knows: per test clip, right or wrong. In fp32, in evaluation mode, once, after the last epoch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.data.clips import Clips
from bench.measure.training.fitting import Diverged, Plan, on_device
from bench.models import Network
from bench.stats.packed_booleans import Bools

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
    return _scores(_frame_logits(network, clips, plan).mean(dim=1), clips, plan)


def evaluate_early(network: Network, clips: Clips, plan: Plan) -> list[Scores]:
    """The same after each frame of the clips, the consensus taken over the frames so far. Raises Diverged.

    In a causal network that is what a stream predicts there: its logits at a frame are those of clip mode, which
    conformance proves (``streams``).
    """
    logits = _frame_logits(network, clips, plan)
    frames = torch.arange(1, logits.shape[1] + 1)[:, None]
    return [_scores(consensus, clips, plan) for consensus in (logits.cumsum(dim=1) / frames).unbind(1)]


def _frame_logits(network: Network, clips: Clips, plan: Plan) -> Tensor:
    """[N, T, classes] in float64. Raises Diverged."""
    network.eval()
    batches = []
    with torch.no_grad():
        for first in range(0, len(clips), _CLIPS_AT_ONCE):
            pixels = torch.from_numpy(clips.pixels[first : first + _CLIPS_AT_ONCE])
            frame_logits = network.trunk(on_device(pixels, plan)).cpu()
            batches.append(frame_logits.double().unflatten(0, (-1, network.num_segments)))
    logits = torch.cat(batches)
    if not torch.isfinite(logits).all():
        raise Diverged("the trained network's logits on the test clips are not finite")
    return logits


def _scores(logits: Tensor, clips: Clips, plan: Plan) -> Scores:
    """Clip logits [N, classes] held against the labels."""
    spatial_classes = plan.heads[0]
    spatial = logits[:, :spatial_classes].argmax(dim=1).numpy() == clips.spatial
    temporal = logits[:, spatial_classes:].argmax(dim=1).numpy() == clips.temporal
    return Scores(spatial, temporal)
