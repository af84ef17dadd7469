"""Raw samples, as records hold them: seconds, counts and answers. Statistics are derived from them, never stored."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

Bools = NDArray[np.bool_]


def pack(bits: Bools) -> str:
    """Bits [N] as hexadecimal text, the first one highest, filled up with zeros to whole bytes."""
    return np.packbits(bits).tobytes().hex()


def unpack(text: str, count: int) -> Bools:
    """The inverse of ``pack``: the first ``count`` bits."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=count).astype(np.bool_)


class Samples(BaseModel):
    """Plain values; a key that is not known is a bug of the worker that wrote it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Slots(Samples):
    """The slots of one case in one process, one list for each column.

    superblock, position: where the slot stood. seconds; cpu_seconds: CPU time of the process; switches: involuntary
    context switches; faults: page faults; steal, foreign: seconds of CPU time that the hypervisor and other processes
    took; mhz: the device's clock; frame_seconds: of each frame, where a slot is several frames of a stream;
    alone_seconds: of one replay of a captured graph by itself, where ``seconds`` is the mean of several in a row. What
    was not read is empty.
    """

    superblock: list[int] = []
    position: list[int] = []
    seconds: list[float] = []
    cpu_seconds: list[float] = []
    switches: list[float] = []
    faults: list[float] = []
    steal: list[float] = []
    foreign: list[float] = []
    mhz: list[float] = []
    frame_seconds: list[list[float]] = []
    alone_seconds: list[float] = []


class Static(Samples):
    """What one forward of a case moves and holds, counted and not timed.

    operations: {bytes that an operator moved: how many such}. peak_allocated_bytes: of a GPU's allocator.
    resident_high_water_bytes: of the whole process. fallbacks: slower ways that the strategy had to take, and why.
    executed: {kind of node: (how many, their seconds or None)}, where the runtime tells. state_bytes: what one stream
    remembers; inputs: {convolution: [C, H, W] that it reads in each block}.
    """

    params: int
    flops: int
    bytes_moved: int
    peak_live_bytes: int
    operations: dict[int, int]
    peak_allocated_bytes: int | None = None
    resident_high_water_bytes: int | None = None
    fallbacks: list[str] = []
    executed: dict[str, tuple[int, float | None]] | None = None
    state_bytes: int | None = None
    inputs: dict[str, list[list[int]]] | None = None

    @property
    def peak_bytes(self) -> int:
        """What activations held at the most: the allocator's own figure where there is one."""
        return self.peak_live_bytes if self.peak_allocated_bytes is None else self.peak_allocated_bytes


class Process(Samples):
    """What one fresh process went through; lists have one value for each superblock.

    wall: seconds. waited: seconds of the quiet-machine gate before it. disturbance: readings of the system's counters
    over it. sensors: of the device. copies: {MiB copied: seconds}. page_seconds: the price of a page fault.
    backend: numeric settings in force. build_order: the cases (without their panel) in the order in which they were
    built for it; rebuild_seconds: what building them anew before it took. min_replicates: the fewest processes that
    give an interval by the run's settings. The last three are empty in older records.
    """

    wall: list[float]
    waited: list[float]
    disturbance: list[dict[str, float]]
    sensors: list[dict[str, float]]
    copies: dict[int, list[float]]
    page_seconds: list[float]
    startup_seconds: float
    warm_up_seconds: float
    backend: dict[str, Any]
    build_order: list[list[str]] = []
    rebuild_seconds: list[float] = []
    min_replicates: int = 0


class Fitted(Samples):
    """How a training went. train_loss: the mean of each epoch. train_seconds: wall time of all epochs; data_seconds,
    forward_seconds, backward_seconds and update_seconds are parts of it, None in older records. machine: the machine
    and packages that trained. params: of the whole network."""

    train_loss: list[float]
    train_seconds: float
    data_seconds: float
    forward_seconds: float | None = None
    backward_seconds: float | None = None
    update_seconds: float | None = None
    params: int
    test_seconds: float
    test_clips: int
    data_version: str = ""
    judged_on: Literal["test", "validation"] = "test"
    machine: dict[str, Any] | None = None


PARTS = ("spatial", "temporal", "joint")
"""What a recognition record measures."""

OUTCOMES = (*PARTS, "mixture")
"""And, derived from them, accuracy on a mixture of clips of which every second one asks a temporal question too: half
spatial, half joint. Joint accuracy caps a network that looks at single frames at chance (25 % with four classes), this
at half of that and 50 % (62.5 %)."""


class Recognition(Fitted):
    """What an arm of the accuracy section knows. Accuracies from 0 to 1.

    X_correct: one bit for each test clip, packed. shuffled_*: on clips whose frames stand in a random order, None where
    the network sees one frame. early: {part: accuracy after each frame}, of causal arms. curve: {part: accuracy on
    validation clips after each epoch}, clips_seen: training clips by then.
    """

    spatial_accuracy: float
    temporal_accuracy: float
    joint_accuracy: float
    spatial_correct: str
    temporal_correct: str
    shuffled_spatial_accuracy: float | None = None
    shuffled_temporal_accuracy: float | None = None
    shuffled_clips: int | None = None
    early: dict[str, list[float]] | None = None
    clips_seen: list[int] = []
    curve: dict[str, list[float]] | None = None
    flops: int
    clips_per_second: float
    spatial_classes: int
    temporal_classes: int
    validation_clips: int | None = None

    def outcome(self, name: str) -> float | None:
        """Accuracy in per cent; name: one of OUTCOMES."""
        if name == "mixture":
            return 50 * (self.spatial_accuracy + self.joint_accuracy)
        return 100 * float(getattr(self, f"{name}_accuracy"))

    def judged(self, _: str) -> int:
        """How many clips an outcome is the share of."""
        return self.test_clips

    def base_clips_pct(self, name: str) -> NDArray[np.float64]:
        """Accuracy on each base clip over its K temporal classes [clips / K], in per cent."""
        spatial, temporal = (unpack(bits, self.test_clips) for bits in (self.spatial_correct, self.temporal_correct))
        joint = spatial & temporal
        right = {"spatial": spatial, "temporal": temporal, "joint": joint, "mixture": (1.0 * spatial + joint) / 2}[name]
        shares: NDArray[np.float64] = right.reshape(-1, self.temporal_classes).mean(axis=1)
        return 100.0 * shares


TOPS = ("top1", "top5")
"""What a record of videos measures: the right class is the likeliest one, or among the five likeliest."""


class VideoRecognition(Fitted):
    """What an arm of the video section gets right. Accuracies from 0 to 1.

    correct: one bit for each judged clip, packed; videos: what each bit is of, in order (arrow: every video forward,
    then every one reversed). top5_accuracy: None below six classes. confusion: {true class: {given class: clips}}.
    shuffled_accuracy, one_frame_accuracy: controls with the frames in a random order, and with the middle one alone,
    repeated. curve: {"top1": on validation clips after each epoch}, clips_seen: training clips by then. early: top-1
    after each frame, of causal arms. weights: what it started from, and the key of that file's content. flips: whether
    training clips were flipped. left_out: videos that could not be read, and why.
    """

    top1_accuracy: float
    top5_accuracy: float | None = None
    correct: str
    videos: list[str]
    classes: list[str]
    confusion: dict[str, dict[str, int]]
    shuffled_accuracy: float
    one_frame_accuracy: float
    clips_seen: list[int]
    curve: dict[str, list[float]]
    early: list[float] | None = None
    flops: int
    clips_per_second: float
    validation_clips: int
    train_clips: int
    weights: str
    flips: bool
    left_out: dict[str, str] = {}

    def outcome(self, name: str) -> float | None:
        """Accuracy in per cent; name: one of TOPS."""
        value = getattr(self, f"{name}_accuracy")
        return None if value is None else 100 * float(value)

    def judged(self, _: str) -> int:
        """How many clips an outcome is the share of."""
        return self.test_clips


SPEEDS = ("slow", "medium", "fast")
"""Groups of objects by motion IoU, as in ImageNet-VID."""

MEASURES = ("map", *(f"map_{speed}" for speed in SPEEDS))
"""What a detection record measures: mean average precision at IoU 0.5, of all objects and by their speed."""


class Detection(Fitted):
    """What a detector finds. Average precisions from 0 to 1, None where nothing of the kind was there to be found.

    asked_X: objects of a speed. examples: a few frames to look at, with what is there and what was found.
    played_clips: clips that were run frame by frame too, to prove the two equal.
    """

    map: float | None
    map_slow: float | None
    map_medium: float | None
    map_fast: float | None
    by_class: list[float | None]
    asked_slow: int
    asked_medium: int
    asked_fast: int
    played_clips: int
    examples: dict[str, Any]

    def outcome(self, name: str) -> float | None:
        """Mean average precision in per cent; name: one of MEASURES."""
        value = getattr(self, name)
        return None if value is None else 100 * float(value)

    def judged(self, name: str) -> int:
        """How many objects a measure is taken over."""
        asked = {"map_slow": self.asked_slow, "map_medium": self.asked_medium, "map_fast": self.asked_fast}
        return asked.get(name, sum(asked.values()))
