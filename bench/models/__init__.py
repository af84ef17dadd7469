"""Networks, and where each of them takes a strategy.

A network maps frames [N*T, C, H, W] to clip logits [N, classes]. A 2-D one sees every frame on its own, then takes the
consensus, the average of the frames' logits (TSM, section 3.1; TSN). A 3-D one lets frames meet in its convolutions and
takes no shift; it is there to compare with.

===================  ======================================================================================
``network``          what a network is; ``insert`` and ``remove``; layout in memory
``residual_blocks``  ``sites``: where a network takes a strategy, found by tracing it
``token_blocks``     the same in vision transformers, by the types of their blocks
``small_blocks``     on which a strategy is proven
``folding``          normalisations folded into convolutions, as networks are deployed
``inflation``        convolutions over time in place of a 2-D network's, and the weights they start from
``trainable``        ``build_trainable``: networks with two heads, for the accuracy experiment
``detectors``        ``build_detector``: FCOS, trained small and timed at full size
``full_size``        ``build``: any network, with random weights or trained ones
``backbones``        networks from elsewhere, ImageNet's weights, ``normalisation``
``online``           ``go_online``: a network with a causal strategy, frame by frame, and the proof of it
``streams``          many streams in one network; one source, played at its own rate
``weights``          weights from files: torchvision's, released TSM checkpoints, this suite's own; ``set_head``
``runtimes/``        where a network runs: one small file per runtime; held against eager
===================  ======================================================================================
"""

from bench.models.backbones import normalisation
from bench.models.detectors import Detector, EveryPosition, Found, Targets, build_detector
from bench.models.full_size import build
from bench.models.inflation import load_pretrained
from bench.models.network import Network, channels_of, edge_of, insert, lay_out, remove, require_edge
from bench.models.online import OnlineNetwork, State, StreamError, go_online, inputs, joined, prove
from bench.models.residual_blocks import NoSites, sites
from bench.models.trainable import build_trainable, pretrained_form
from bench.models.weights import last_layers, load_weights, released_otherwise, set_head

__all__ = ["Detector", "EveryPosition", "Found", "Network", "NoSites", "OnlineNetwork", "State", "StreamError"]
__all__ += ["Targets", "build", "build_detector", "build_trainable", "channels_of", "edge_of", "go_online", "inputs"]
__all__ += ["insert", "joined", "last_layers", "lay_out", "load_pretrained", "load_weights", "normalisation"]
__all__ += ["pretrained_form", "prove", "released_otherwise", "remove", "require_edge", "set_head", "sites"]
