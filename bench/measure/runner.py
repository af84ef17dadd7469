"""The only orchestrator: a plan -> records in a run's folder. Isolation, progress, resumption.

Conformance comes first (nothing is timed before it is proven correct), then the timed sections, with the machine to
themselves, then training. ``start`` begins a run, ``resume`` goes on with one.
"""

import contextlib
import math
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bench.measure.executors import Executor, executor_for
from bench.measure.jobs import Trainer
from bench.measure.latency.campaign import GATE_SHARE, Campaign, failed_while_measured
from bench.measure.latency.process import PanelProcesses, device_present
from bench.measure.latency.section import TimedSection
from bench.measure.plan import Plan, expected_seconds, new_header, prepare_again
from bench.spec.cases import PlannedPanel, Training
from bench.spec.settings import Timing
from bench.store.journal import Run, read_records
from bench.store.records import (
    CheckedRecord,
    FolderError,
    ProcessRecord,
    Record,
    Status,
    read_header,
    refuse_used,
)
from bench.system import environment, workers
from bench.system.counters import LOOK_SECONDS, look
from bench.system.progress import Reporter

_LOOKS = 3  # the median of so many decides whether a machine that was busy is quiet now

Tally = Counter[Status]
"""How a run ended: records by status."""


def beyond_processes(section: str, used: float, known: Sequence[Record]) -> float:
    """Seconds that earlier sessions used for a section beside the processes on record, which campaigns charge to their
    panels: counting, and processes that died. used: in all; 0 where something is measured again, which costs nothing.
    """
    processes = [record for record in known if isinstance(record, ProcessRecord) and record.panel.section == section]
    return max(0.0, used - sum(record.wall_seconds for record in processes))


class Execution:
    """One run in progress: a plan, the open folder, and the reporter that shows it."""

    def __init__(
        self,
        plan: Plan,
        run: Run,
        header: dict[str, Any],
        reporter: Reporter,
        executor: Executor,
        pause_after: float | None = None,
    ) -> None:
        """pause_after: seconds after which no further training is begun; the run can then be resumed."""
        self.plan, self.run, self.header, self.reporter, self.executor = plan, run, header, reporter, executor
        self.known = list(read_records(run.folder))
        self.refused = failed_while_measured(self.known)  # strategy -> why it is measured no further
        self.pause_at = math.inf if pause_after is None else time.monotonic() + pause_after
        self.unfinished: list[str] = []  # sections that ended before their time
        self._waited = 0.0  # seconds for a quiet machine, which the first timed section pays for
        self.tally = Tally(record.status for record in self.known)

    def everything(self, timing_withheld: str | None = None) -> Tally:
        """All sections that are left, in order. An interruption leaves a folder that can be resumed.

        timing_withheld: why nothing must be timed now; the rest is done.
        """
        for name, seconds in expected_seconds(self.plan, self.run.folder).items():
            self.reporter.expect(name, seconds)
        if not timing_withheld:
            self._wait_for_quiet()
        self._set_status("running")
        self.reporter.say(f"measuring into {self.run.folder}")
        if self.run.note:
            self.reporter.say(self.run.note)
        if self.run.set_aside:
            self.reporter.say(
                f"{self.run.set_aside} lines of the journal were damaged or not whole: they are kept in records.torn "
                "and measured again"
            )
        try:
            self._conformance()
            if timing_withheld:
                self.reporter.say(timing_withheld)
            else:
                for name, settings in self.plan.settings.timed.items():
                    self._section(name, partial(self._time, name, settings))
            for training in self.plan.sweep.trainings:
                self._section(training.section, partial(self._train, training))
        except BaseException:
            with contextlib.suppress(FolderError):  # where the folder is what failed, the first reason counts
                self._set_status("interrupted")
            raise
        self._set_status("interrupted" if timing_withheld or self.unfinished else "finished")
        return self.tally

    def _section(self, name: str, work: Callable[[], None]) -> None:
        """A section that ended is on record as done: its budget is used up, or its widths are reached."""
        if name in self.header["sections_done"]:
            return
        start, wall = time.monotonic(), self.header["wall_seconds"]
        try:
            work()
            if name not in self.unfinished:
                self.header["sections_done"].append(name)
        finally:
            wall[name] = wall.get(name, 0.0) + time.monotonic() - start
            self.run.write_header(self.header)

    def _set_status(self, status: str) -> None:
        self.header["status"] = status
        self.run.write_header(self.header)

    def _keep(self, *records: Record) -> None:
        self.run.append(*records)
        self.tally.update(record.status for record in records)
        for strategy, reason in failed_while_measured(records).items():
            self.refused.setdefault(strategy, reason)

    def _conformance(self) -> None:
        """Find out which strategies are measured no further; each is proven once per run."""
        done = {record.strategy: record for record in self.known if isinstance(record, CheckedRecord)}
        waiting = [name for name in self.plan.sweep.strategies if name not in done]

        def conclude(name: str, failed: str | None, flags: Sequence[str] = ()) -> None:
            waiting.remove(name)
            status: Status = "failed" if failed else "ok"
            record_id = f"conformance/{name}"
            done[name] = CheckedRecord(id=record_id, strategy=name, status=status, reason=failed, flags=tuple(flags))
            self._keep(done[name])

        for info in self.plan.infos:
            if info.error and info.name in waiting:
                conclude(info.name, info.error)
        while waiting:
            entered, before = waiting[0], len(waiting)
            try:
                for event in self._conformance_events(waiting):
                    if event["event"] == "enter":
                        entered = event["strategy"]
                        self.reporter.advance("conformance", 1 - len(waiting) / before, entered)
                    elif event["event"] == "checked":
                        if event["broke"]:
                            self._require_devices(event["strategy"])
                        conclude(event["strategy"], event["failed"], event["flags"])
            except workers.WorkerDied as death:
                self._require_devices(entered)
                conclude(entered, f"the process that checked it {death}")
        self.reporter.advance("conformance", 1.0)
        for name, record in done.items():
            if record.status == "failed":
                self.reporter.say(f"{name} is measured no further: {record.reason}")
                self.refused[name] = f"conformance: {record.reason}"

    def _conformance_events(self, names: Sequence[str]) -> Iterator[workers.Event]:
        sweep, limits = self.plan.sweep, self.plan.settings.limits
        files = {info.name: info.file for info in self.plan.infos}
        entries = [
            {"name": name, "file": files[name], "variants": [variant.to_json() for variant in sweep.variants(name)]}
            for name in names
        ]
        used = self._devices
        job = {"files": [str(f) for f in self.plan.files], "strategies": entries, "devices": used}
        return workers.stream(
            "bench.plugins.conformance",
            job,
            silence_limit=limits.silence,
            env=environment.PATIENT_THREADS,
            memory_share=1.0 if used == ["cpu"] else None,
            memory_gib=limits.memory_gib,
        )

    @property
    def _devices(self) -> list[str]:
        """Where anything of this run is timed or trained, and so proven."""
        sweep = self.plan.sweep
        return sorted({case.panel.device for case in sweep.cases} | {own.recipe.device for own in sweep.trainings})

    def _require_devices(self, strategy: str) -> None:
        """Raises FolderError where a device is gone: then no strategy is to blame."""
        if gone := [device for device in self._devices if not device_present(device)]:
            raise FolderError(
                f"{gone[0]} disappeared while {strategy} was proven; what was proven before is kept: go on with "
                f"run --resume {self.run.folder}"
            )

    def _time(self, section: str, settings: Timing) -> None:
        """Its panels, which share the budget, with what earlier sessions used of it and what was waited for quiet."""
        plan, panels = self.plan, self.plan.sweep.panels_of(section)
        if not panels:
            return
        used = 0.0 if self.run.set_aside else self.header["wall_seconds"].get(section, 0.0)
        budget = max(settings.budget - beyond_processes(section, used, self.known) - self._waited, 1.0)
        self._waited = 0.0
        with tempfile.TemporaryDirectory(prefix="shiftbench-exports-") as exports:  # 100 MB a case with ResNet-50

            def begin(planned: PlannedPanel, known: Sequence[Record]) -> Campaign:
                share = budget * plan.sweep.share(planned)
                asked, limits = plan.settings, plan.settings.limits
                how = Path(exports), limits, limits.export_seconds(share), asked.weights
                processes = PanelProcesses(planned.panel, planned.cases, plan.files, asked.seed, *how)
                return Campaign(processes, settings, share, known)

            timed = TimedSection(section, panels, budget, self.known, begin, self._keep, self.refused, self.reporter)
            if device_lost := timed.measure():
                self.reporter.say(f"{device_lost}; what was measured before is kept")
                self.unfinished.append(section)

    def _wait_for_quiet(self) -> None:
        """Where others keep the machine busy, say so before anything is measured, and wait as long as a gate may."""
        left = [name for name in self.plan.settings.timed if self.plan.sweep.panels_of(name)]
        left = [name for name in left if name not in self.header["sections_done"]]
        if not any(isinstance(record, ProcessRecord) for record in self.known):
            self.header.pop("disturbance", None)  # of an earlier start, which timed nothing
        if not left or not (others := look()).disturb:
            return
        self.reporter.say(f"disturbed at start: {others}; waiting for a quiet machine")
        start, most = time.monotonic(), GATE_SHARE * self.plan.settings.timed[left[0]].budget
        looks = [others]
        while others.disturb and self._waited + 2 * LOOK_SECONDS <= most:
            time.sleep(LOOK_SECONDS)
            looks.append(look())
            others = sorted(looks[-_LOOKS:], key=lambda own: max(own.foreign, own.steal))[len(looks[-_LOOKS:]) // 2]
            self._waited = time.monotonic() - start
        if others.disturb:
            self.header["disturbance"] = f"disturbed at start: {others}"
            self.reporter.say(f"still {others}: what is measured now may decide nothing")

    def _train(self, training: Training) -> None:
        files, folder = self.plan.files, self.run.folder
        trainer = Trainer(self.executor, self.reporter, self._keep, self.refused, self.pause_at, files, folder)
        if left := trainer.train(training, self.run.ids):
            done = f"paused after {len(training.trials) - left} of {len(training.trials)} trainings"
            self.reporter.say(f"{done}; go on with --resume {folder}")
            self.unfinished.append(training.section)


def start(
    plan: Plan,
    folder: Path,
    preset: str,
    command: str,
    reporter: Reporter,
    executor: Executor,
    pause_after: float | None = None,
) -> Tally:
    """A new run in ``folder``. Raises FolderError where it is used already or cannot be written."""
    refuse_used(folder)
    with Run(folder) as run:
        return Execution(plan, run, new_header(plan, preset, command), reporter, executor, pause_after).everything()


def resume(
    folder: Path,
    reporter: Reporter,
    executor: tuple[str, str | None] = ("local", None),
    pause_after: float | None = None,
) -> Tally:
    """Go on with a run that was killed or interrupted: the same cases, nothing measured twice.

    executor: its name and the address of its cluster. Raises FolderError.
    """
    header = read_header(folder)
    try:
        plan = prepare_again(header)
        begun_on, done = header["machine_id"], header["sections_done"]
    except (FolderError, KeyError) as error:
        raise FolderError(f"{folder}: {error}") from None
    with Run(folder) as run:
        if run.set_aside:
            done.clear()  # what was set aside is measured again, whatever its section
        withheld = None
        timed = [name for name in plan.settings.timed if plan.sweep.panels_of(name)]
        if environment.machine_id() != begun_on and not set(timed) <= set(done):
            withheld = (
                f"latency was begun on {begun_on}, and this is {environment.machine_id()}: the two must not be mixed. "
                "Resume it there; training goes on here."
            )
        trains = executor_for(executor[0], environment.usable_cores(), plan.settings.limits, executor[1])
        return Execution(plan, run, header, reporter, trains, pause_after).everything(withheld)
