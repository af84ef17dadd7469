"""What every strategy must satisfy before anyone times it. ``check``, the sweep and the tests all call this.

Each check looks at a strategy through its ``wrap``, inside blocks, never through a bare ``shift``: what counts is what
the layer at the site reads and what the shortcut keeps. As a module this file is the process that proves a run's
strategies before they are measured.
"""

import gc
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench import models
from bench.models.runtimes import answers
from bench.models.small_blocks import features_taken, silence
from bench.models.weights import learned
from bench.ops.triton_operators import on_compilation
from bench.plugins.discovery import LoadError, configured, load_class, load_classes, one_of
from bench.plugins.side_effects import SideEffectError, no_side_effects
from bench.plugins.subject import Broken, Kept, Remark, Subject, differ, infer, unlike
from bench.plugins.whole_network import IN_GIVEN_NETWORK, equal_in_network
from bench.spec.axes import parse_fraction
from bench.spec.cases import Variant
from bench.spec.parameters import alike
from bench.strategy import CannotStream, NotTaken, Strategy
from bench.system import workers

BLOCK_TOLERANCE = 1e-5  # max |difference| / max |reference| in fp32: one block's rounding

_LENGTHS = (1, 2, 3, 8, 16)
_CHANNELS = (16, 7, 12)  # 7 and 12: counts that most fractions do not divide
_MORE_CHANNELS = (*_CHANNELS, 24, 160)  # and those of MobileNetV2, where a count may be rounded differently
_FRACTIONS = tuple(map(Fraction, ("1/8", "1/4", "3/10", "1/2", "1")))
_DTYPES = (torch.float32, torch.bfloat16)
_LAYOUTS = (torch.contiguous_format, torch.channels_last)
_OF_STREAMS = ("online", "step", "recalled")  # a strategy that overrides one of them promises to stream


@dataclass(frozen=True)
class CheckResult:
    """One property of one variant. ``ok`` None: it does not hold, which is worth a flag but no failure."""

    check: str
    meaning: str
    ok: bool | None
    detail: str = ""


def shape(subject: Subject) -> None:
    """Shape, dtype and device are kept for T in 1, 2, 3, 8, 16, several clips and odd channel counts."""
    for t, c, dtype in product(_LENGTHS, subject.taken(_CHANNELS), _DTYPES):
        frames, given = subject.clip(2, t, c).to(dtype), list[torch.Size]()
        block = subject.reader(c).to(dtype)
        block.conv1.register_forward_pre_hook(lambda _, args, given=given: given.append(args[0].shape))
        try:
            out = infer(subject.built(block, t), frames.clone())
        except RuntimeError as error:
            if not given or given[-1] == frames.shape:
                raise
            raise Broken(f"shape becomes {given[-1]} instead of {frames.shape} at T={t}, C={c}") from error
        for name in ("shape", "dtype", "device"):
            got, want = getattr(out, name), getattr(frames, name)
            if got != want:
                raise Broken(f"{name} becomes {got} instead of {want} at T={t}, C={c}")


def keeps_to_itself(subject: Subject) -> None:
    """It leaves PyTorch's settings as they are, and no thread or process running."""
    subject.read(subject.clip(2, 3, subject.channels), 3)  # every check is watched for it; this one gives it a name


def finite(subject: Subject) -> None:
    """Finite features stay finite, in fp32 and bf16."""
    for t, dtype in product(_LENGTHS, _DTYPES):
        if not torch.isfinite(subject.read(subject.clip(2, t, subject.channels).to(dtype), t)).all():
            raise Broken(f"NaN or infinity in the output at T={t} in {dtype}")


def clips_apart(subject: Subject) -> None:
    """Nothing leaks from one clip of a batch into another, whatever the strategy has learned."""
    t = 3
    frames = subject.clip(3, t, subject.channels)
    changed = frames.clone()
    changed[t : 2 * t] = unlike(changed[t : 2 * t])
    before, after = subject.read(frames, t, trained=True), subject.read(changed, t, trained=True)
    others = [*range(t), *range(2 * t, 3 * t)]
    differ(after[others], before[others], 0.0, "changing the clip between changes another clip", t)


def shortcut_exact(subject: Subject) -> None:
    """In residual placement the shortcut carries the present frame, whatever the strategy has learned."""
    if subject.make().placement != "residual":
        return
    for block in subject.blocks(subject.channels):
        silence(block)
        wrapped = subject.built(block, 4, trained=True)
        frames = subject.clip(2, 4, subject.channels).abs()
        differ(infer(wrapped, frames.clone()), frames, 0.0, f"the shortcut of a {type(block).__name__}", 4)


def causal(subject: Subject) -> None:
    """Unidirectional: no frame reads anything of the future, whatever the strategy has learned."""
    if subject.make().direction != "unidirectional":
        return
    t = 8
    frames = subject.clip(1, t, subject.channels)
    before = subject.read(frames, t, trained=True)
    for future in range(1, t):
        changed = frames.clone()
        changed[future:] = unlike(changed[future:])
        after = subject.read(changed, t, trained=True)
        differ(after[:future], before[:future], 0.0, f"a change from frame {future} on changes the past", t)


def identity_at_zero(subject: Subject) -> None:
    """With fraction 0 nothing moves."""
    strategy = subject.make()
    at_zero = partial(type(strategy), 0.0, strategy.placement, strategy.direction)
    for t in (1, 3):
        frames = subject.clip(2, t, subject.channels)
        differ(subject.read(frames, t, at_zero), frames, 0.0, "fraction 0", t)


def gradients(subject: Subject) -> None:
    """Gradients reach input, weights and all that the strategy learns, and are finite, in fp32 and autocast."""
    for autocast in (False, True):
        found = subject.gradients(subject.reader(subject.channels), subject.make, 4, autocast=autocast)
        for name, gradient in found.items():
            if gradient is None or not torch.isfinite(gradient).all():
                what = f"{'missing' if gradient is None else 'not finite'}{' in autocast' if autocast else ''}"
                raise Broken(f"the gradient of {name} is {what}")


def deterministic(subject: Subject) -> None:
    """The same input gives the same output, bit by bit, from two instances and twice in a row."""
    frames = subject.clip(2, 8, subject.channels)
    first = subject.read(frames, 8)
    differ(subject.read(frames, 8), first, 0.0, "a second instance", 8)
    wrapped = subject.built(subject.reader(subject.channels), 8)
    for run in ("first", "second"):
        differ(infer(wrapped, frames.clone()), first, 0.0, f"the {run} run in a row", 8)


def stateless(subject: Subject) -> None:
    """In inference nothing is kept from batch to batch: weights and buffers stay, and what it holds does not grow."""
    frames = subject.clip(2, 4, subject.channels)
    for block in subject.blocks(subject.channels):
        wrapped, held = subject.built(block, 4), list[int]()
        before = {name: value.clone() for name, value in wrapped.state_dict().items()}
        with Kept() as kept:
            for _ in range(3):  # what is made once, at first, may be held
                infer(wrapped, frames.clone())
                held.append(kept.numbers)
            if held[2] > held[1]:
                gc.collect()  # what is held by nobody but itself is none of it
                if (more := kept.numbers - held[1]) > 0:
                    raise Broken(f"after the third batch of 2 clips it holds {more} numbers more than after the second")
        for name, value in wrapped.state_dict().items():
            if name not in before or not torch.equal(value, before[name]):
                raise Broken(f"{name} changes from batch to batch")


def checkpoint(subject: Subject) -> None:
    """With the state dict of another copy, which has trained, it computes what that one does."""
    frames = subject.clip(2, 4, subject.channels)
    for first, second in zip(subject.blocks(subject.channels), subject.blocks(subject.channels), strict=True):
        kept, one = io.BytesIO(), subject.built(first, 4, trained=True)
        one.train()(frames.clone())  # moves the statistics of normalisations
        torch.save(one.state_dict(), kept)
        kept.seek(0)
        other = subject.built(second, 4, seed=1)
        other.load_state_dict(torch.load(kept, weights_only=True))
        got, want = infer(other, frames.clone()), infer(one, frames.clone())
        differ(got, want, BLOCK_TOLERANCE, "another copy with its state dict", 4)


def memory_format(subject: Subject) -> None:
    """channels_last stays channels_last (flagged, not failed: it is correct, but the next layer pays)."""
    layout = torch.contiguous_format if subject.features == "tokens" else torch.channels_last  # tokens lie so anyway
    frames = subject.clip(2, 4, subject.channels).contiguous(memory_format=layout)
    seen: list[bool] = []
    block = subject.reader(subject.channels).to(memory_format=layout)
    block.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0].is_contiguous(memory_format=layout)))
    infer(subject.built(block, 4), frames)
    if seen and not seen[0]:
        raise Broken("channels_last features come out in another memory format")


def equal_in_block(subject: Subject) -> None:
    """Equal to what it claims to equal, forward and backward, inside Basic and Bottleneck blocks, in both layouts."""
    if subject.reference is None:
        return
    makes = (subject.make, subject.reference)
    layouts = _LAYOUTS if subject.features == "maps" else _LAYOUTS[:1]
    for c in subject.taken(_MORE_CHANNELS):
        frames = subject.clip(2, 3, c)
        got, want = (subject.read(frames, 3, make, trained=True) for make in makes)
        differ(got, want, 0.0, f"{c} channels", 3)
    for t in _LENGTHS:
        for kind, layout in product(range(len(subject.blocks(subject.channels))), layouts):
            outs, name = list[Tensor](), ""
            for make in makes:
                block = learned(subject.blocks(subject.channels)[kind])
                name = type(block).__name__
                frames = subject.clip(2, t, subject.channels).contiguous(memory_format=layout)
                outs.append(infer(subject.built(block, t, make, trained=True), frames))
            differ(outs[0], outs[1], BLOCK_TOLERANCE, f"{name}, {layout}", t)
        found = [subject.gradients(subject.blocks(subject.channels)[-1], make, t, trained=True) for make in makes]
        for name, wanted in found[1].items():
            given = found[0].get(name)
            if given is None or wanted is None:
                raise Broken(f"the gradient of {name} is missing")
            rows = len(wanted) if wanted.dim() > 1 else 1
            differ(given.reshape(rows, -1), wanted.reshape(rows, -1), BLOCK_TOLERANCE, f"gradient of {name}", t)


def streams(subject: Subject) -> None:
    """Frame by frame it computes what it computes in clips (flagged, not failed, where it promises no stream)."""
    strategy = subject.make()
    if strategy.direction != "unidirectional" or strategy.fraction == 0:
        return
    try:
        models.prove(strategy, subject.device, subject.features)
    except CannotStream as why:
        promised = any(getattr(type(strategy), name) is not getattr(Strategy, name) for name in _OF_STREAMS)
        raise (Broken if promised else Remark)(str(why)) from None


CHECKS: tuple[Callable[[Subject], None], ...] = (
    keeps_to_itself,
    shape,
    finite,
    clips_apart,
    shortcut_exact,
    causal,
    streams,
    identity_at_zero,
    gradients,
    deterministic,
    stateless,
    checkpoint,
    memory_format,
    equal_in_block,
    equal_in_network,
)


_ON_EACH = {*CHECKS} - {keeps_to_itself, equal_in_network}  # of the features that a strategy takes
_TOKENS_TOO = 'with the tokens of a transformer, which it takes unless it says features = ("maps",): '


def conformance(
    cls: type[Strategy],
    variant: Variant,
    reference: type[Strategy] | None,
    device: str = "cpu",
    network: models.Network | None = None,
) -> Iterator[CheckResult]:
    """Every check on one variant of ``cls``; ``reference`` is the class named in ``same_function_as``.

    network: of ``network_to_test_in``, in which it is tested as a whole; None: in digits_resnet, and less there.
    """
    axes: Any = (float(variant.fraction), variant.placement, variant.direction)
    subject = Subject(partial(cls, *axes), partial(reference, *axes) if reference else None, device, network)
    for check in (*CHECKS, *(IN_GIVEN_NETWORK if network else ())):
        meaning, where = (check.__doc__ or "").strip(), ""
        try:
            with no_side_effects():
                check(subject)
                for other in features_taken(subject.make())[1:] if check in _ON_EACH else ():
                    where = _TOKENS_TOO
                    check(replace(subject, given=other))
            yield CheckResult(check.__name__, meaning, True)
        except Exception as error:  # a stranger's code: whatever it raises is the reason
            detail = str(error) if isinstance(error, Broken | SideEffectError) else f"raised {workers.one_line(error)}"
            detail = f"{where}{detail}"
            flagged = check is memory_format or isinstance(error, Remark | NotTaken)
            yield CheckResult(check.__name__, meaning, None if flagged else False, detail)


def variants_of(cls: type[Strategy]) -> list[Variant]:
    """Every placement and direction that a strategy declares, at the fractions that it declares or at usual ones."""
    fractions = _FRACTIONS if cls.fractions is None else [parse_fraction(fraction) for fraction in cls.fractions]
    return [Variant(cls.name, f, p, d) for p in cls.placements for d in cls.directions for f in fractions]


def reference_of(cls: type[Strategy], files: Sequence[Path]) -> type[Strategy] | None:
    """The class that ``cls`` claims to equal, with the same values where it takes them. Raises LoadError where there is
    none of that name."""
    if not cls.same_function_as:
        return None
    other = load_class(cls.same_function_as, files)
    return configured(other, alike(cls.name, other.name, other.parameters()))


def answer(job: dict[str, Any], emit: workers.Emit, answers: Callable[[str], bool] = answers) -> None:
    """job: ``files``, ``devices`` and ``strategies``, each with its name, file and the variants that will be measured.

    Events: ``enter`` before a strategy's code runs; ``verdict`` after each check; ``checked`` with the first check that
    failed, or None, flags, and whether it ``broke`` a device: then this process ends, as nothing can be proven in it.
    """
    if "cuda" in job["devices"]:
        on_compilation(lambda: emit({"event": "compiled"}))
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False  # its rounding, 1e-3, would hide or fake differences between mechanisms
    files = [Path(file) for file in job["files"]]
    for entry in job["strategies"]:
        emit({"event": "enter", "strategy": entry["name"]})
        failed, flags = None, set()
        for result, where in _results(entry, files, job["devices"]):
            emit({"event": "verdict", "check": result.check})
            if result.ok is None:
                flags.add(result.check)
            if result.ok is False:
                failed = f"check {result.check} ({where}): {result.detail}"
                break
        broke = failed is not None and not all(map(answers, job["devices"]))
        told = {"strategy": entry["name"], "failed": failed, "flags": sorted(flags), "broke": broke}
        emit({"event": "checked", **told})
        if broke:
            return


def _results(entry: dict[str, Any], files: Sequence[Path], devices: Sequence[str]) -> Iterator[tuple[CheckResult, str]]:
    """(a check's result, on which variant and device)."""
    try:
        cls = one_of(load_classes(Path(entry["file"])), entry["name"])
        reference = reference_of(cls, files)
    except LoadError as error:
        yield CheckResult("load", "the file loads", False, str(error)), "loading"
        return
    for variant in map(Variant.from_json, entry["variants"]):
        for device in devices:
            where = f"{variant.placement} {variant.fraction} {variant.direction} on {device}"
            yield from ((result, where) for result in conformance(cls, variant, reference, device))


if __name__ == "__main__":
    workers.serve(answer)
