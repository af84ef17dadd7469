"""A fresh process that shows clips to the cases of one panel and keeps what they answer.

Events: ``enter``, ``skipped`` and ``failed`` as where cases are timed, ``progress`` (of one case), ``predicted`` (a
case, and the file with its logits [clips, classes]).
"""

import functools
from collections.abc import Callable
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
    """job: of ``PanelProcesses``, with ``shown``: {"videos": ``Videos``, "chosen": [``Video``, …], "arrow": bool}."""
    if job["mode"] == "present":
        timed.answer(job, emit)
        return
    panel = Panel.from_json(job["panel"])
    builder = PanelBuilder(panel, device_for(panel.device), job["seed"], job["weights"])
    with torch.inference_mode():
        cases = Cases(job, emit, builder)
        for index, _, _, call in cases.build(cases.indices, panel.runtime, 1):
            call = call.call if isinstance(call, Replays) else call
            assert isinstance(call, functools.partial)
            with cases.failures(index):
                logits = _logits(call.func, builder.frames, panel, job, workers.progress(emit))
                if not logits.isfinite().all():
                    raise ValueError("the output is not finite")
                file = f"{job['exports']}/{index}.npy"
                np.save(file, logits.numpy())
                emit({"event": "predicted", "case": index, "file": file})


def _logits(
    forward: Forward, example: Tensor, panel: Panel, job: workers.Event, report: Callable[[float], None]
) -> Tensor:
    """[clips, classes], the mean over each clip's views. example: frames that ``forward`` was prepared for; the last
    batch is filled up, as a runtime takes no other shape."""
    shown, parts = job["shown"], list[Tensor]()
    videos, ways = Videos.model_validate(shown["videos"]), (False, True) if shown["arrow"] else (False,)
    chosen = [Video(**{**video, "path": Path(video["path"])}) for video in shown["chosen"]]
    reader, normal = ClipReader(videos), models.normalisation(panel.backbone, job["weights"])
    mean, deviation = (torch.tensor(values)[:, None, None] for values in normal)
    starts = range(0, len(chosen), panel.batch)
    for backwards in ways:
        for start in starts:
            some = chosen[start : start + panel.batch]
            full, seen = some + some[-1:] * (panel.batch - len(some)), list[Tensor]()
            for view in range(videos.views):
                clips = torch.tensor(reader.clips(full, None, view))  # [n, T, H, W, 3], 0 to 255
                clips = clips.flip(1) if backwards else clips
                pixels = clips.flatten(0, 1).permute(0, 3, 1, 2) / 255
                frames = torch.empty_like(example).copy_((pixels - mean) / deviation)
                seen.append(forward(frames).to("cpu", torch.float32, copy=True))
            parts.append(torch.stack(seen).mean(dim=0)[: len(some)])
            report(len(parts) / (len(starts) * len(ways)))
    return torch.cat(parts)


if __name__ == "__main__":
    workers.serve(answer)
