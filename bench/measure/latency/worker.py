"""A fresh process that builds the cases of one panel and counts (``static``) or times (``timed``) them.

Events: ``enter`` (before the code of a case runs for the first time), ``static``, ``skipped`` and ``failed`` (a case
and why), ``ready`` (all cases are built and warm), ``superblock`` (its slots and what disturbed it), ``out_of_time``
(the process would not end in time), ``device_lost``, ``compiled`` (a sign of life from Triton's compiler).
"""

import gc
import random
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bench.measure.latency import timing
from bench.measure.latency.builder import PanelBuilder
from bench.measure.latency.devices import Call, Device, device_for
from bench.models.runtimes import EXPORTED, INSPECTED, Poisoned, executed, graph_breaks
from bench.ops.triton_operators import on_compilation
from bench.plugins.conformance import reference_of
from bench.plugins.discovery import load_class
from bench.plugins.side_effects import LeftRunning
from bench.spec.axes import EAGER
from bench.spec.cases import Case
from bench.spec.panel import Panel
from bench.strategy import CannotStream, NotTaken, Strategy
from bench.system import allocators, workers

_RUNS_BEFORE_COUNTING = 2  # the second sees what the first may have left behind


def answer(job: dict[str, Any], emit: workers.Emit, device_for: Callable[[str], Device] = device_for) -> None:
    """Do what the job says (``static``, ``timed``, or tell whether the device is ``present``) while it is there."""
    if job["mode"] == "present":
        emit({"event": "present", "present": device_for(job["device"]).present()})
        return
    panel = Panel.from_json(job["panel"])
    device = device_for(panel.device)
    if device.cuda is not None:
        on_compilation(lambda: emit({"event": "compiled"}))
    try:
        builder = PanelBuilder(panel, device, job["seed"], job.get("weights"))
        with torch.inference_mode():
            _work(job, emit, builder)
    except RuntimeError as error:
        if device.present():
            raise
        emit({"event": "device_lost", "reason": workers.one_line(error)})


def _work(job: dict[str, Any], emit: workers.Emit, builder: PanelBuilder) -> None:
    """Build every case, then count or time it; a case that fails costs itself."""
    cases = Cases(job, emit, builder)
    if job["mode"] == "static":
        for index, strategy, model, call in cases.build(cases.indices, EAGER, _RUNS_BEFORE_COUNTING):
            cases.count(index, strategy, model, call)
        return
    order, device = timing.Order(**job["order"]), builder.device
    try:
        calls = cases.calls(order.limit)
    except timing.OutOfTime as late:
        emit({"event": "out_of_time", "reason": str(late)})
        return
    warm_up = device.warm_up(list(calls.values()))
    emit({"event": "ready", "backend": builder.backend | allocators.in_force(), "warm_up_seconds": warm_up})
    captured = builder.panel.runtime == "cudagraph"
    timing.measure(calls, emit, order, device, cases.rebuild if cases.cheap else None, captured=captured)


@dataclass
class Cases:
    """The cases of a job, by their indices, in the order in which the job names them."""

    job: dict[str, Any]
    emit: workers.Emit
    builder: PanelBuilder

    @cached_property
    def _by_index(self) -> dict[int, Case]:
        return {index: Case.from_json(data) for index, data in self.job["cases"]}

    @cached_property
    def _rng(self) -> random.Random:
        return random.Random(f"{self.job['seed']}/layout")

    @property
    def indices(self) -> list[int]:
        """Of all."""
        return list(self._by_index)

    @property
    def cheap(self) -> bool:
        """Cases are built in no more time than a few forwards take, and where they lie may matter."""
        return self.builder.panel.runtime == EAGER and self.builder.device.name == "cpu"

    def build(
        self, indices: Sequence[int], runtime: str, runs: int, enter: Callable[[int], None] | None = None
    ) -> Iterator[tuple[int, Strategy, nn.Module, Call]]:
        """Cases one by one, each run so many times. One that does not make sense here is ``skipped``, one that raises
        has ``failed``. enter: told which case comes next, instead of an event."""
        for index in indices:
            if enter is None:
                self.emit({"event": "enter", "case": index})
            else:
                enter(index)
            with self.failures(index):
                strategy = self._strategy(self._by_index[index])
                if reason := _why_skipped(strategy, self.builder.panel):
                    self.emit({"event": "skipped", "case": index, "reason": reason})
                    continue
                with self._time_for_export(index, runtime):
                    built = self.builder.build(
                        strategy,
                        runtime,
                        self._export(index),
                        runs=runs,
                        prove=self.job["prove"],
                        reference=self._reference(self._by_index[index]),
                    )
                yield index, strategy, *built

    def calls(self, limit: float) -> dict[int, Call]:
        """Those to be timed, in their order. Raises OutOfTime as soon as a superblock would not end by the limit."""
        calls, count = dict[int, Call](), len(self.indices)
        for index, _, _, call in self.build(self.indices, self.builder.panel.runtime, 1):
            calls[index] = call
            still = count - len(calls) + 2 * count  # forwards: one of each case that is to be built, two to be timed
            timing.require_time(self.builder.forward_seconds, still, limit)
        return calls

    def rebuild(self, calls: dict[int, Call], enter: Callable[[int], None], limit: float) -> None:
        """Make the calls anew in another order, with everything in other places; the old ones are freed first."""
        indices = self._rng.sample(list(calls), len(calls))
        calls.clear()
        gc.collect()  # networks may hold themselves
        self.builder.relocate(self._rng)
        for index, _, _, call in self.build(indices, EAGER, 1, enter):
            calls[index] = call
            timing.require_time(self.builder.forward_seconds, 3 * len(indices) - len(calls), limit)

    def count(self, index: int, strategy: Strategy, model: nn.Module, call: Call) -> None:
        """Tell what one forward moves and holds."""
        runtime, export, builder = self.builder.panel.runtime, self._export(index), self.builder
        with self.failures(index):
            samples = builder.count(model, call) | {"fallbacks": strategy.fallbacks}
            if runtime in INSPECTED:
                with self._time_for_export(index, runtime):
                    samples["executed"] = executed(runtime, model, builder.example, export, builder.calibration)
                    samples["fallbacks"] = [*strategy.fallbacks, *graph_breaks(runtime, model, builder.example)]
            self.emit({"event": "static", "case": index, "samples": samples})

    def _strategy(self, case: Case) -> Strategy:
        return _made(_loaded(case.variant.strategy, tuple(self.job["files"])), case)

    def _reference(self, case: Case) -> Strategy | None:
        """What a case is held against in the panel's own shapes before it is timed on a GPU, where kernels are chosen
        and tuned by shape in every process; None: nothing."""
        if self.job["mode"] != "timed" or self.builder.panel.streams or self.builder.device.cuda is None:
            return None
        files = tuple(self.job["files"])
        cls = _reference(case.variant.strategy, files)
        return None if cls is None else _made(cls, case)

    @contextmanager
    def failures(self, index: int) -> Iterator[None]:
        """What goes wrong in the body is what the case has ``failed`` of, or why it is ``skipped``."""
        try:
            yield
        except (CannotStream, NotTaken) as reason:
            self.emit({"event": "skipped", "case": index, "reason": str(reason)})
        except (LeftRunning, Poisoned):  # cannot be undone: this process ends, and the others are measured without it
            raise
        except Exception as error:  # a stranger's code: whatever it raises is the reason
            if not self.builder.device.present():
                raise RuntimeError(workers.one_line(error)) from error
            self.emit({"event": "failed", "case": index, "reason": workers.one_line(error)})

    def _export(self, index: int) -> Path | None:
        """Where a case's export is kept: the same file for all runtimes of one dtype, and for the baseline's twin. What
        is quantised is made from the file in fp32, and kept beside it."""
        if self.job["exports"] is None:
            return None
        case, panel = self._by_index[index], self.builder.panel
        dtype, many = panel.dtype.replace("int8", "fp32"), f"s{panel.streams}" if panel.streams else f"b{panel.batch}"
        name = f"{panel.backbone}-{panel.frames}x{panel.size}-{many}-{dtype}-{case.variant.label}"
        return Path(self.job["exports"]) / f"{re.sub('[/:]', 'of', name)}.onnx"

    @contextmanager
    def _time_for_export(self, index: int, runtime: str) -> Iterator[None]:
        """Give up what takes longer than the job allows for an export; no other process then tries it again.

        Raises RuntimeError.
        """
        export, seconds = self._export(index), self.job["export_seconds"]
        if runtime not in EXPORTED:
            yield
            return
        given_up = export.with_suffix(".given_up") if export else None
        reason = f"its export took longer than {seconds:.3g} s and was given up (limits.export)"
        if given_up and given_up.exists():
            raise RuntimeError(reason)
        try:
            with _alarm(seconds):
                yield
        except _Alarm:
            if given_up:
                given_up.touch()
            raise RuntimeError(reason) from None


_RINGS_AGAIN = 5.0  # seconds after which the alarm rings once more: longer than it takes to put back what was changed


class _Alarm(BaseException):
    """The time is up. No ``Exception``: an exporter that tries one way after the other would take it for a failure."""


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    over = False

    def ring(*_: object) -> None:
        if not over:
            raise _Alarm

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds, _RINGS_AGAIN)  # what it meets in a finaliser is lost there
    try:
        yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@cache
def _loaded(name: str, files: tuple[str, ...]) -> type[Strategy]:
    return load_class(name, [Path(file) for file in files])


@cache
def _reference(name: str, files: tuple[str, ...]) -> type[Strategy] | None:
    return reference_of(_loaded(name, files), [Path(file) for file in files])


def _made(cls: type[Strategy], case: Case) -> Strategy:
    variant = case.variant
    return cls(float(variant.fraction), variant.placement, variant.direction)  # type: ignore[arg-type]


def _why_skipped(strategy: Strategy, panel: Panel) -> str | None:
    """A sentence that says why this strategy is not measured in this panel; None: it is."""
    if panel.device not in strategy.devices:
        return f"{strategy.name} is made for {' and '.join(strategy.devices)}, not for {panel.device}"
    if panel.runtime in EXPORTED and not strategy.exportable:
        return f"{strategy.name} is made for eager, it is not exported for {panel.runtime}"
    return strategy.skip(panel.backbone, panel.frames)


if __name__ == "__main__":
    workers.serve(answer)
