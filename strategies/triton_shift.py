"""The whole shift in one launch of a Triton kernel: each element is read where it lies and written where it belongs.

Traffic: 2 N at every fraction (N = the bytes of the tensor), a third less than the released code, and one launch
instead of four. Written for CUDA devices; on a CPU the operator computes the same in plain torch, and its cases are
skipped. How fast it is has not been measured yet.
"""

from torch import Tensor

from bench.ops import triton_operators
from bench.strategy import Strategy


class TritonShift(Strategy):
    """Read every channel from its frame and write the tensor once, in one launch (a Triton kernel, for CUDA)."""

    name = "triton_shift"
    source = "the shift of mit-han-lab/temporal-shift-module, ops/temporal_shift.py, as one kernel"
    same_function_as = "copy_shift"
    devices = ("cuda",)

    def shift(self, clip: Tensor) -> Tensor:
        """[N, T, C, H, W] -> the same shape; the first group receives the next frame, the second the previous."""
        fold = self.channels_each_way(clip.shape[2])
        ahead = fold if self.direction == "bidirectional" else 0
        shifted: Tensor = triton_operators.triton_shift(clip.flatten(0, 1), clip.shape[1], ahead, fold)
        return shifted.view_as(clip)

    def skip(self, backbone: str, frames: int) -> str | None:
        """Where no Triton kernel can run."""
        return triton_operators.why_not()
