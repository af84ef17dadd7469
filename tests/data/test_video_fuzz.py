"""Hundreds of spoilt video files: each is played as far as it goes or is one line; nothing hangs, memory is bounded."""

import random
from pathlib import Path

import pytest

from bench.system import workers
from tests.data.making_videos import snow, write

FILES = 300
LIMIT = 30.0  # seconds for one file, which takes some milliseconds
MOST_MIB = 1500  # of a process that has imported torch and decodes frames of 64×48
PLAYING = """
import resource
from pathlib import Path
from bench.data.decoding import VideoError
from bench.data.videos import video_file

for file in sorted(Path(%r).iterdir()):
    count, why, notes = 0, None, []
    try:
        source = video_file(file)
        notes = source.notes
        for frame in source.frames():
            count += 1
            if count == 500:
                break
    except VideoError as error:
        why = str(error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    emit({"event": "played", "name": file.name, "count": count, "why": why, "notes": notes, "mib": peak})
"""


def originals(folder: Path) -> list[Path]:
    """Of every container and codec that people have."""
    kinds = {
        "h264.mp4": "h264",
        "mpeg4.mkv": "mpeg4",
        "mjpeg.avi": "mjpeg",
        "vp8.webm": "vp8",
        "mpeg2.ts": "mpeg2video",
    }
    pixels = {"mjpeg": "yuvj420p"}
    return [
        write(folder / name, codec=codec, paint=snow, frames=12, pixels=pixels.get(codec, "yuv420p"))
        for name, codec in kinds.items()
    ]


def spoilt(whole: bytes, rng: random.Random) -> bytes:
    """Cut off, with bits flipped, with a header that lies, or with a piece missing or doubled."""
    data = bytearray(whole)
    match rng.randrange(5):
        case 0:
            return bytes(data[: rng.randrange(len(data))])
        case 1:
            for _ in range(rng.randrange(1, 40)):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        case 2:
            for _ in range(rng.randrange(1, 8)):
                place = rng.randrange(min(len(data), 800))
                data[place : place + 4] = rng.choice(
                    (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), rng.randbytes(4))
                )
        case 3:
            start = rng.randrange(len(data))
            del data[start : start + rng.randrange(2000)]
        case _:
            start = rng.randrange(len(data))
            data[start:start] = data[start : start + rng.randrange(2000)]
    return bytes(data)


def test_spoilt_files_are_played_as_far_as_they_go_or_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "spoilt").mkdir()
    wholes, rng = originals(tmp_path / "whole"), random.Random(0)
    for number in range(FILES):
        whole = wholes[number % len(wholes)]
        (tmp_path / "spoilt" / f"{number:03}-{whole.name}").write_bytes(spoilt(whole.read_bytes(), rng))
    played = list[workers.Event]()
    try:
        job = {"code": PLAYING % str(tmp_path / "spoilt")}
        for event in workers.stream("tests.system.scripted_worker", job, silence_limit=LIMIT, memory_gib=3.0):
            played += [event] if event["event"] == "played" else []
    except workers.WorkerDied as death:
        pytest.fail(f"file {len(played)} (after {played[-1:]}) ended its process: {death}")
    assert len(played) == FILES
    assert all(event["why"] is None or "\n" not in event["why"] for event in played)
    assert max(event["mib"] for event in played) < MOST_MIB
    assert sum(event["count"] > 0 for event in played) > FILES // 3, "most can be played in part"
    assert any(event["why"] for event in played) and any(event["notes"] for event in played)
