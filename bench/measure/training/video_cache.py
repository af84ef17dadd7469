"""``python -m bench.measure.training.video_cache``: all videos of a section are decoded, before its first trial.

Job: {"data": ``Videos``}. Events: {"event": "progress", "share": 0…1}, {"event": "note", "message": str}, and last
{"event": "result", "samples": {}} or, where the videos cannot be trained on, {"event": "skipped", "reason": str}.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.data.video_clips import ClipReader
from bench.data.video_lists import Video, VideoSet, describe, read_video_set
from bench.spec.axes import ValueNotAllowed
from bench.spec.videos import Videos
from bench.system.environment import usable_cores
from bench.system.workers import Emit, Event, one_line, progress, serve

PARTS = ("train", "validation", "test")
_NAMED = 3  # videos that a note names


def video_sets(videos: Videos) -> list[VideoSet]:
    """Of each question, for even seeds and for odd ones. Raises ValueNotAllowed."""
    return [read_video_set(videos, question, seed) for question in videos.questions for seed in (0, 1)]


def all_videos(sets: Iterable[VideoSet]) -> list[Video]:
    """Each once, in a fixed order."""
    every = {video.path: video for one in sets for part in PARTS for video in getattr(one, part)}
    return list(every.values())


def readable(videos: VideoSet, left_out: Mapping[Path, str]) -> VideoSet:
    """Without the videos that are left out. Raises ValueNotAllowed where that leaves nothing of a part."""
    parts: dict[str, Any] = {
        part: tuple(one for one in getattr(videos, part) if one.path not in left_out) for part in PARTS
    }
    for part, left in parts.items():
        if not left and (lost := getattr(videos, part)):
            first = lost[0].path
            raise ValueNotAllowed(
                f"none of the {len(lost)} videos of the part {part} can be read; the first: {left_out[first]}"
            )
    return replace(videos, **parts)


def decode(job: Event, emit: Emit) -> None:
    """What the cache lacks is decoded, on all cores; what cannot be read is said."""
    videos = Videos.model_validate(job["data"])
    try:
        sets = video_sets(videos)
        every = all_videos(sets)
        left_out = ClipReader(videos, usable_cores()).prepare(every, progress(emit))
        for one in sets:
            readable(one, left_out)
    except (ValueNotAllowed, OSError) as error:  # a list that changed, a full disk
        emit({"event": "skipped", "reason": one_line(error)})
        return
    emit({"event": "note", "message": describe(videos)})
    if left_out:
        some = list(left_out.values())[:_NAMED]
        more = ["…"] if len(left_out) > _NAMED else []
        message = f"{len(left_out)} of {len(every)} videos cannot be read and are left out: {'; '.join(some + more)}"
        emit({"event": "note", "message": message})
    emit({"event": "result", "samples": {}})


if __name__ == "__main__":
    serve(decode)
