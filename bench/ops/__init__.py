"""What strategies share: native code and the arithmetic of channel groups. Each piece has an exact slower fallback.

====================  ==================================================================================
``frames``            which channels move where; neighbours along the frame axis; layout in memory
``in_place``          moved channels shifted inside their own memory, and back: blocks, layers, training
``products``          a 1×1 convolution as matrix products that read each group where it lies
``native``            those two and the passes of ``placed_block`` in C++, compiled on first use
``residual``          a residual block's layers; convolutions split by channels, for graph compilers
``placed_block``      moved channels written where the next block reads them, in passes that are made anyway
``placed_operators``  those passes on a GPU: one launch that ends a residual block
``affine``            normalisations in evaluation, as scale and offset
``fused_block``       a block that begins with the product of shifted frames, normalised and rectified in one kernel
``triton_operators``  the shift, and the shift fused into a 1×1 convolution, as operators; forward and backward
``triton_launch``     grids and tile sizes of the Triton kernels; imported only where Triton is
``triton_code``       the Triton kernels themselves; imported only where Triton is
====================  ==================================================================================
"""
