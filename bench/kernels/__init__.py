"""What strategies share: native code and the arithmetic of channel groups. Each piece has an exact slower fallback.

================  ======================================================================================
``groups``        which channels move where, as views of a clip; zeros at its ends
``in_place``      moved channels shifted inside their own memory, and back: whole blocks, layers, training
``products``      a 1×1 convolution as matrix products that read each group from the frame where it lies
``native``        the same two in C++, compiled on first use
================  ======================================================================================
"""
