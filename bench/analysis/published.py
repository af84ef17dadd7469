"""The strategies and the cohort that published findings speak of."""

PUBLISHED = "copy_shift"
"""The released code's strategy: its function is the paper's, whatever else computes the same is judged beside it."""

EXCHANGE = "temporal_conv"
"""The strategy that puts a learnable 3×1×1 convolution where the shift would be; it has one setting."""

REPLICATION = "replication"
"""The cohort of the arms that were trained again with other seeds."""
