"""Native code that strategies share, each with its exact fallback.

==================  ====================================================================================
``layout``          how frames lie in memory, for kernels that walk through it themselves
``triton_gate``     whether a Triton kernel can take a tensor, and the reason why not
``triton_shift``    operator: the shift in one launch
``triton_conv``     operators: the shift fused into a 1×1 convolution that reads it; forward and backward
``triton_launch``   grids and tile sizes of the Triton kernels; imported only where Triton is
``triton_code``     the Triton kernels themselves; imported only where Triton is
==================  ====================================================================================
"""
