"""The shift as what it is in the language of convolutions: depthwise over time, with one-hot weights.

Each channel has three taps, of which one is 1: the next frame, the previous one, or its own. Compilers know
convolutions best, but a depthwise one over time reads and writes the whole tensor at every fraction, and it runs on
[N, C, T, H*W], which is a transposed copy. Traffic: 2 N for the convolution and 4 N for the way there and back.
Zero times infinity is not a number: as every convolution, it is exact for finite features only.
"""

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from bench.strategy import Strategy


class DepthwiseShift(Strategy):
    """A depthwise convolution over time whose weights are one-hot."""

    name = "depthwise_shift"
    source = "TSM, arXiv 1811.08383, section 3.1: the shift as a convolution with fixed weights"
    same_function_as = "copy_shift"

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape; the first group receives the next frame, the second the previous."""
        channels, (height, width) = clip.shape[2], clip.shape[3:]
        rows = clip.transpose(1, 2).flatten(3)  # [N, C, T, H*W]
        mixed = conv2d(rows, self._one_hot(clip), padding=(1, 0), groups=channels)
        shifted: Tensor = mixed.unflatten(3, (height, width)).transpose(1, 2)
        return shifted

    def _one_hot(self, clip: Tensor) -> Tensor:
        """[C, 1, 3, 1]: which of the frames t-1, t, t+1 each channel takes; made where the clip is: a copy from the
        host cannot be captured in a CUDA graph."""
        channels = clip.shape[2]
        fold = self.channels_each_way(channels)
        taps = torch.ones(channels, dtype=torch.long, device=clip.device)
        if self.direction == "bidirectional":
            taps[:fold], taps[fold : 2 * fold] = 2, 0
        else:
            taps[:fold] = 0
        return torch.eye(3, dtype=clip.dtype, device=clip.device)[taps][:, None, :, None]
