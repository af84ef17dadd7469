"""``check``: prove one strategy, property by property. Runs its code in this process."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.session import weights_at
from bench.spec.axes import ACCURACY_BACKBONE, BACKBONES, BASELINE, ValueNotAllowed, require, require_backbone
from bench.spec.parameters import described, parse, plain, spelled_out

if TYPE_CHECKING:
    from bench.models import Network
    from bench.plugins.conformance import CheckResult
    from bench.strategy import Strategy

_MARKS = {True: "ok", None: "flag", False: "FAILED"}


def command(
    strategy: Annotated[str, typer.Argument(help="A strategy's name, with values or without, or a file.")],
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Prove it in this network as a whole too; see: list backbones.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Of that network: a checkpoint, or imagenet.")] = None,
) -> int:
    """Prove one strategy, or all of a file: every property of conformance by name.

    Examples: check copy_shift  |  check buffer_shift --backbone timm:tf_efficientnet_lite0 --weights my.pth
    """
    weights = weights_at(weights)
    if backbone is not None:
        require_backbone(backbone, (ACCURACY_BACKBONE, *BACKBONES))
    elif weights is not None:
        raise ValueNotAllowed("--weights of check are those of a network: name it with --backbone")

    import torch

    from bench.plugins import discovery
    from bench.plugins.conformance import reference_of
    from bench.plugins.discovery import LoadError, load_class, load_classes, strategy_files
    from bench.plugins.whole_network import network_to_test_in

    if backbone is None:
        torch.set_num_threads(1)  # the tensors are small, and a second thread waits for a core where others are busy
    files = strategy_files(strategies_dir)
    is_file = plain(strategy).endswith(".py") or "/" in plain(strategy)
    if is_file and not Path(strategy).is_file():
        raise ValueNotAllowed(f"there is no file {strategy}")
    try:
        if is_file:
            classes = load_classes(Path(strategy))
        else:
            classes = [load_class(name, files) for name in _spelled_out(strategy, files)]
        references = [reference_of(cls, files) for cls in classes]
    except LoadError as error:
        failed = {info.name: info.error for info in discovery.describe(files)[0]}
        if not is_file:
            require(parse(strategy)[0], sorted(failed), "strategy")
        reason = None if is_file else failed[parse(strategy)[0]]
        print(f"FAILED  load                {strategy}: {reason or error}")
        return 1
    network = None if backbone is None else network_to_test_in(backbone, weights)
    broken = [_prove(cls, reference, network, backbone) for cls, reference in zip(classes, references, strict=True)]
    return 1 if any(broken) else 0


def _spelled_out(strategy: str, files: Sequence[Path]) -> list[str]:
    """``tam[kernel=3,5]`` -> [tam, tam[kernel=5]]. Raises LoadError, ValueNotAllowed."""
    from bench.plugins.discovery import load_class

    return spelled_out(strategy, load_class(parse(strategy)[0], files).parameters())


def _prove(
    cls: "type[Strategy]", reference: "type[Strategy] | None", network: "Network | None", backbone: str | None
) -> int:
    """Print what holds. Returns how many properties do not."""
    import torch

    from bench import models
    from bench.models.network import refusals
    from bench.plugins.conformance import conformance, variants_of
    from bench.plugins.discovery import devices_here

    print(f"{cls.name}: {cls.summary()}" + ("  (the baseline)" if cls.name == BASELINE else ""))
    for line in described(cls.parameters()):
        print(f"{'':8}{line}")
    worst: dict[str, tuple[CheckResult, str]] = {}
    variants, devices = variants_of(cls), devices_here()
    if "cuda" in devices:
        torch.backends.cudnn.allow_tf32 = False  # as where a run is proven
    for variant, device in product(variants, devices):
        for result in conformance(cls, variant, reference, device, network):
            seen = worst.get(result.check)
            if seen is None or (seen[0].ok is not False and result.ok is not True):
                which = f"{variant.placement} {variant.fraction} {variant.direction} on {device}"
                worst[result.check] = (result, which)
    for name, (result, which) in worst.items():
        print(f"{_MARKS[result.ok]:7} {name:19} {result.meaning}")
        if result.ok is not True:
            print(f"{'':27} {which}: {result.detail}")
    if network is not None:
        found = models.sites(network)
        refused = refusals(cls(), found)
        for reason in dict.fromkeys(refused.values()):
            places = sum(own == reason for own in refused.values())
            print(f"{'':7} {places} of {len(found)} places of {backbone} are left as they are: {reason}")
    broken = sum(result.ok is False for result, _ in worst.values())
    where = f" in {backbone}" if backbone else ""
    print(f"{len(variants)} variants, {len(worst)} checks each{where}: {f'{broken} broken' if broken else 'all hold'}")
    return broken
