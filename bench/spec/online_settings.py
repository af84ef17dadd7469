"""The schema of the online section: networks that run frame by frame, and at what rate frames are taken to arrive."""

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field

from bench.spec.axes import BACKBONES, DETECTORS, STREAM_RUNTIMES, Dtype, MemoryFormat
from bench.spec.schema import Count, Group, Seconds, Size, Stopping, Strict, one_of

StreamBackbone = Annotated[str, one_of({**BACKBONES, **DETECTORS}, "backbone of the online section")]
StreamRuntime = Annotated[str, one_of(STREAM_RUNTIMES, "runtime of the online section")]


class OnlinePanels(Strict):
    """As ``Panels``, for networks that run frame by frame."""

    backbones: tuple[StreamBackbone, ...] | None = None
    device: Literal["cpu", "cuda"] | None = None
    runtimes: tuple[StreamRuntime, ...] | None = None
    dtypes: tuple[Dtype, ...] | None = None
    memory_formats: tuple[MemoryFormat, ...] | None = None
    threads: tuple[Count, ...] | None = None
    sizes: tuple[Size, ...] | None = None
    streams: tuple[Count, ...] | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0


class Online(Stopping):
    """The online section: causal strategies frame by frame, against the 2-D network frame by frame.

    streams: frames that come at once, one of each stream. frames: consecutive frames in a slot. arrival_fps: how many
    frames of a stream are taken to arrive in a second, for missed deadlines. Without groups nothing is measured.
    Panels of detectors belong to the detection section, and are left out where that is not asked for.
    """

    backbones: tuple[StreamBackbone, ...] = ()
    device: Literal["cpu", "cuda", "auto"] = "auto"
    runtimes: tuple[StreamRuntime, ...] = ("eager",)
    dtypes: tuple[Dtype, ...] = ("fp32",)
    memory_formats: tuple[MemoryFormat, ...] = ("nchw",)
    threads: tuple[Count, ...] = ()  # empty: all the cores that this process may use
    sizes: tuple[Size, ...] = (224,)
    streams: tuple[Count, ...] = (1,)
    frames: Count = 8
    arrival_fps: Annotated[float, Field(gt=0)] = 30.0
    panels: tuple[OnlinePanels, ...] = ()
    groups: tuple[Group, ...] = ()
    plugins: Group = Group(fractions=(Fraction(1, 8),), directions=("unidirectional",))
    largest_copy_mib: Annotated[int, Field(ge=1, le=1024)] = 16  # what moves in a frame is small
    budget: Seconds = 240.0
    target_half_width_points: Annotated[float, Field(gt=0)] = 1.0
