"""What strategies share: each piece is a function or a layer that more than one mechanism is built from.

``frame_axis``: neighbours along the frame axis of [N*T, C, H, W]. ``split_convolution``: the layer that reads the
shifted features, with its weights split by input channels.
"""
