"""Pad the moved channels by one frame at either end, then take two windows of the padded clip.

A pad and a slice of frames are what every graph format has as one operator each. In a 5-D view, so that clips of a
batch stay apart without masks: the price is the reordering that a blocked layout needs for five axes.
Traffic: 2 N for the concatenation, and 2 F for each group's padding (N = the bytes of the tensor, F of one group).
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from bench.strategy import Strategy


class PadSliceShift(Strategy):
    """Pad the moved channels along time, take one window of frames for each group, concatenate."""

    name = "pad_slice_shift"
    same_function_as = "copy_shift"

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape; the first group receives the next frame, the second the previous."""
        fold = self.channels_each_way(clip.shape[2])
        if self.direction == "unidirectional":
            behind = pad(clip[:, :-1, :fold], _frames(before=1, after=0))
            return torch.cat((behind, clip[:, :, fold:]), dim=2)
        padded = pad(clip[:, :, : 2 * fold], _frames(before=1, after=1))
        return torch.cat((padded[:, 2:, :fold], padded[:, :-2, fold:], clip[:, :, 2 * fold :]), dim=2)


def _frames(*, before: int, after: int) -> tuple[int, ...]:
    """The argument of ``pad`` that adds frames of zeros to [N, T, C, H, W]; the last axis comes first there."""
    return (0, 0, 0, 0, 0, 0, before, after)
