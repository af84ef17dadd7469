"""Panels that share a section's budget: rounds, turns, who is given up, and what a resumed run goes on with."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from bench.analysis.overheads import overheads
from bench.measure.latency.campaign import Campaign
from bench.measure.latency.process import PanelProcesses
from bench.measure.latency.section import TimedSection
from bench.measure.latency.stopping import Costs
from bench.models import runtimes
from bench.spec.axes import parse_fraction
from bench.spec.cases import BASELINE_VARIANT, Case, PlannedPanel, Variant
from bench.spec.panel import Panel
from bench.spec.schema import Stopping
from bench.store.records import ProcessRecord, Record, StaticRecord, TimedRecord
from bench.system.progress import Reporter
from tests.store.synthetic import timed

KEPT = Panel("resnet18", "cpu", "eager", "fp32", "nchw", 1, 2, 32, 1, allocator="retained")
GIVEN_BACK = replace(KEPT, allocator="default")
OTHER = replace(KEPT, backbone="resnet34", allocator="default")
SETTINGS = Stopping(min_replicates=2, max_replicates=3, target_half_width_pp=0.1)


def planned(panel: Panel, *fractions: str, turn: int = 1) -> PlannedPanel:
    shifts = [Variant("copy_shift", parse_fraction(f), "residual", "bidirectional") for f in fractions or ("1",)]
    cases = [Case(BASELINE_VARIANT, panel), Case(BASELINE_VARIANT, panel, aa=True)]
    return PlannedPanel(panel, (*cases, *(Case(shift, panel) for shift in shifts)), 1.0, turn)


@dataclass
class Machine:
    """Processes that take no time: every slot is a second, give or take ``noise``, of which a process says ``wall``."""

    noise: float = 0.01
    rng: random.Random = field(default_factory=lambda: random.Random(0))
    jobs: list[dict[str, Any]] = field(default_factory=list)  # those that timed

    def stream(self, job: dict[str, Any], **limits: Any) -> Iterator[dict[str, Any]]:
        indices = [index for index, _ in job["cases"]]
        if job["mode"] == "static":
            counted = {"params": 1, "flops": 1, "bytes_moved": 1, "peak_live_bytes": 1, "operations": {}}
            yield from ({"event": "static", "case": index, "samples": counted} for index in indices)
            return
        self.jobs.append(job)
        yield {"event": "ready", "backend": {}, "warm_up_seconds": 0.0}
        for _ in range(job["order"]["superblocks"]):
            slots = [
                [index, position, 1 + self.rng.gauss(0, self.noise), 1.0, 0, 0, 0.0, 0.0, None, None, None]
                for position, index in enumerate(indices + indices[::-1])
            ]
            block = {"slots": slots, "wall": 5.0, "waited": 0.0, "rebuild_seconds": 1.0, "build_order": indices}
            yield {"event": "superblock", **block, "disturbance": {}, "sensors": {}, "copies": {}, "page_seconds": 0.0}


def section(
    *panels: PlannedPanel,
    known: Sequence[Record] = (),
    budget: float = 1000.0,
    settings: Stopping = SETTINGS,
    machines: dict[Panel, Machine] | None = None,
) -> list[Record]:
    """All records of a section that is measured now."""
    records: list[Record] = []

    def begin(own: PlannedPanel, before: Sequence[Record]) -> Campaign:
        machine = (machines or {}).get(own.panel, Machine())
        return Campaign(PanelProcesses(own.panel, own.cases, [], 0, stream=machine.stream), settings, budget, before)

    def keep(*new: Record) -> None:
        records.extend(new)

    timed = TimedSection("latency", panels, budget, known, begin, keep, {}, Reporter(quiet=True))
    assert timed.measure() is None
    return records


def processes(records: Sequence[Record]) -> list[tuple[Panel, int | None]]:
    return [(record.panel, record.replicate) for record in records if isinstance(record, ProcessRecord)]


def test_panels_are_measured_round_by_round_and_paired_by_their_numbers() -> None:
    records = section(planned(KEPT), planned(GIVEN_BACK))
    assert processes(records) == [(panel, number) for number in range(3) for panel in (KEPT, GIVEN_BACK)]
    first, second = (o for o in overheads(records) if o.case.variant != BASELINE_VARIANT)
    assert list(first.pct.by_unit) == list(second.pct.by_unit) == [0, 1, 2]


def test_a_panel_that_is_narrow_enough_leaves_its_rounds_to_the_others() -> None:
    """Not before it has seven processes."""
    still, settings = {KEPT: Machine(noise=0.0)}, SETTINGS.model_copy(update={"max_replicates": 9})
    done = processes(section(planned(KEPT), planned(GIVEN_BACK), machines=still, settings=settings))
    assert [sum(panel == one for panel, _ in done) for one in (KEPT, GIVEN_BACK)] == [7, 9]
    assert done[:4] == [(KEPT, 0), (GIVEN_BACK, 0), (KEPT, 1), (GIVEN_BACK, 1)]


def test_intervals_must_be_narrow_twice_in_a_row() -> None:
    """Of seven processes an odd one is trimmed, of six it is not."""
    plan, settings = planned(KEPT), Stopping(min_replicates=2, max_replicates=20)
    seconds = [1.0, 2.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    baselines, shifted = plan.cases[:2], plan.cases[2]
    records = [timed(case, number) for number in range(8) for case in baselines]
    records += [timed(shifted, number, [0.1 * factor, 0.25 * factor]) for number, factor in enumerate(seconds)]
    for count, finished in ((7, False), (8, True)):
        known = [record for record in records if (record.replicate or 0) < count]
        campaign = Campaign(PanelProcesses(KEPT, list(plan.cases), [], 0), settings, 1000.0, known)
        assert campaign.widest() < 0.5 and campaign.finished == finished


def begun(*panels: Panel, processes_each: int = 1) -> list[Record]:
    """Processes of 100 s of start and superblocks of 6 s, which took no time here."""
    settings = SETTINGS.model_copy(update={"max_replicates": processes_each, "min_replicates": 1})
    records = section(*map(planned, panels), settings=settings)
    return [
        record.model_copy(update={"samples": record.samples.model_copy(update={"startup_seconds": 100.0})})
        if isinstance(record, ProcessRecord) and record.samples
        else record
        for record in records
    ]


def test_no_panel_is_begun_whose_fewest_processes_do_not_fit() -> None:
    """The first needs 106 s more, and one like it 212 s; how fast another network is nobody knows yet."""
    enough, known = 106.0 + 212.0, begun(KEPT)
    assert (GIVEN_BACK, 0) in processes(section(planned(KEPT), planned(GIVEN_BACK), known=known, budget=enough + 1))
    records = section(planned(KEPT), planned(GIVEN_BACK), known=known, budget=enough - 1)
    assert {panel for panel, _ in processes(records)} == {KEPT}
    left_out = skipped(records)
    assert list(left_out) == list(planned(GIVEN_BACK).cases)
    assert set(left_out.values()) == {"not begun: the time left holds no 2 processes"}
    assert (OTHER, 0) in processes(section(planned(KEPT), planned(OTHER), known=known, budget=enough - 1))


def skipped(records: Sequence[Record]) -> dict[Case, str | None]:
    """{case: why} of those that were skipped."""
    return {own.case: own.reason for own in records if isinstance(own, TimedRecord) and own.status == "skipped"}


def test_a_panel_is_given_up_only_where_that_frees_time() -> None:
    panels, known = [planned(KEPT), planned(GIVEN_BACK), planned(OTHER)], begun(KEPT)
    records = section(*panels, known=known, budget=106.0 + 212.0 - 1)
    assert {panel for panel, _ in processes(records)} == {KEPT, OTHER}
    assert set(skipped(records)) == set(panels[1].cases)


def test_what_a_runtime_compiles_in_its_first_process_is_not_expected_of_the_next() -> None:
    kept, like = (replace(panel, runtime="compile") for panel in (KEPT, GIVEN_BACK))
    if reason := runtimes.why_not("compile", "cpu"):
        pytest.skip(reason)
    assert (like, 1) in processes(section(planned(kept), planned(like), known=begun(kept), budget=317.0))


def test_no_case_is_measured_without_the_baseline_of_its_panel() -> None:
    """The first turn gives the panel up, the second adds a fraction."""
    later = planned(GIVEN_BACK, "1/8", turn=2)
    records = section(planned(KEPT), planned(GIVEN_BACK), later, known=begun(KEPT), budget=300.0)
    assert {panel for panel, _ in processes(records)} == {KEPT}
    assert skipped(records)[later.cases[-1]] == "not begun: the time left holds no 2 processes"


def test_nothing_begins_where_no_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    records = section(planned(KEPT), planned(OTHER), budget=1e-9)
    assert processes(records) == [(KEPT, 0)], "the first may overrun"
    assert skipped(records) == dict.fromkeys(planned(OTHER).cases, "not begun: no time is left")
    assert {own.case.panel for own in records if isinstance(own, StaticRecord)} == {KEPT}
    monkeypatch.setattr("bench.measure.latency.campaign._LEAST_OVERRUN", 0.0)
    counted, *_ = records = section(planned(KEPT), budget=1e-9)
    assert isinstance(counted, StaticRecord) and not processes(records)
    assert set(skipped(records).values()) == {"the budget ended while its cases were counted"}


def test_a_session_proves_once_and_plans_each_process_by_the_budget_of_then() -> None:
    machine, own = Machine(), planned(KEPT)
    known = begun(KEPT, processes_each=3)
    stopping = SETTINGS.model_copy(update={"max_replicates": 9, "min_replicates": 5})
    processes = PanelProcesses(KEPT, own.cases, [], 0, stream=machine.stream)
    campaign = Campaign(processes, stopping, 1e6, known)
    for number, budget in ((3, 1e6), (4, 1000.0)):
        campaign.budget = budget
        campaign.process(number)
    assert [job["prove"] for job in machine.jobs] == [True, False]
    assert [job["order"]["superblocks"] for job in machine.jobs] == [stopping.max_superblocks, 4]
    assert campaign.costs == Costs(100.0, 6.0), "medians: the last two started at once"


def test_rows_of_a_panel_that_got_too_few_processes_have_no_interval() -> None:
    settings = Stopping(min_replicates=3, max_replicates=5)
    records = section(planned(KEPT), settings=settings, known=(known := begun(KEPT, processes_each=2)), budget=50.0)
    assert not records
    shift = overheads([*known])[-1]
    assert not shift.too_few
    short = [
        record.model_copy(update={"samples": record.samples.model_copy(update={"min_replicates": 3})})
        if isinstance(record, ProcessRecord) and record.samples
        else record
        for record in known
    ]
    shift = overheads(short)[-1]
    assert shift.too_few and len(shift.pct) == 2 and shift.interval().mean == pytest.approx(0.0, abs=3.0)
    assert shift.interval().low != shift.interval().low and shift.pct.mde() != shift.pct.mde()


def test_a_later_turn_adds_cases_to_a_panel_in_processes_of_their_own() -> None:
    first, later = planned(KEPT, "1/8"), planned(KEPT, "1", turn=2)
    records = section(later, planned(GIVEN_BACK), first)
    assert processes(records)[-3:] == [(KEPT, 3), (KEPT, 4), (KEPT, 5)]
    assert len({record.id for record in records}) == len(records)
    measured = {o.case: list(o.every) for o in overheads(records) if o.case.panel == KEPT}
    base, twin, eighth, whole = (measured[case] for case in dict.fromkeys((*first.cases, *later.cases)))
    assert (base, twin, eighth, whole) == ([0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5], [0, 1, 2], [3, 4, 5])


def test_a_section_that_was_killed_ends_with_the_same_records() -> None:
    panels = [planned(KEPT, "1/8"), planned(GIVEN_BACK), planned(KEPT, "1", turn=2)]
    whole = section(*panels)
    closing = [number for number, record in enumerate(whole, 1) if isinstance(record, ProcessRecord)]
    for cut in closing:
        again = section(*panels, known=whole[:cut])
        assert sorted(r.id for r in [*whole[:cut], *again]) == sorted(record.id for record in whole)
