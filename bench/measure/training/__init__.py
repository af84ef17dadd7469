"""What a shift buys: a mini-training on data whose temporal classes no single frame can tell.

``datasets`` names the data sets and versions them; ``clips`` is what each of them gives, ``ring_digits`` and
``opening_digits`` are the two there are, made from ``bench.data.arrays``, ``sprites`` and ``orders``.
``training`` pre-trains a 2-D network on single frames and fine-tunes one arm, ``fitting`` is the loop of both,
``evaluation`` the test, ``checkpoint`` keeps the pre-trained weights that all arms of a seed share, ``worker`` is the
process in which either of them runs.
"""
