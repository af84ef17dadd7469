"""Where a network takes a strategy: in its residual branches, which are found by tracing it, and in the blocks of a
vision transformer (``token_blocks``), which are known by their types.

A residual block is the innermost module that adds two paths which both begin at its input. The path with more
convolutions is the branch, the other one the shortcut; the site is the first layer of the branch. As released, blocks
without a shortcut take no shift, and from stages of 23 blocks on only every second one takes it in its branch.
"""

import operator
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

from bench.models.token_blocks import token_sites
from bench.spec.axes import Placement
from bench.strategy import Site

_LONG_STAGE = 23  # blocks: from ResNet-101 on, which has such a stage, the released code shifts in every second block
_ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")


class NoSites(ValueError):
    """A network without a place for a strategy; the message says how to name places."""


def sites(network: nn.Module, placement: Placement = "residual") -> list[tuple[nn.Module, str, Site]]:
    """(the block's parent, the block's name in it, the site in the block), in the order of the network's modules.

    A network may name its own in an attribute ``shift_sites``: {path of a block: path of the layer in it, or a
    ``TokenSite``}. One whose ``takes_shift`` is False has none. Every block of a vision transformer takes a shift,
    however many there are.
    """
    if not getattr(network, "takes_shift", True):
        return []
    root = getattr(network, "trunk", network)
    tokens = token_sites(root)
    if (declared := getattr(root, "shift_sites", None)) is not None:
        places = _declared(root, declared)
    elif tokens:  # of a hybrid its transformer alone: a strategy stands before one kind of features
        places = dict[str, Site](tokens)
    else:
        found = residual_sites(root)
        found = _every_second(found) if placement == "residual" else found
        places = {block: Site("conv1", layer) for block, layer in found.items()}
    parted = [(*block.rpartition(".")[::2], replace(site, block=block)) for block, site in places.items()]
    return [(root.get_submodule(parent), name, site) for parent, name, site in parted]


def residual_sites(root: nn.Module) -> dict[str, str]:
    """{path of a residual block in ``root``: path of the first layer of its branch}; by the types of torchvision's
    blocks where the network cannot be traced."""
    graph = traced(root)
    return _by_type(root) if graph is None else dict(_residual_blocks(graph, dict(root.named_modules())))


def traced(root: nn.Module) -> fx.Graph | None:
    """The graph of its layers; None where the network cannot be traced."""
    try:
        return _Tracer().trace(root)
    except Exception:  # whatever a stranger's forward does with a proxy
        return None


class _Tracer(fx.Tracer):
    """Looks into modules that hold others, but into no layer."""

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return isinstance(module, nn.Conv2d | _BatchNorm) or next(module.children(), None) is None


def _residual_blocks(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, str]]:
    place = {node: number for number, node in enumerate(graph.nodes)}
    before: dict[fx.Node, set[fx.Node]] = {}  # a node, and all that it is computed from
    found = set[str]()
    for node in graph.nodes:
        before[node] = {node}.union(*(before[source] for source in node.all_input_nodes))
        paths = node.all_input_nodes
        block = _innermost(node)
        if node.target not in _ADDITIONS or len(paths) != 2 or not block or block in found:
            continue
        fork = max(before[paths[0]] & before[paths[1]], key=place.__getitem__, default=None)
        if fork is None or _innermost(fork).startswith(f"{block}."):  # inside of the block: not its first shortcut
            continue
        ways = [[part for part in before[end] if place[part] > place[fork]] for end in paths]
        depths = [sum(_is_convolution(part, modules) for part in way) for way in ways]
        branch = ways[depths.index(max(depths))]
        readers = [part for part in branch if fork in part.all_input_nodes]
        if depths[0] != depths[1] and len(readers) == 1:  # otherwise the two are branches alike, as in RepVGG
            first = str(min((part for part in branch if part.op == "call_module"), key=place.__getitem__).target)
            if first.startswith(f"{block}."):
                found.add(block)
                yield block, first.removeprefix(f"{block}.")


def _innermost(node: fx.Node) -> str:
    """The path of the module in whose ``forward`` a node was made; of a layer, its own."""
    stack: dict[str, Any] = node.meta.get("nn_module_stack") or {}
    return next(reversed(stack), "")


def _is_convolution(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(modules[str(node.target)], nn.Conv2d)


def _by_type(root: nn.Module) -> dict[str, str]:
    found = {}
    for path, block in root.named_modules():
        if isinstance(block, BasicBlock | Bottleneck):
            found[path] = "conv1"
        elif isinstance(block, InvertedResidual) and block.use_res_connect:
            found[path] = "conv.0.0"
    return found


def _every_second(found: dict[str, str]) -> dict[str, str]:
    stages: dict[str, list[str]] = {}
    for block in found:
        stages.setdefault(block.rpartition(".")[0], []).append(block)
    step = 2 if any(len(blocks) >= _LONG_STAGE for blocks in stages.values()) else 1
    return {block: found[block] for blocks in stages.values() for block in blocks[::step]}


def _declared(root: nn.Module, declared: Mapping[str, str | Site]) -> dict[str, Site]:
    places = {block: own if isinstance(own, Site) else Site("conv1", own) for block, own in declared.items()}
    for block, site in places.items():
        try:
            site.layer(root.get_submodule(block))
        except AttributeError as error:
            raise NoSites(f"shift_sites names {block!r}: {site.path!r}, which the network lacks: {error}") from None
    return places
