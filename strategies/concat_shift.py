"""Slices and concatenations, as mmaction2 writes the shift.

Traffic: 2 N for the outer concatenation; for each of the two groups 2 F for its zeros and 2 F for the inner
concatenation (F = the bytes of one group): 2 N + 8 F, so 2.5 N at 1/8 and 3 N at 1/4.
"""

import torch
from torch import Tensor

from bench.strategy import Strategy


class ConcatShift(Strategy):
    """Shift each channel group by concatenation along time, then concatenate the groups (as mmaction2 does)."""

    name = "concat_shift"
    source = "open-mmlab/mmaction2, mmaction/models/backbones/resnet_tsm.py"
    same_function_as = "copy_shift"

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape; the first group receives the next frame, the second the previous."""
        fold = self.channels_each_way(clip.shape[2])
        groups = []
        if self.direction == "bidirectional":
            ahead, clip = clip[:, :, :fold], clip[:, :, fold:]
            blank = (ahead - ahead)[:, :1]  # zeros from the whole group, as the source makes them
            groups.append(torch.cat((ahead[:, 1:], blank), dim=1))
        behind, still = clip[:, :, :fold], clip[:, :, fold:]
        blank = (behind - behind)[:, :1]
        groups.append(torch.cat((blank, behind[:, :-1]), dim=1))
        return torch.cat((*groups, still), dim=2)

    def step(self, frame: Tensor, past: Tensor) -> Tensor:
        """One concatenation, as in the released online demo (online_demo/mobilenet_v2_tsm.py)."""
        return torch.cat((past, frame[:, past.shape[1] :]), dim=1)
