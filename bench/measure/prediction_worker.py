"""A fresh process that shows clips to the cases of one panel and keeps what they answer.

Events: ``enter``, ``skipped`` and ``failed`` as where cases are timed, ``progress`` (of one case), ``predicted`` (a
case, and the file with its logits [clips, classes]).
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench import models
from bench.data.video_clips import ClipReader
from bench.data.video_lists import Video
from bench.measure.latency import worker as timed
from bench.measure.latency.builder import PanelBuilder
from bench.measure.latency.devices import device_for
from bench.measure.latency.timing import Replays
from bench.measure.latency.worker import Cases
from bench.models.runtimes import Forward
from bench.spec.panel import Panel
from bench.spec.videos import Videos
from bench.system import workers


def answer(job: workers.Event, emit: workers.Emit) -> None:
    """job: of ``PanelProcesses``, with ``shown``: {"videos": ``Videos``, "chosen" and "calibration": [``Video``, …],
    "arrow": bool}."""
    if job["mode"] == "present":
        timed.answer(job, emit)
        return
    panel = Panel.from_json(job["panel"])
    builder = PanelBuilder(panel, device_for(panel.device), job["seed"], job["weights"])
    with torch.inference_mode():
        reading = _Reading.of(job, panel, builder.frames)
        if builder.calibration:
            builder.calibration = list(reading.calibration(job["shown"]["calibration"]))
        cases = Cases(job, emit, builder)
        for index, _, _, call in cases.build(cases.indices, panel.runtime, 1):
            call = call.call if isinstance(call, Replays) else call
            assert isinstance(call, functools.partial)
            with cases.failures(index):
                logits = _logits(call.func, reading, job["shown"], workers.progress(emit))
                if not logits.isfinite().all():
                    raise ValueError("the output is not finite")
                file = f"{job['exports']}/{index}.npy"
                np.save(file, logits.numpy())
                emit({"event": "predicted", "case": index, "file": file})


@dataclass(frozen=True)
class _Reading:
    """How clips become what a network reads. example: frames like those that it was prepared for."""

    reader: ClipReader
    normal: tuple[Tensor, Tensor]
    example: Tensor
    batch: int
    views: int

    @classmethod
    def of(cls, job: workers.Event, panel: Panel, example: Tensor) -> "_Reading":
        videos = Videos.model_validate(job["shown"]["videos"])
        mean, deviation = models.normalisation(panel.backbone, job["weights"])
        colours = torch.tensor(mean)[:, None, None], torch.tensor(deviation)[:, None, None]
        return cls(ClipReader(videos), colours, example, panel.batch, videos.views)

    def frames(self, videos: Sequence[Video], view: int, *, backwards: bool = False) -> Tensor:
        """A batch, filled up with the last video: a runtime takes no other shape."""
        full = [*videos, *[videos[-1]] * (self.batch - len(videos))]
        clips = torch.tensor(self.reader.clips(full, None, view))  # [n, T, H, W, 3], 0 to 255
        clips = clips.flip(1) if backwards else clips
        pixels = clips.flatten(0, 1).permute(0, 3, 1, 2) / 255
        return torch.empty_like(self.example).copy_((pixels - self.normal[0]) / self.normal[1])

    def calibration(self, videos: Sequence[workers.Event]) -> Iterator[Tensor]:
        """The middle of each of these videos, batch by batch."""
        chosen = _videos(videos)
        for start in range(0, len(chosen), self.batch):
            yield self.frames(chosen[start : start + self.batch], self.views // 2)


def _logits(forward: Forward, reading: _Reading, shown: workers.Event, report: Callable[[float], None]) -> Tensor:
    """[clips, classes], the mean over each clip's views."""
    parts, ways, chosen = list[Tensor](), (False, True) if shown["arrow"] else (False,), _videos(shown["chosen"])
    starts = range(0, len(chosen), reading.batch)
    for backwards in ways:
        for start in starts:
            some, seen = chosen[start : start + reading.batch], list[Tensor]()
            for view in range(reading.views):
                frames = reading.frames(some, view, backwards=backwards)
                seen.append(forward(frames).to("cpu", torch.float32, copy=True))
            parts.append(torch.stack(seen).mean(dim=0)[: len(some)])
            report(len(parts) / (len(starts) * len(ways)))
    return torch.cat(parts)


def _videos(listed: Sequence[workers.Event]) -> list[Video]:
    return [Video(**{**video, "path": Path(video["path"])}) for video in listed]


if __name__ == "__main__":
    workers.serve(answer)
