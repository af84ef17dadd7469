"""``check``: conformance of one strategy, printed property by property. Runs a stranger's code in this process."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch

from bench.plugins.conformance import Verdict, conformance
from bench.plugins.discovery import LoadError, info_of, load_class, load_file
from bench.spec.axes import BASELINE, ValueNotAllowed, parse_fraction
from bench.spec.cases import Variant
from bench.strategy import Strategy

FRACTIONS = (Fraction(1, 8), Fraction(1, 4), Fraction(3, 10), Fraction(1, 2), Fraction(1))


def variants_of(cls: type[Strategy]) -> list[Variant]:
    """Every placement and direction that a strategy declares, at the fractions that it declares or at ``FRACTIONS``."""
    fractions: Sequence[Fraction] = FRACTIONS
    if cls.fractions is not None:
        fractions = [parse_fraction(f) for f in cls.fractions]
    return [Variant(cls.name, f, p, d) for p in cls.placements for d in cls.directions for f in fractions]


def reference_of(cls: type[Strategy], files: Sequence[Path]) -> type[Strategy] | None:
    """The class that ``cls`` claims to equal. Raises LoadError where there is none of that name."""
    return load_class(cls.same_function_as, files) if cls.same_function_as else None


def check_strategy(which: Path | str, files: Sequence[Path]) -> int:
    """Print each check with its outcome; 0: all hold, 1: one does not. Raises ValueNotAllowed for an unknown name."""
    torch.set_num_threads(1)  # the tensors are small, and a second thread waits for a core where others are busy
    try:
        cls = load_file(which) if isinstance(which, Path) else load_class(which, files)
        reference = reference_of(cls, files)
    except LoadError as error:
        names = sorted(info_of(file).name for file in files)
        if isinstance(which, str) and which not in names:
            raise ValueNotAllowed(f"unknown strategy {which!r}; there are: {', '.join(names)}") from None
        reasons = [info.error for info in map(info_of, files) if info.name == which and info.error]
        print(f"FAILED  load                {which}: {reasons[0] if reasons else error}")
        return 1
    print(f"{cls.name}: {cls.summary()}" + ("  (the baseline)" if cls.name == BASELINE else ""))
    worst: dict[str, tuple[Verdict, Variant]] = {}
    variants = variants_of(cls)
    for variant in variants:
        for verdict in conformance(cls, variant, reference):
            seen = worst.get(verdict.check)
            if seen is None or (seen[0].ok is not False and verdict.ok is not True):
                worst[verdict.check] = (verdict, variant)
    marks = {True: "ok", None: "flag", False: "FAILED"}
    for name, (verdict, variant) in worst.items():
        print(f"{marks[verdict.ok]:7} {name:19} {verdict.meaning}")
        if verdict.ok is not True:
            print(f"{'':27} {variant.placement} {variant.fraction} {variant.direction}: {verdict.detail}")
    count = sum(verdict.ok is False for verdict, _ in worst.values())
    print(f"{len(variants)} variants, {len(worst)} checks each: {f'{count} broken' if count else 'all hold'}")
    return 1 if count else 0
