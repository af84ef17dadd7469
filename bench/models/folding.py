"""Normalisations folded into the convolutions before them, as compilers for inference do it: ``folded:BACKBONE``."""

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from bench.models.residual_blocks import traced
from bench.spec.axes import ValueNotAllowed

_PADDED = ("Conv2dSame",)  # timm's, with TensorFlow's padding: other subclasses may change their weights as they run
_AFTERWARDS = ("drop", "act")  # what timm's normalisations do besides


def fold_normalisations(network: nn.Module) -> None:
    """Let each convolution of ``network``, in evaluation, do what the batch normalisation that alone reads it does.

    Blocks and the names of layers stay, so that strategies find their places. Raises ValueNotAllowed where there is
    nothing to fold, or the network cannot be traced.
    """
    graph = traced(network)
    if graph is None:
        raise ValueNotAllowed("its normalisations cannot be folded, as it cannot be traced")
    modules = dict(network.named_modules())
    pairs = [(str(node.args[0].target), str(node.target)) for node in graph.nodes if _folds(node, modules)]
    if not pairs:
        raise ValueNotAllowed("it has no batch normalisation after a convolution that could be folded")
    for conv, norm in pairs:
        network.set_submodule(conv, fuse_conv_bn_eval(modules[conv], modules[norm]))
        left = [own for name in _AFTERWARDS if (own := getattr(modules[norm], name, None)) is not None]
        network.set_submodule(norm, nn.Sequential(*left) if left else nn.Identity())


def _folds(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    """Whether ``node`` normalises what a convolution gives, nobody else reads that, and both run once."""
    source = node.args[0] if node.args else None
    if node.op != "call_module" or not isinstance(source, fx.Node) or source.op != "call_module":
        return False
    norm, conv = modules[str(node.target)], modules[str(source.target)]
    once = all(sum(other.target == own.target for other in node.graph.nodes) == 1 for own in (node, source))
    kept = isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats
    plain = type(conv) is nn.Conv2d or type(conv).__name__ in _PADDED
    return kept and plain and len(source.users) == 1 and once
