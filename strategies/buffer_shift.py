"""Touch only the moved channels: shift them inside their own buffer and, for the residual, put them back.

In residual placement the shortcut still needs the unshifted tensor. So the mechanism shifts, runs the layer that
reads the shifted features, and shifts back; the two frames that fell off the ends are kept aside meanwhile. The
shortcut is exact, bit by bit. PyTorch's own copies do it, one frame of one group at a time; ``native_shift`` does the
same with one call for each group.

Traffic in inference (F = the bytes of a channel group, T frames): in-place 2 * 2 F (each moved byte is read and
written once), that is 2 * fraction * N; residual twice that for the way back. Training: as in inference where the layer
is a convolution, forward and backward, and a copy of the tensor before anything else. Frame by frame (F = the bytes of
one frame's moved channels): 2 F to keep them, 2 F to put the previous frame's in their place, and in residual placement
2 F to put them back.
"""

from bench.ops import in_place


class BufferShift(in_place.MovesInPlace):
    """Move only the moved channels, frame by frame in their own buffer; restore them for the shortcut."""

    name = "buffer_shift"
    source = "the idea of InplaceShift in mit-han-lab/temporal-shift-module, made exact"
    same_function_as = "copy_shift"
    exportable = (
        False  # thousands of slices and copies, which no runtime fuses: over ten minutes of export in ResNet-50
    )
    mover = in_place.FrameByFrame()
