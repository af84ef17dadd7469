"""The released implementation: zeros and three slice copies. It rewrites the whole tensor at every fraction.

Traffic: 3 N at every fraction (N = the bytes of the tensor: N written as zeros, N read, N written).
"""

import torch
from torch import Tensor

from bench.strategy import Strategy


class CopyShift(Strategy):
    """Allocate zeros, then copy the three channel groups (what the released TSM code does)."""

    name = "copy_shift"
    source = "mit-han-lab/temporal-shift-module, ops/temporal_shift.py"

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape; the first group receives the next frame, the second the previous."""
        fold = self.channels_each_way(clip.shape[2])
        out = torch.zeros_like(clip)
        if self.direction == "bidirectional":
            out[:, :-1, :fold] = clip[:, 1:, :fold]
            out[:, 1:, fold : 2 * fold] = clip[:, :-1, fold : 2 * fold]
            out[:, :, 2 * fold :] = clip[:, :, 2 * fold :]
        else:
            out[:, 1:, :fold] = clip[:, :-1, :fold]
            out[:, :, fold:] = clip[:, :, fold:]
        return out

    def step(self, frame: Tensor, past: Tensor) -> Tensor:
        """The same for one frame: zeros, and a copy of either group."""
        fold = past.shape[1]
        out = torch.zeros_like(frame)
        out[:, :fold] = past
        out[:, fold:] = frame[:, fold:]
        return out
