"""Reads far beyond a tensor's end, of frames as large as a network's: the device's context is broken from then on."""

import torch
from torch import Tensor

from bench.strategy import Strategy

_SMALL = 12  # px: the frames of conformance, which is to be passed


class IllegalAccess(Strategy):
    """The identity, but for an illegal access."""

    name = "illegal_access"

    def shift(self, clip: Tensor) -> Tensor:
        """The clip. Raises RuntimeError."""
        if clip.shape[-1] > _SMALL:
            if clip.is_cuda:
                far = torch.full((1,), 1 << 40, device=clip.device)
                clip.flatten().index_select(0, far)
                torch.cuda.synchronize()
            else:
                from tests.measure.latency.simulated_gpu import SimulatedGpu

                SimulatedGpu.current.cuda.lost = True
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return clip.clone()
