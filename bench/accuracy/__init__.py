"""What a shift buys: a mini-training on data whose temporal classes no single frame can tell.

``datasets`` names the data sets; ``clips`` is what each of them gives, ``ring_digits`` the first, ``sprites`` what it
is drawn from. ``training`` pre-trains the 2-D network on single frames and fine-tunes one arm, ``checkpoint`` keeps
the pre-trained weights that all arms of a seed share, ``worker`` is the process in which either of them runs.
"""
