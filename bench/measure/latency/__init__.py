"""How latency is measured: small differences on noisy machines.

One *slot* is one forward pass, or a few consecutive frames where the network runs frame by frame (``streams``). A
*superblock* is a random order of all cases followed by its mirror image, so that linear drift cancels in every pair. A
*replicate* is one fresh process that measures superblocks until its share of the budget is used up. The interval is
taken across replicates, because memory layout and algorithm choice vary there.
"""
