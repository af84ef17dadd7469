"""``check``: prove one strategy, property by property. Runs its code in this process."""

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.session import weights_at
from bench.spec.axes import ACCURACY_BACKBONE, BACKBONES, BASELINE, ValueNotAllowed, require, require_backbone

if TYPE_CHECKING:
    from bench.plugins.conformance import CheckResult

_MARKS = {True: "ok", None: "flag", False: "FAILED"}


def command(
    strategy: Annotated[str, typer.Argument(help="A strategy's name, or a file.")],
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Prove it in this network as a whole too; see: list backbones.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Of that network: a checkpoint, or imagenet.")] = None,
) -> int:
    """Prove one strategy: every property of conformance by name.

    Examples: check copy_shift  |  check buffer_shift --backbone timm:tf_efficientnet_lite0 --weights my.pth
    """
    weights = weights_at(weights)
    if backbone is not None:
        require_backbone(backbone, (ACCURACY_BACKBONE, *BACKBONES))
    elif weights is not None:
        raise ValueNotAllowed("--weights of check are those of a network: name it with --backbone")

    import torch

    from bench.plugins.conformance import conformance, reference_of, variants_of
    from bench.plugins.discovery import LoadError, devices_here, info_of, load_class, load_file, strategy_files
    from bench.plugins.whole_network import network_to_test_in

    if backbone is None:
        torch.set_num_threads(1)  # the tensors are small, and a second thread waits for a core where others are busy
    files = strategy_files(strategies_dir)
    is_file = strategy.endswith(".py") or "/" in strategy
    if is_file and not Path(strategy).is_file():
        raise ValueNotAllowed(f"there is no file {strategy}")
    try:
        cls = load_file(Path(strategy)) if is_file else load_class(strategy, files)
        reference = reference_of(cls, files)
    except LoadError as error:
        infos = {info.name: info for info in map(info_of, files)}
        if not is_file:
            require(strategy, sorted(infos), "strategy")
        reason = None if is_file else infos[strategy].error
        print(f"FAILED  load                {strategy}: {reason or error}")
        return 1
    print(f"{cls.name}: {cls.summary()}" + ("  (the baseline)" if cls.name == BASELINE else ""))
    worst: dict[str, tuple[CheckResult, str]] = {}
    variants = variants_of(cls)
    network = None if backbone is None else network_to_test_in(backbone, weights)
    devices = devices_here()
    if "cuda" in devices:
        torch.backends.cudnn.allow_tf32 = False  # as where a run is proven
    for variant, device in product(variants, devices):
        for result in conformance(cls, variant, reference, device, network):
            seen = worst.get(result.check)
            if seen is None or (seen[0].ok is not False and result.ok is not True):
                worst[result.check] = (
                    result,
                    f"{variant.placement} {variant.fraction} {variant.direction} on {device}",
                )
    for name, (result, which) in worst.items():
        print(f"{_MARKS[result.ok]:7} {name:19} {result.meaning}")
        if result.ok is not True:
            print(f"{'':27} {which}: {result.detail}")
    broken = sum(result.ok is False for result, _ in worst.values())
    where = f" in {backbone}" if backbone else ""
    print(f"{len(variants)} variants, {len(worst)} checks each{where}: {f'{broken} broken' if broken else 'all hold'}")
    return 1 if broken else 0
