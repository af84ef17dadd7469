"""A checkpoint on videos: every case of a plan answers to the same clips, in fresh processes. Nothing is timed."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.analysis import predictions
from bench.analysis.predictions import Disagreement, Judged, Prediction
from bench.data.video_clips import ClipReader
from bench.data.video_lists import Video, read_video_set
from bench.measure.latency.process import PanelProcesses
from bench.measure.plan import Plan
from bench.models import runtimes
from bench.spec.axes import BASELINE, ValueNotAllowed
from bench.spec.cases import Case, PlannedPanel
from bench.spec.expansion import root_of
from bench.spec.videos import Videos
from bench.system import workers
from bench.system.environment import usable_cores
from bench.system.progress import Reporter, Shares

_AT_ONCE = 4  # clips in a forward: more gains nothing on a processor that one clip of 8 frames keeps busy
_LEARNT_FROM = 16  # videos, evenly spread: enough for the range of every feature, by the runtimes' own tools


@dataclass(frozen=True)
class Footage:
    """The videos that all cases are shown, and their classes. arrow: each is shown forward, then each reversed.
    calibration: what runtimes learn eight bits from."""

    videos: Videos
    chosen: tuple[Video, ...]
    classes: tuple[str, ...]
    arrow: bool
    calibration: tuple[Video, ...] = ()

    @property
    def judged(self) -> Judged:
        """The clips, in the order in which they are shown."""
        names, labels = [str(video.path) for video in self.chosen], [video.label for video in self.chosen]
        if self.arrow:
            labels = [way for way in range(len(self.classes)) for _ in names]
            names = [f"{name} ({way})" for way in self.classes for name in names]
        return Judged(tuple(names), np.array(labels), self.classes)


def footage(videos: Videos, part: str, *, calibrated: bool = False) -> Footage:
    """The ``part`` (test, validation or all) of the videos, for the first question. Raises ValueNotAllowed.

    calibrated: eight bits are asked for. Runtimes learn them from videos for training, or from those that are shown
    where there are no others.
    """
    question = videos.questions[0]
    found = read_video_set(videos, question, seed=0)
    parts = ("train", "validation", "test") if part == "all" else (part,)
    chosen = tuple(video for name in parts for video in getattr(found, name))
    learnt = (found.train or chosen) if calibrated else ()
    learnt = learnt[:: max(1, len(learnt) // _LEARNT_FROM)][:_LEARNT_FROM]
    return Footage(videos, chosen, found.classes, question.task == "arrow", learnt)


def readable(asked: Footage, reporter: Reporter) -> tuple[Footage, dict[str, str]]:
    """What can be read of it, decoded and kept; and {video: why it cannot be read}.

    Raises ValueNotAllowed where nothing is left.
    """
    reader = ClipReader(asked.videos, workers=usable_cores())
    progress = Shares("videos", {asked.videos.path: 1.0}, reporter, "lists decoded")
    lost = reader.prepare((*asked.chosen, *asked.calibration), lambda share: progress.report(asked.videos.path, share))
    broken = {video.path: lost[video.path] for video in asked.chosen if video.path in lost}
    left = tuple(video for video in asked.chosen if video.path not in lost)
    if not left:
        raise ValueNotAllowed(f"no video of {asked.videos.path} can be read: {next(iter(broken.values()))}")
    learnt = tuple(video for video in asked.calibration if video.path not in lost) or left[: len(asked.calibration)]
    return replace(asked, chosen=left, calibration=learnt), {str(path): why for path, why in broken.items()}


def predict(plan: Plan, asked: Footage, reporter: Reporter) -> list[Prediction]:
    """What every case answers, panel after panel. A case that fails costs itself; a strategy may kill its process."""
    wanted = [(planned.panel, _evaluated(plan, planned)) for planned in plan.sweep.panels]
    progress = Shares("predictions", {case.key: 1.0 for _, cases in wanted for case in cases}, reporter, "cases")
    chosen, learnt = (
        [{**asdict(video), "path": str(video.path)} for video in listed] for listed in (asked.chosen, asked.calibration)
    )
    videos = asked.videos.model_dump(mode="json")
    shown = {"videos": videos, "chosen": chosen, "calibration": learnt, "arrow": asked.arrow}
    found, settings = dict[Case, Prediction](), plan.settings

    def start(job: workers.Event, **how: Any) -> Any:
        return workers.stream("bench.measure.prediction_worker", {**job, "shown": shown}, **how)

    with tempfile.TemporaryDirectory(prefix="shiftbench-predictions-") as kept:
        how: dict[str, Any] = {"exports": Path(kept), "limits": settings.limits, "weights": settings.weights}
        for panel, cases in wanted:
            if reason := runtimes.why_not(panel.runtime, panel.device, panel.dtype):
                found |= {case: Prediction(case, status="skipped", reason=reason) for case in cases}
            of = replace(panel, batch=_AT_ONCE), cases, plan.files, settings.seed
            processes = PanelProcesses(*of, stream=start, **how)
            while waiting := [case for case in cases if case not in found]:
                entered = waiting[0]
                for event in processes.events("predict", waiting, 0, prove=False):
                    match event["event"]:
                        case "enter":
                            entered = event["case"]
                        case "progress":
                            progress.report(entered.key, event["share"])
                        case "predicted":
                            found[entered] = Prediction(entered, np.load(event["file"]))
                            Path(event["file"]).unlink()
                        case "skipped" | "failed" as status:
                            found[entered] = Prediction(entered, status=status, reason=event["reason"])
                        case "died" | "device_lost":
                            reason = f"the process that ran it {event['reason']}"
                            for case in [event["case"]] if event.get("case") else waiting:  # none: before the first
                                found.setdefault(case, Prediction(case, status="failed", reason=reason))
    reporter.advance("predictions", 1.0)
    return [found[case] for _, cases in wanted for case in cases]


def disagreements(plan: Plan, found: Sequence[Prediction], asked: Footage) -> list[Disagreement]:
    """Among strategies that declare to compute the same function, by the tolerance of its proof in a whole network."""
    known = {info.name: info for info in plan.infos}
    roots = {name: root_of(name, known) for name in plan.sweep.strategies}
    return predictions.disagreements(found, asked.judged, roots, runtimes.NETWORK_TOLERANCE[torch.float32])


def _evaluated(plan: Plan, planned: PlannedPanel) -> list[Case]:
    """The network without a shift comes last, where it was not asked for first. No twin of it, and no layer that is
    computed in a strategy's way while nothing moves: both are there to be timed."""
    moved = [case for case in planned.cases if case.variant.fraction > 0]
    plain = [case for case in planned.cases if case.variant.strategy == BASELINE and not case.aa]
    return plain + moved if (plan.chosen.strategies or ())[:1] == (BASELINE,) else moved + plain
