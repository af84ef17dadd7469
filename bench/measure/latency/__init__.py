"""How latency is measured: small differences on noisy machines.

One *slot* is one forward pass, or a few consecutive frames where the network runs frame by frame (``streams``). A
*superblock* is a random order of all cases followed by its mirror image, so that linear drift cancels in every pair. A
*replicate* is one fresh process that measures superblocks until its share of the budget is used up. The panels of a
section take turns, a process each, so that what drifts over minutes meets all of them.

Memory layout is a source of variance, never a constant: every process builds its cases in a random order, the baseline
among them, and in eager on a CPU builds them anew before each further superblock, weights and input in new places.
A process starts from nothing. Forked from one that has imported everything it would start seconds sooner, but all would
share one address-space layout and one heap, and so vary less than users' processes do; a fork of OpenMP's threads is
not safe either. The interval is taken across replicates.
"""
