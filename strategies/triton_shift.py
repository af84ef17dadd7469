"""``buffer_shift`` for a GPU: one launch moves all moved channels in their own memory, another puts them back.

A program owns a few elements of the moved channels in all frames of a clip: it reads them all before it writes one, so
that nothing is overwritten unread. Any layer at the site will do, and the shortcut is exact, bit by bit.

Traffic in inference (F = the bytes of what moves): in-place 2 F, residual 2 F more to put it back; what stays is not
touched. Training: as ``buffer_shift``; where that copies the tensor and moves in the copy, one launch reads each
element where it lies and writes it where it belongs, 2 N (N = the bytes of the tensor).

Written for CUDA devices; on a CPU the operators compute the same in plain torch, and its cases are skipped. How fast it
is has not been measured yet.
"""

from bench.ops import triton_operators
from bench.ops.in_place import MovesInPlace
from bench.ops.triton_moves import InOneLaunch


class TritonShift(MovesInPlace):
    """Move only the moved channels in their own memory, in one launch, and back in another (Triton, for CUDA)."""

    name = "triton_shift"
    source = "the idea of InplaceShift in mit-han-lab/temporal-shift-module, made exact, as one kernel"
    same_function_as = "copy_shift"
    devices = ("cuda",)
    mover = InOneLaunch()

    def skip(self, backbone: str, frames: int) -> str | None:
        """Where no Triton kernel can run."""
        return triton_operators.why_not()
