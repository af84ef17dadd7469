"""What strategies share: native code and the arithmetic of channel groups. Each piece has an exact slower fallback.

=====================  =================================================================================
``groups``             which channels move where, as views of a clip; zeros at its ends
``in_place``           moved channels shifted inside their own memory, and back: blocks, layers, training
``products``           a 1×1 convolution as matrix products that read each group where it lies
``native``             those two and the passes of ``placed_block`` in C++, compiled on first use
``frame_axis``         neighbours along the frame axis of [N*T, C, H, W], for graph compilers
``split_convolution``  the layer that reads the shifted features, its weights split by input channels
``residual``           what a residual block is made of, for mechanisms that take a part in its ends
``parted_block``       features in parts from block to block, for graph compilers
``placed_block``       moved channels written where the next block reads them, in passes that are made anyway
``layout``             how frames lie in memory, for kernels that walk through it themselves
``triton_gate``        whether a Triton kernel can take a tensor, and the reason why not
``triton_shift``       operator: the shift in one launch
``triton_conv``        operators: the shift fused into a 1×1 convolution that reads it; forward and backward
``triton_launch``      grids and tile sizes of the Triton kernels; imported only where Triton is
``triton_code``        the Triton kernels themselves; imported only where Triton is
=====================  =================================================================================
"""
