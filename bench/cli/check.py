"""``check``: prove one strategy, property by property. Runs its code in this process."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.spec.axes import BASELINE, ValueNotAllowed, require

if TYPE_CHECKING:
    from bench.plugins.conformance import CheckResult
    from bench.spec.cases import Variant

_MARKS = {True: "ok", None: "flag", False: "FAILED"}


def command(
    strategy: Annotated[str, typer.Argument(help="A strategy's name, or a file.")],
    strategies_dir: Annotated[Path | None, typer.Option(help="A folder with more strategy files.")] = None,
) -> int:
    """Prove one strategy: every property of conformance by name."""
    import torch

    from bench.plugins.conformance import conformance, reference_of, variants_of
    from bench.plugins.discovery import LoadError, info_of, load_class, load_file, strategy_files

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
    worst: dict[str, tuple[CheckResult, Variant]] = {}
    variants = variants_of(cls)
    for variant in variants:
        for result in conformance(cls, variant, reference):
            seen = worst.get(result.check)
            if seen is None or (seen[0].ok is not False and result.ok is not True):
                worst[result.check] = (result, variant)
    for name, (result, variant) in worst.items():
        print(f"{_MARKS[result.ok]:7} {name:19} {result.meaning}")
        if result.ok is not True:
            print(f"{'':27} {variant.placement} {variant.fraction} {variant.direction}: {result.detail}")
    broken = sum(result.ok is False for result, _ in worst.values())
    print(f"{len(variants)} variants, {len(worst)} checks each: {f'{broken} broken' if broken else 'all hold'}")
    return 1 if broken else 0
