"""Finding objects in a running video: a detector frame by frame, with a causal shift, and with one that looks ahead.

``scenes`` renders what is to be found, ``speed`` says how fast it is, ``fitting`` trains, ``training`` makes the three
forms of the detector from one pre-training, ``scoring`` is mean average precision, ``worker`` the process in which a
pre-training or an arm runs. The detectors themselves are among the backbones.
"""
